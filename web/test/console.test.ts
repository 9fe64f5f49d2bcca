import { describe, expect, it } from 'vitest';
import { History, Rates } from '../src/console/model';
import { EventParser } from '../src/sse';

describe('an event stream', () => {
  const whole =
    'retry: 500\n\n: a comment\n\nid: 7\nevent: statistics\ndata: {"a":\ndata: 1}\r\n\r\ndata: plain\n\nevent: empty\n\n';

  it('is split into events, however the network cuts it', () => {
    const expected = [
      { id: '7', name: 'statistics', data: '{"a":\n1}' },
      { id: '7', name: 'message', data: 'plain' },
    ];
    for (const size of [1, 2, 3, 7, 1000]) {
      const parser = new EventParser();
      const events = [];
      for (let at = 0; at < whole.length; at += size) events.push(...parser.push(whole.slice(at, at + size)));
      expect(events, `pieces of ${size}`).toEqual(expected);
    }
  });
});

describe('totals', () => {
  it('become rates, but not across a restart', () => {
    const rates = new Rates();
    expect(rates.rate('n', 10, 100)).toBeNull();
    expect(rates.rate('n', 12, 300)).toBe(100);
    expect(rates.rate('n', 14, 50)).toBeNull();
    expect(rates.rate('n', 15, 60)).toBe(10);
    expect(rates.rate('n', 16, null)).toBeNull();
    // Ten seconds are what they are taken over.
    expect(rates.rate('n', 24, 250)).toBe(20);
    expect(rates.rate('n', 25, 260)).toBe(20);
  });
});

describe('a history', () => {
  it('keeps its series as long as its times, an hour at most', () => {
    const history = new History();
    history.add(1, { a: 1 });
    history.add(2, { a: 2, b: 20 });
    history.add(3, { b: 30 });
    expect(history.of('a')).toEqual([1, 2, null]);
    expect(history.of('b')).toEqual([null, 20, 30]);
    expect(history.of('none')).toEqual([null, null, null]);
    for (let at = 4; at < 4000; at++) history.add(at, { a: at });
    expect(history.times).toHaveLength(1800);
    expect(history.of('b')).toHaveLength(1800);
    expect(history.last('a')).toBe(3999);
  });
});
