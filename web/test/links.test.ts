import { describe, expect, it } from 'vitest';
import { EVENTS_EXTENSION, findLink, LAYER_EXTENSION, parseLinks } from '../src/links';
import { layersOf } from '../src/whep-events';

describe('Link headers', () => {
  it('are read one by one out of a joined value, with addresses made absolute', () => {
    const header =
      '<stun:stun.example:3478>; rel="ice-server", ' +
      `</session/abc/layer>; rel="${LAYER_EXTENSION}",` +
      `<https://other.example/s/abc/sse>;rel="${EVENTS_EXTENSION}";events="active,inactive,layers"`;
    const links = parseLinks(header, 'https://host.example/whep/live');
    expect(links).toHaveLength(3);
    expect(findLink(links, LAYER_EXTENSION)?.url).toBe('https://host.example/session/abc/layer');
    const events = findLink(links, EVENTS_EXTENSION);
    expect(events?.url).toBe('https://other.example/s/abc/sse');
    expect(events?.parameters.events).toBe('active,inactive,layers');
    expect(findLink(links, 'nothing')).toBeNull();
  });

  it('may be missing or nonsense', () => {
    expect(parseLinks(null, 'https://a.example/')).toEqual([]);
    expect(parseLinks('nonsense; rel=x, <', 'https://a.example/')).toEqual([]);
    expect(parseLinks('<http://[>; rel=x', 'https://a.example/')).toEqual([]);
  });
});

describe('the layers event', () => {
  it('gives the layers of the video, the largest first', () => {
    const data = {
      '0': [
        { rid: 'q', width: 320, height: 180, bitrate: 150_000 },
        { rid: 'f', width: 1280, height: 720, bitrate: 1_500_000 },
        { encodingId: 'h', targetBitrate: 500_000, height: 360 },
        { rid: 'h', height: 360, temporalLayerId: 1 },
        'nonsense',
        null,
      ],
    };
    const layers = layersOf(data, '0');
    expect(layers.map(({ rid }) => rid)).toEqual(['f', 'h', 'q']);
    expect(layers[1]).toEqual({ rid: 'h', width: null, height: 360, bitrate: 500_000 });
  });

  it('has a layer without a name where there is but one', () => {
    expect(layersOf({ '0': [{ rid: null, height: 720 }] }, '0')).toMatchObject([{ rid: '', height: 720 }]);
  });

  it('is read in the older form too, and is empty when it is nonsense', () => {
    expect(layersOf({ '1': { layers: [{ rid: 'a' }] } }, '0')).toHaveLength(1);
    expect(layersOf({}, '0')).toEqual([]);
    expect(layersOf({ '0': 'x' }, '0')).toEqual([]);
  });
});
