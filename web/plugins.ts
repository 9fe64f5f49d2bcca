import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';

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
