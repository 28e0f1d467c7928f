import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig, type Plugin } from 'vite';

// inputs are what the built files follow from. web_test.go computes the same sum, so that a change without a build is noticed
// by machines that have no Node.
function inputs(): string {
  const folders = ['public', 'src'].flatMap(dir => readdirSync(dir).map(name => join(dir, name)));
  const files = ['index.html', 'operate.html', 'viewer.html', 'package-lock.json', 'tsconfig.json', 'vite.config.ts', ...folders].sort();
  const sum = createHash('sha256');
  for (const file of files) sum.update(`${file}\n`).update(createHash('sha256').update(readFileSync(file)).digest());
  return sum.digest('hex') + '\n';
}

const stamp: Plugin = {
  name: 'stamp',
  generateBundle() {
    this.emitFile({ type: 'asset', fileName: 'inputs.sha256', source: inputs() });
  },
};

export default defineConfig({
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  plugins: [stamp],
  server: { proxy: { '^/(trigger-reconstruction|status|events|result|cancel|uploads|upload|artifacts|inbox-.*)': 'http://127.0.0.1:8080' } },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: false,
    chunkSizeWarningLimit: 2500,
    reportCompressedSize: false,
    rollupOptions: { input: ['index.html', 'operate.html', 'viewer.html'] },
  },
});
