import type { ComponentChildren } from 'preact';
import { watchUrl, whipUrl } from '../name';
import { Snippet } from '../ui/copy';

export interface GuideProps {
  origin: string;
  name: string;
  keyRequired: boolean;
}

export function ObsGuide({ origin, name, keyRequired }: GuideProps) {
  return (
    <>
      <p>
        OBS Studio 30 or newer. In <b>Settings → Stream</b>:
      </p>
      <dl class="settings">
        <Setting name="Service">WHIP</Setting>
        <Setting name="Server">
          <Snippet text={whipUrl(origin, name)} label="the server address" />
        </Setting>
        <Setting name="Bearer Token">
          {keyRequired
            ? 'the key for publishing, from whoever runs this server'
            : 'leave it empty: this server asks for no key'}
        </Setting>
      </dl>
      <p>
        In <b>Settings → Output</b>, output mode <b>Advanced</b>, tab <b>Streaming</b>:
      </p>
      <dl class="settings">
        <Setting name="Video Encoder" why="every browser plays H.264">
          x264, or your graphics card’s H.264
        </Setting>
        <Setting name="Rate Control" why="bursts are what home connections lose">
          CBR, 2500 to 6000 Kbps
        </Setting>
        <Setting
          name="Keyframe Interval"
          why="a picture can only start at a keyframe: after a loss, viewers wait for the next one"
        >
          1 s
        </Setting>
        <Setting name="Profile" why="understood everywhere, and has no B-frames">
          baseline
        </Setting>
        <Setting name="Tune" why="the encoder holds no frames back">
          zerolatency
        </Setting>
        <Setting
          name="x264 Options"
          why="WebRTC has no B-frames: browsers show them out of order, and the picture judders"
        >
          <Snippet text="bframes=0" label="the x264 option" />
        </Setting>
        <Setting name="Audio Encoder" why="the only one of OBS’s that WebRTC carries">
          Opus (OBS chooses it by itself for WHIP)
        </Setting>
      </dl>
      <p class="hint">
        On NVENC, AMF, QuickSync and Apple encoders, set “Max B-frames” to 0 (or “Use B-frames” off) and the
        tuning to low latency.
      </p>
      <WatchAt origin={origin} name={name} />
    </>
  );
}

export function BrowserGuide({ origin, name }: GuideProps) {
  return (
    <>
      <p>Camera, microphone or screen, without installing anything.</p>
      <p>
        <a class="button primary" href={`/publish/${name}`}>
          Publish “{name}” from this browser
        </a>
      </p>
      {!window.isSecureContext && (
        <p class="hint">
          This page was opened over plain http, and browsers then give out no camera: open it over https, or
          as http://localhost on the server’s own machine.
        </p>
      )}
      <WatchAt origin={origin} name={name} />
    </>
  );
}

export function FfmpegGuide({ origin, name, keyRequired }: GuideProps) {
  const authorization = keyRequired ? '-authorization YOUR_KEY ' : '';
  const command =
    'ffmpeg -re -i input.mp4 -c:v libx264 -profile:v baseline -pix_fmt yuv420p -bf 0 -tune zerolatency ' +
    `-g 60 -c:a libopus -ar 48000 -ac 2 ${authorization}-f whip ${whipUrl(origin, name)}`;
  return (
    <>
      <p>FFmpeg 8 or newer, built with a TLS library that has DTLS. It plays the file in real time:</p>
      <Snippet text={command} label="the FFmpeg command" block />
      <p class="hint">
        <code>-bf 0</code>: no B-frames, which browsers show out of order. <code>-g 60</code>: a keyframe
        every 60 frames, from which a viewer can start. Opus at 48 kHz is the sound that every browser plays.
        {keyRequired && (
          <>
            {' '}
            Put the key for publishing in the place of <code>YOUR_KEY</code>.
          </>
        )}
      </p>
      <WatchAt origin={origin} name={name} />
    </>
  );
}

function Setting({ name, why, children }: { name: string; why?: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {children}
        {why && <span class="why">{why}</span>}
      </dd>
    </div>
  );
}

function WatchAt({ origin, name }: { origin: string; name: string }) {
  const url = watchUrl(origin, name);
  return (
    <p class="watchat">
      Then watch at <a href={url}>{url}</a>.
    </p>
  );
}
