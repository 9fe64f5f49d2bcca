// Runs test files one after another (they measure time; two cores are few) and ends with `N passed, N failed`.
import { run } from 'node:test';
import { basename, resolve } from 'node:path';

const files = process.argv.slice(2).map((file) => resolve(file));
if (files.length === 0) throw new Error('usage: node run.mjs FILE…');

let passed = 0;
let failed = 0;
const isFile = (name) => files.includes(resolve(name));
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

for await (const { type, data } of run({ files, concurrency: 1, timeout: 300_000 })) {
  if (type === 'test:dequeue' && isFile(data.name)) console.log(`\n${basename(data.name)}`);
  if (type === 'test:pass' && !isFile(data.name) && data.details.type !== 'suite') {
    if (data.skip === undefined) passed++;
    console.log(`  ok    ${data.name} (${seconds(data.details.duration_ms)})${data.skip === undefined ? '' : ` SKIPPED ${data.skip}`}`);
  }
  if (type === 'test:fail' && data.details.type !== 'suite') {
    // A file fails with its tests; it counts by itself only where none of them was reported.
    if (isFile(data.name) && data.details.error?.failureType === 'subtestsFailed') continue;
    failed++;
    const error = data.details.error?.cause ?? data.details.error;
    console.log(`  FAIL  ${isFile(data.name) ? basename(data.name) : data.name} (${seconds(data.details.duration_ms)})`);
    console.log(String(error?.stack ?? error).replace(/^/gm, '        '));
  }
  if (type === 'test:diagnostic' && !/^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) /.test(data.message)) {
    console.log(`        ${data.message}`);
  }
  if (type === 'test:stderr' || type === 'test:stdout') process.stdout.write(data.message.replace(/^(?=.)/gm, '        '));
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
