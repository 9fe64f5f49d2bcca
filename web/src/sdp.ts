/** Asks for stereo Opus: browsers offer mono unless the fmtp line says `stereo=1;sprop-stereo=1` (RFC 7587 §6.1). */
export function opusStereo(sdp: string): string {
  const payloadTypes = [...sdp.matchAll(/^a=rtpmap:(\d+) opus\/48000/gim)].map((match) => match[1]);
  let out = sdp;
  for (const pt of payloadTypes) {
    const fmtp = new RegExp(`^a=fmtp:${pt} ([^\\r\\n]*)`, 'm');
    if (fmtp.test(out)) {
      out = out.replace(fmtp, (_line, params: string) => `a=fmtp:${pt} ${withStereo(params)}`);
    } else {
      const rtpmap = new RegExp(`^(a=rtpmap:${pt} [^\\r\\n]*)(\\r?\\n)`, 'm');
      out = out.replace(rtpmap, `$1$2a=fmtp:${pt} ${withStereo('')}$2`);
    }
  }
  return out;
}

/**
 * Asks for an answer to the browser's own reference times (RFC 3611 §4.4): only by them does one that receives and
 * sends nothing know its round trip, and what it says of capture times and asks again for depends on it.
 */
export function referenceTime(sdp: string): string {
  let video = false;
  return sdp
    .split(/(?<=\n)/)
    .flatMap((line) => {
      if (line.startsWith('m=')) video = line.startsWith('m=video');
      const pt = /^a=rtpmap:(\d+) (?!rtx|red|ulpfec|flexfec)/i.exec(line)?.[1];
      const known = pt === undefined || sdp.includes(`a=rtcp-fb:${pt} rrtr`);
      return video && !known ? [line, `a=rtcp-fb:${pt} rrtr\r\n`] : [line];
    })
    .join('');
}

function withStereo(params: string): string {
  const kept = params
    .split(';')
    .map((param) => param.trim())
    .filter((param) => param && !/^(sprop-)?stereo=/.test(param));
  return [...kept, 'stereo=1', 'sprop-stereo=1'].join(';');
}

/** The body of an ICE restart by PATCH (RFC 8840 §9, RFC 9725 §4.3.3): the new credentials of `offer`. */
export function restartFragment(offer: string): string {
  const line = (pattern: RegExp) => pattern.exec(offer)?.[0];
  const ufrag = line(/^a=ice-ufrag:.+$/m);
  const pwd = line(/^a=ice-pwd:.+$/m);
  if (!ufrag || !pwd) throw new Error('the offer has no ICE credentials');
  const lines = [
    line(/^a=ice-options:.+$/m),
    line(/^a=group:BUNDLE.*$/m),
    line(/^m=.+$/m),
    line(/^a=mid:.+$/m),
    ufrag,
    pwd,
  ];
  return lines
    .filter((text) => text !== undefined)
    .map((text) => `${text.trim()}\r\n`)
    .join('');
}

/**
 * The answer of an ICE restart: the running answer with the credentials, and where there are any the
 * candidates, of the server's sdpfrag. Everything else stays as negotiated.
 */
export function restartedAnswer(answer: string, fragment: string): string {
  const ufrag = /^a=ice-ufrag:(.+?)\s*$/m.exec(fragment)?.[1];
  const pwd = /^a=ice-pwd:(.+?)\s*$/m.exec(fragment)?.[1];
  if (!ufrag || !pwd) throw new Error('the reply to the ICE restart has no credentials');
  const candidates = [...fragment.matchAll(/^a=(?:candidate:.+?|end-of-candidates)\s*$/gm)].map((match) =>
    match[0].trim(),
  );
  const lines: string[] = [];
  let media = -1;
  let placed = false;
  const place = () => {
    // Bundled: one transport, described in the first m-section.
    if (media === 0 && !placed) {
      lines.push(...candidates);
      placed = true;
    }
  };
  for (const line of answer.split(/\r?\n/)) {
    if (line === '') continue;
    if (line.startsWith('m=')) {
      place();
      media += 1;
    }
    if (line.startsWith('a=ice-ufrag:')) lines.push(`a=ice-ufrag:${ufrag}`);
    else if (line.startsWith('a=ice-pwd:')) lines.push(`a=ice-pwd:${pwd}`);
    else if (candidates.length > 0 && /^a=(candidate:|end-of-candidates)/.test(line)) continue;
    else lines.push(line);
  }
  place();
  return `${lines.join('\r\n')}\r\n`;
}
