import { resolve } from 'node:path';
import { defineConfig } from 'vite';
import { frame, outDir, precompress, routes, target } from './plugins.ts';

const pages = ['index', 'publish', 'watch', 'embed', 'wall', 'console', '404'];

export default defineConfig({
  plugins: [routes(), frame(), precompress()],
  appType: 'mpa',
  build: {
    outDir,
    emptyOutDir: true,
    target,
    // Inlined data: addresses would need an exception in the Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: Object.fromEntries(pages.map((page) => [page, resolve(import.meta.dirname, `${page}.html`)])),
    },
  },
  server: {
    proxy: Object.fromEntries(
      ['/api', '/whip', '/whep', '/session', '/metrics'].map((path) => [
        path,
        process.env.SHIBUKI_SERVER ?? 'http://localhost:8080',
      ]),
    ),
  },
});
