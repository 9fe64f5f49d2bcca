import { Backoff } from './backoff';
import { asProblem, Problem, problemFrom } from './problem';

export interface ServerEvent {
  id: string;
  name: string;
  data: string;
}

/** Splits a stream of text into server-sent events (HTML §9.2.6). Feed it pieces as they come. */
export class EventParser {
  #rest = '';
  #event: ServerEvent = { id: '', name: '', data: '' };

  push(text: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        const { id, name, data } = this.#event;
        if (data !== '') events.push({ id, name: name || 'message', data: data.replace(/\n$/, '') });
        this.#event = { id, name: '', data: '' };
        continue;
      }
      const [, field = '', value = ''] = /^([^:]*)(?::? ?)(.*)$/s.exec(line) ?? [];
      if (field === 'event') this.#event.name = value;
      else if (field === 'data') this.#event.data += `${value}\n`;
      else if (field === 'id') this.#event.id = value;
    }
    return events;
  }
}

/**
 * Reads one event stream to its end. Unlike an EventSource it sends the key in a header, where keys belong.
 * Throws a Problem where the server refuses or the connection breaks.
 */
export async function readEvents(
  url: string,
  key: string,
  lastId: string,
  signal: AbortSignal,
  on: (event: ServerEvent) => void,
): Promise<void> {
  const headers: Record<string, string> = { Accept: 'text/event-stream' };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (lastId) headers['Last-Event-ID'] = lastId;
  try {
    const response = await fetch(url, { headers, signal, cache: 'no-store' });
    if (!response.ok || !response.body) throw await problemFrom(response);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new EventParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const event of parser.push(value)) on(event);
    }
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem('network');
  }
}

/**
 * Reads an event stream again and again until `signal` is aborted. `problem` hears why it broke off; where only a person
 * can change that, this was the last try.
 */
export async function followEvents(
  url: string,
  key: string,
  signal: AbortSignal,
  on: { event: (event: ServerEvent) => void; problem: (problem: Problem) => void },
): Promise<void> {
  const backoff = new Backoff();
  while (!signal.aborted) {
    let problem = new Problem('network');
    try {
      await readEvents(url, key, '', signal, (event) => {
        backoff.reset();
        on.event(event);
      });
    } catch (error) {
      problem = asProblem(error);
    }
    if (signal.aborted) return;
    on.problem(problem);
    if (problem.final) return;
    const delay = Math.max(backoff.next(), problem.retryAfter ?? 0);
    await new Promise((resolve) => setTimeout(resolve, delay));
  }
}
