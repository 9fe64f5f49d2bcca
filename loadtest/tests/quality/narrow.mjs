// Links that are too thin for the best layer, or for the only one.
import { Link, sleep } from './stage.mjs';
import { look } from './fall.mjs';
import { join } from './watch.mjs';

const grown = (from, to, name) => to[name] - from[name];
const kbits = (from, to) => Math.round((8 * (grown(from, to, 'bytes') + 28 * 1.2 * grown(from, to, 'packets'))) / grown(from, to, 'at') / 1000);

/** One viewer of a stream that its link does not carry: `concealed` is the share of sound that was missing. */
export async function thin(stage, stream, { rate = 500, delay = 20, seconds = 30 } = {}) {
  const link = await Link.open(0, { delay, rate: `${rate}` });
  const { page, first } = await join(link, stage, stream);
  const from = await look(page);
  const sizes = new Set();
  const told = new Set();
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(250)) {
    sizes.add((await look(page)).height);
    const text = await page.evaluate(() => {
      const all = (root) => [...root.querySelectorAll('*')].flatMap((element) => [element, ...(element.shadowRoot ? all(element.shadowRoot) : [])]);
      return all(document).filter((element) => ['status', 'alert'].includes(element.getAttribute('role'))).map((element) => element.innerText?.trim()).filter(Boolean).join(' / ');
    });
    if (text) told.add(text);
  }
  const to = await look(page);
  await link.close();
  return {
    first: Math.round(first), seconds: +grown(from, to, 'at').toFixed(1), used: kbits(from, to), heights: [...sizes],
    pictures: grown(from, to, 'frames'), keyframes: grown(from, to, 'keyframes'), freezes: grown(from, to, 'freezes'), frozen: +grown(from, to, 'frozen').toFixed(1),
    concealed: +(grown(from, to, 'concealed') / Math.max(1, grown(from, to, 'samples'))).toFixed(4), told: [...told],
  };
}

/** Viewers with different links of one stream, all at once; judged from `settle` seconds on. */
export async function different(stage, stream, { rates, delay = 20, settle = 15, seconds = 15 }) {
  const links = [];
  for (const [id, rate] of rates.entries()) links.push(await Link.open(id, { delay, rate: `${rate}` }));
  // The page itself takes long over the thinnest.
  const pages = await Promise.all(links.map(async (link) => (await join(link, stage, stream, { ms: 60_000 })).page));
  await sleep(settle * 1000);
  const from = await Promise.all(pages.map(look));
  await sleep(seconds * 1000);
  const to = await Promise.all(pages.map(look));
  for (const link of links) await link.close();
  return rates.map((rate, n) => ({
    rate, height: to[n].height, kbits: kbits(from[n], to[n]), fps: +(grown(from[n], to[n], 'frames') / grown(from[n], to[n], 'at')).toFixed(1),
    freezes: grown(from[n], to[n], 'freezes'), frozen: +grown(from[n], to[n], 'frozen').toFixed(2),
    concealed: +(grown(from[n], to[n], 'concealed') / Math.max(1, grown(from[n], to[n], 'samples'))).toFixed(4),
  }));
}
