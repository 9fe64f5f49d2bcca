import { describe, expect, it } from 'vitest';
import { opusStereo, referenceTime, restartedAnswer, restartFragment } from '../src/sdp';

const lines = (...text: string[]) => `${text.join('\r\n')}\r\n`;

const offer = lines(
  'v=0',
  'o=- 1 2 IN IP4 127.0.0.1',
  's=-',
  't=0 0',
  'a=group:BUNDLE 0 1',
  'm=video 9 UDP/TLS/RTP/SAVPF 96',
  'a=ice-ufrag:abcd',
  'a=ice-pwd:0123456789012345678901',
  'a=ice-options:trickle',
  'a=mid:0',
  'a=rtpmap:96 VP8/90000',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111 63',
  'a=ice-ufrag:abcd',
  'a=ice-pwd:0123456789012345678901',
  'a=mid:1',
  'a=rtpmap:111 opus/48000/2',
  'a=fmtp:111 minptime=10;useinbandfec=1',
  'a=rtpmap:63 red/48000/2',
  'a=fmtp:63 111/111',
);

describe('referenceTime', () => {
  const sdp =
    'm=audio 9 X 111\r\na=rtpmap:111 opus/48000/2\r\nm=video 9 X 96 97\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\n';

  it('is asked for with every video codec, once', () => {
    const out = referenceTime(sdp);
    expect(out.match(/rrtr/g)).toHaveLength(1);
    expect(out).toContain('a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 rrtr\r\na=rtpmap:97');
    expect(referenceTime(out)).toBe(out);
  });
});

describe('opusStereo', () => {
  it('adds stereo to the fmtp line of Opus and to no other', () => {
    const out = opusStereo(offer);
    expect(out).toContain('a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1\r\n');
    expect(out.replace(';stereo=1;sprop-stereo=1', '')).toBe(offer);
  });

  it('does not say it twice', () => {
    expect(opusStereo(opusStereo(offer))).toBe(opusStereo(offer));
  });

  it('overrules stereo=0', () => {
    const mono = offer.replace('useinbandfec=1', 'stereo=0;useinbandfec=1');
    expect(opusStereo(mono)).toContain('a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1\r\n');
  });

  it('adds an fmtp line where there is none', () => {
    const bare = lines('m=audio 9 UDP/TLS/RTP/SAVPF 109', 'a=rtpmap:109 OPUS/48000/2', 'a=sendonly');
    expect(opusStereo(bare)).toBe(
      lines(
        'm=audio 9 UDP/TLS/RTP/SAVPF 109',
        'a=rtpmap:109 OPUS/48000/2',
        'a=fmtp:109 stereo=1;sprop-stereo=1',
        'a=sendonly',
      ),
    );
  });

  it('leaves an offer without Opus alone', () => {
    const video = offer.slice(0, offer.indexOf('m=audio'));
    expect(opusStereo(video)).toBe(video);
  });
});

describe('restartFragment', () => {
  it('carries the credentials, the bundle and the first m-section', () => {
    expect(restartFragment(offer)).toBe(
      lines(
        'a=ice-options:trickle',
        'a=group:BUNDLE 0 1',
        'm=video 9 UDP/TLS/RTP/SAVPF 96',
        'a=mid:0',
        'a=ice-ufrag:abcd',
        'a=ice-pwd:0123456789012345678901',
      ),
    );
  });

  it('refuses an offer without credentials', () => {
    expect(() => restartFragment('v=0\r\n')).toThrow(/credentials/);
  });
});

describe('restartedAnswer', () => {
  const answer = lines(
    'v=0',
    'a=ice-lite',
    'm=video 9 UDP/TLS/RTP/SAVPF 96',
    'a=candidate:1 1 udp 1 192.0.2.1 8080 typ host',
    'a=end-of-candidates',
    'a=ice-ufrag:old',
    'a=ice-pwd:oldoldoldoldoldoldoldold',
    'a=mid:0',
    'm=audio 9 UDP/TLS/RTP/SAVPF 111',
    'a=ice-ufrag:old',
    'a=ice-pwd:oldoldoldoldoldoldoldold',
    'a=mid:1',
  );

  it('changes credentials everywhere and candidates where the reply has some', () => {
    const reply = lines(
      'a=ice-lite',
      'a=ice-ufrag:new',
      'a=ice-pwd:newnewnewnewnewnewnewnew',
      'm=video 9 UDP/TLS/RTP/SAVPF 0',
      'a=mid:0',
      'a=candidate:2 1 udp 1 192.0.2.2 8080 typ host',
      'a=end-of-candidates',
    );
    expect(restartedAnswer(answer, reply)).toBe(
      lines(
        'v=0',
        'a=ice-lite',
        'm=video 9 UDP/TLS/RTP/SAVPF 96',
        'a=ice-ufrag:new',
        'a=ice-pwd:newnewnewnewnewnewnewnew',
        'a=mid:0',
        'a=candidate:2 1 udp 1 192.0.2.2 8080 typ host',
        'a=end-of-candidates',
        'm=audio 9 UDP/TLS/RTP/SAVPF 111',
        'a=ice-ufrag:new',
        'a=ice-pwd:newnewnewnewnewnewnewnew',
        'a=mid:1',
      ),
    );
  });

  it('keeps the candidates where the reply has none', () => {
    const out = restartedAnswer(answer, 'a=ice-ufrag:new\na=ice-pwd:newnewnewnewnewnewnewnew\n');
    expect(out).toContain('a=candidate:1 1 udp 1 192.0.2.1 8080 typ host\r\n');
    expect(out).not.toContain('old');
  });

  it('places candidates in an answer with one m-section', () => {
    const single = answer.slice(0, answer.indexOf('m=audio'));
    const reply = 'a=ice-ufrag:n\r\na=ice-pwd:p\r\na=candidate:2 1 udp 1 192.0.2.2 8080 typ host\r\n';
    expect(restartedAnswer(single, reply)).toMatch(/a=mid:0\r\na=candidate:2 .*\r\n$/);
  });

  it('refuses a reply without credentials', () => {
    expect(() => restartedAnswer(answer, '')).toThrow(/credentials/);
  });
});
