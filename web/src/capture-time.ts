const ABS_CAPTURE_TIME = 'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time';

/** Of `setHeaderExtensionsToNegotiate`, which TypeScript's DOM does not know yet. */
interface Negotiable {
  getHeaderExtensionsToNegotiate?(): { uri: string; direction: RTCRtpTransceiverDirection }[];
  setHeaderExtensionsToNegotiate?(list: { uri: string; direction: RTCRtpTransceiverDirection }[]): void;
}

/** Offers to send, or to receive, each frame's capture time. Browsers that can do it do not offer it by themselves. */
export function offerCaptureTime(transceiver: RTCRtpTransceiver): void {
  const negotiable = transceiver as unknown as Negotiable;
  const list = negotiable.getHeaderExtensionsToNegotiate?.();
  const own = list?.find(({ uri }) => uri === ABS_CAPTURE_TIME);
  if (!list || !own || own.direction !== 'stopped') return;
  own.direction = 'sendrecv';
  try {
    negotiable.setHeaderExtensionsToNegotiate?.(list);
  } catch {
    // Then the delay is estimated by sender reports.
  }
}
