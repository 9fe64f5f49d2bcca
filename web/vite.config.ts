import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

/** The cargo build names a folder in its own output directory; `npm run build` alone writes to dist/. */
const outDir = process.env.SHIBUKI_PAGES_OUT ?? 'dist';

const pages = ['index', 'publish', 'watch', '404'];

/** `npm run dev` maps addresses to pages as the server does (src/http/assets.rs). */
function routes(): Plugin {
  return {
    name: 'shibuki-routes',
    configureServer(server) {
      server.middlewares.use((request, _response, next) => {
        const page = /^\/(publish|watch)(\/[^/]*)?\/?(\?.*)?$/.exec(request.url ?? '')?.[1];
        if (page) request.url = `/${page}.html`;
        next();
      });
    },
  };
}

/** Writes file.br and file.gz next to every text file, so that the server compresses nothing itself. */
function precompress(): Plugin {
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

export default defineConfig({
  plugins: [routes(), precompress()],
  appType: 'mpa',
  build: {
    outDir,
    emptyOutDir: true,
    target: ['chrome111', 'firefox115', 'safari16.4'],
    // Inlined data: addresses would need an exception in the Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: Object.fromEntries(pages.map((page) => [page, resolve(import.meta.dirname, `${page}.html`)])),
    },
  },
  server: {
    proxy: Object.fromEntries(
      ['/api', '/whip', '/whep', '/session'].map((path) => [path, 'http://localhost:8080']),
    ),
  },
});
