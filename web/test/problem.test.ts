import { describe, expect, it } from 'vitest';
import { asProblem, Problem, problemFrom, retryAfter } from '../src/problem';
import { explain } from '../src/words';

const json = (status: number, body: object, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), {
    status,
    headers: { 'Content-Type': 'application/problem+json', ...headers },
  });

describe('problemFrom', () => {
  it('takes the detail of problem+json', async () => {
    const response = json(422, { title: 'Unprocessable', status: 422, detail: 'The stream is H265.' });
    const problem = await problemFrom(response);
    expect(problem).toMatchObject({ kind: 'codec', status: 422, detail: 'The stream is H265.', final: true });
  });

  it('falls back to the title, then to the text, and never to markup', async () => {
    expect((await problemFrom(json(400, { title: 'Bad Request' }))).detail).toBe('Bad Request');
    expect((await problemFrom(new Response('no such thing', { status: 404 }))).detail).toBe('no such thing');
    const page = new Response('<html>502 from a proxy</html>', { status: 502 });
    expect((await problemFrom(page)).detail).toBe('');
  });

  it('survives a body that is not what it claims', async () => {
    const headers = { 'Content-Type': 'application/json' };
    expect((await problemFrom(new Response('{"detail":', { status: 500, headers }))).detail).toBe(
      '{"detail":',
    );
    expect((await problemFrom(new Response('null', { status: 500, headers }))).detail).toBe('');
    expect((await problemFrom(json(500, { detail: 7 }))).detail).toBe('');
  });

  it('sorts statuses by what can be done', async () => {
    const kinds = [401, 403, 409, 429, 503, 400, 404, 500, 502];
    const found = await Promise.all(kinds.map(async (status) => (await problemFrom(json(status, {}))).kind));
    expect(found).toEqual([
      'key',
      'key',
      'conflict',
      'busy',
      'busy',
      'refused',
      'refused',
      'server',
      'server',
    ]);
  });

  it('reads Retry-After', async () => {
    const problem = await problemFrom(json(503, {}, { 'Retry-After': '7' }));
    expect(problem.retryAfter).toBe(7000);
    expect(problem.final).toBe(false);
  });
});

describe('retryAfter', () => {
  const now = Date.parse('2026-11-21T15:00:00Z');
  it('takes seconds and dates, and nothing else', () => {
    expect(retryAfter('3', now)).toBe(3000);
    expect(retryAfter('Sat, 21 Nov 2026 15:00:05 GMT', now)).toBe(5000);
    expect(retryAfter('Sat, 21 Nov 2026 14:00:00 GMT', now)).toBe(0);
    expect(retryAfter('soon', now)).toBeNull();
    expect(retryAfter(null, now)).toBeNull();
  });
});

describe('asProblem', () => {
  it('keeps problems and wraps what the browser throws', () => {
    const problem = new Problem('network');
    expect(asProblem(problem)).toBe(problem);
    expect(asProblem(new Error('bad fingerprint'))).toMatchObject({
      kind: 'browser',
      detail: 'bad fingerprint',
    });
  });
});

describe('explain', () => {
  it('names the port that a firewall blocks', () => {
    expect(explain(new Problem('path'), 'watch', 8080).todo).toContain('UDP port 8080');
  });

  it('repeats what the server said about codecs', () => {
    const words = explain(new Problem('codec', 'The stream is H265.', 422), 'watch', null);
    expect(words.what).toBe('This browser cannot play the stream. The stream is H265.');
  });
});
