import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import type { HtmlTagDescriptor, Plugin } from 'vite';

/** The cargo build names a folder in its own output directory; `npm run build` alone writes to dist/. */
export const outDir = process.env.SHIBUKI_PAGES_OUT ?? 'dist';

/** What all browsers have that are supported here. */
export const target = ['chrome111', 'firefox115', 'safari16.4'];

/** `npm run dev` maps addresses to pages as the server does (src/http/assets.rs). */
export function routes(): Plugin {
  return {
    name: 'shibuki-routes',
    configureServer(server) {
      server.middlewares.use((request, _response, next) => {
        const page = /^\/(publish|watch|embed|wall|console)(\/[^/.]*)?\/?(\?.*)?$/.exec(
          request.url ?? '',
        )?.[1];
        if (page) request.url = `/${page}.html`;
        next();
      });
    },
  };
}

/** What every page has, so that a page's own file holds what is its own. */
export function frame(): Plugin {
  return {
    name: 'shibuki-frame',
    transformIndexHtml: {
      order: 'pre',
      handler: (html, { filename }) => {
        const tags: HtmlTagDescriptor[] = [
          { tag: 'meta', attrs: { charset: 'utf-8' } },
          {
            tag: 'meta',
            attrs: { name: 'viewport', content: 'width=device-width, initial-scale=1, viewport-fit=cover' },
          },
          { tag: 'meta', attrs: { name: 'color-scheme', content: 'light dark' } },
          { tag: 'link', attrs: { rel: 'icon', type: 'image/svg+xml', href: '/src/icon.svg' } },
        ];
        // The embedded player is alone in its page.
        if (!filename.endsWith('embed.html'))
          tags.push({ tag: 'link', attrs: { rel: 'stylesheet', href: '/src/style.css' } });
        if (html.includes('<script')) {
          tags.push(
            { tag: 'div', attrs: { id: 'app' }, injectTo: 'body' },
            {
              tag: 'noscript',
              children: '<p>This page needs JavaScript: it plays and sends live video.</p>',
              injectTo: 'body',
            },
          );
        }
        return tags;
      },
    },
  };
}

/** Writes file.br and file.gz next to every text file, so that the server compresses nothing itself. */
export function precompress(): Plugin {
  return {
    name: 'shibuki-precompress',
    apply: 'build',
    closeBundle() {
      for (const entry of readdirSync(outDir, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(html|js|css|svg)$/.test(entry.name)) continue;
        const file = join(entry.parentPath, entry.name);
        const plain = readFileSync(file);
        const quality = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
        writeFileSync(`${file}.br`, brotliCompressSync(plain, { params: quality }));
        writeFileSync(`${file}.gz`, gzipSync(plain, { level: 9 }));
      }
    },
  };
}
