/** What to capture. Ids are those of `enumerateDevices`; empty for the browser's choice. */
export interface Wish {
  picture: 'camera' | 'screen' | 'none';
  sound: 'microphone' | 'screen' | 'none';
  cameraId: string;
  microphoneId: string;
  /** Lines of the picture; the browser comes as near as it can. */
  height: number;
}

/** Why nothing was captured, and what to do. */
export class CaptureError extends Error {
  readonly todo: string;
  /** True where the person closed the browser's chooser: nothing went wrong. */
  readonly cancelled: boolean;

  constructor(what: string, todo: string, cancelled = false) {
    super(what);
    this.name = 'CaptureError';
    this.todo = todo;
    this.cancelled = cancelled;
  }
}

/** Null where this page may ask for camera, microphone and screen; else why it may not. */
export function captureObstacle(): CaptureError | null {
  if (!window.isSecureContext) {
    return new CaptureError(
      'The browser keeps camera, microphone and screen from this page, because it was opened over plain http.',
      'Open it over https (put a TLS proxy in front of the server), or as http://localhost on the server’s own machine. OBS and FFmpeg can publish over plain http.',
    );
  }
  if (!navigator.mediaDevices?.getUserMedia || typeof RTCPeerConnection === 'undefined') {
    return new CaptureError(
      'This browser cannot capture or send media.',
      'Try an up-to-date Chrome, Edge, Firefox or Safari, or publish with OBS or FFmpeg.',
    );
  }
  return null;
}

export function canShareScreen(): boolean {
  return typeof navigator.mediaDevices?.getDisplayMedia === 'function';
}

/** Asks for what is wished; the browser asks the person. Throws a CaptureError. */
export async function capture(wish: Wish): Promise<MediaStream> {
  const tracks: MediaStreamTrack[] = [];
  const size = {
    width: { ideal: Math.round((wish.height * 16) / 9) },
    height: { ideal: wish.height },
    frameRate: { ideal: 30, max: 60 },
  };
  try {
    if (wish.picture === 'screen') {
      const screen = await navigator.mediaDevices.getDisplayMedia({
        video: { frameRate: size.frameRate },
        audio:
          wish.sound === 'screen'
            ? { echoCancellation: false, noiseSuppression: false, autoGainControl: false }
            : false,
      });
      tracks.push(...screen.getTracks());
    }
    const camera = wish.picture === 'camera' ? { ...size, ...exactly(wish.cameraId) } : false;
    const microphone = wish.sound === 'microphone' ? { ...exactly(wish.microphoneId) } : false;
    if (camera || microphone) {
      const stream = await navigator.mediaDevices.getUserMedia({ video: camera, audio: microphone });
      tracks.push(...stream.getTracks());
    }
  } catch (error) {
    for (const track of tracks) track.stop();
    throw explainCapture(error, wish);
  }
  if (tracks.length === 0) {
    throw new CaptureError('Nothing is chosen to send.', 'Choose a picture or a sound.');
  }
  return new MediaStream(tracks);
}

function exactly(deviceId: string): { deviceId?: { exact: string } } {
  return deviceId ? { deviceId: { exact: deviceId } } : {};
}

/** What getUserMedia's and getDisplayMedia's errors mean (Media Capture and Streams §10.2.1). */
export function explainCapture(error: unknown, wish: Pick<Wish, 'picture' | 'sound'>): CaptureError {
  const name = error instanceof Error ? error.name : '';
  const both = wish.picture === 'camera' && wish.sound === 'microphone';
  const device = both ? 'camera or microphone' : wish.picture === 'camera' ? 'camera' : 'microphone';
  switch (name) {
    case 'NotAllowedError':
    case 'SecurityError':
      if (wish.picture === 'screen') {
        return new CaptureError(
          'No screen was shared.',
          'Press “Share screen” again and choose what to show. If no choice appears, the browser or the system forbids it for this page.',
          true,
        );
      }
      return new CaptureError(
        `The browser does not let this page use the ${device}.`,
        'Allow it with the icon beside the address bar, and in the system’s privacy settings; then try again.',
      );
    case 'NotFoundError':
      return new CaptureError(
        `No ${device} was found.`,
        both
          ? 'Connect what is missing, or switch the picture or the sound off.'
          : `Connect a ${device}, or choose another source.`,
      );
    case 'NotReadableError':
    case 'AbortError':
      return new CaptureError(
        `The ${device} is there but gives nothing.`,
        'Another program probably uses it: close that one and try again.',
      );
    case 'OverconstrainedError':
      return new CaptureError(
        `The chosen ${device} is not there any more.`,
        'Choose another one from the list.',
      );
    default:
      return new CaptureError(
        `The browser reports: ${error instanceof Error ? error.message : String(error)}`,
        'Try again, or choose another source.',
      );
  }
}
