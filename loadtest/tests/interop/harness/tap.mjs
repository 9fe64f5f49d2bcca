// A recording HTTP proxy in front of the server: what a client sent and was answered, and when, where the client itself
// does not say (FFmpeg, GStreamer).
import { createServer, request } from 'node:http';
import { wallClock } from './wait.mjs';

export async function tapHttp(serverUrl) {
  const exchanges = [];
  const http = createServer((incoming, outgoing) => {
    const exchange = { method: incoming.method, path: incoming.url, at: wallClock() };
    exchanges.push(exchange);
    const onward = request(new URL(incoming.url, serverUrl), { method: incoming.method, headers: incoming.headers }, (answer) => {
      exchange.status = answer.statusCode;
      exchange.answeredAt = wallClock();
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', (error) => {
      exchange.error = String(error);
      outgoing.writeHead(502).end();
    });
    incoming.pipe(onward);
  });
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${http.address().port}`,
    exchanges,
    close: () => (http.closeAllConnections(), new Promise((resolve) => http.close(resolve))),
  };
}
