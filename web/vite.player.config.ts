import { resolve } from 'node:path';
import { defineConfig } from 'vite';
import { outDir, precompress, target } from './plugins.ts';

/**
 * The player alone. For the server: player.js, one script for any page's `<script src>`, beside the pages.
 * With `--mode package`: player/dist/, a module to import, for npm.
 */
export default defineConfig(({ mode }) => ({
  plugins: mode === 'package' ? [] : [precompress()],
  publicDir: false,
  build: {
    outDir: mode === 'package' ? 'player/dist' : outDir,
    emptyOutDir: mode === 'package',
    target,
    lib: {
      entry: resolve(import.meta.dirname, 'src/player/index.ts'),
      name: 'shibuki',
      formats: [mode === 'package' ? 'es' : 'iife'],
      fileName: () => (mode === 'package' ? 'shibuki-player.js' : 'player.js'),
    },
  },
}));
