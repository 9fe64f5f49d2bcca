/** When a frame was captured. */
export const CAPTURE_TIME = 'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time';
/** Which layers an AV1 picture has: without it a viewer is sent the lowest spatial one alone. */
export const DEPENDENCY_DESCRIPTOR =
  'https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension';

/** Of `setHeaderExtensionsToNegotiate`, which TypeScript's DOM does not know yet. */
interface Negotiable {
  getHeaderExtensionsToNegotiate?(): { uri: string; direction: RTCRtpTransceiverDirection }[];
  setHeaderExtensionsToNegotiate?(list: { uri: string; direction: RTCRtpTransceiverDirection }[]): void;
}

/** Has header extensions negotiated that the browser knows but does not offer by itself; others are passed over. */
export function offerExtensions(transceiver: RTCRtpTransceiver, uris: string[]): void {
  const negotiable = transceiver as unknown as Negotiable;
  const list = negotiable.getHeaderExtensionsToNegotiate?.();
  const wanted = list?.filter(({ uri, direction }) => uris.includes(uri) && direction === 'stopped');
  if (!list || !wanted?.length) return;
  for (const extension of wanted) extension.direction = 'sendrecv';
  try {
    negotiable.setHeaderExtensionsToNegotiate?.(list);
  } catch {
    // The session does without: delay is estimated by sender reports, and AV1 comes in its lowest spatial layer.
  }
}
