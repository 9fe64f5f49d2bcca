/** The lowest level shown, dBFS. */
const FLOOR = -60;

/** Measures how loud a stream's sound is. */
export class LevelMeter {
  #context: AudioContext;
  #analyser: AnalyserNode;
  #source: MediaStreamAudioSourceNode;
  #samples: Float32Array<ArrayBuffer>;

  constructor(stream: MediaStream) {
    this.#context = new AudioContext();
    this.#analyser = this.#context.createAnalyser();
    this.#analyser.fftSize = 1024;
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#source = this.#context.createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
    void this.#context.resume();
  }

  /** The peak of the last 20 ms, 0 (−60 dBFS or less) to 1 (full scale). */
  read(): number {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    return level(this.#samples);
  }

  close(): void {
    this.#source.disconnect();
    void this.#context.close();
  }
}

/** The peak of samples between −1 and 1 on a scale of decibels, 0 to 1. */
export function level(samples: Float32Array): number {
  let peak = 0;
  for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
  if (peak === 0) return 0;
  return Math.min(1, Math.max(0, 1 - (20 * Math.log10(peak)) / FLOOR));
}
