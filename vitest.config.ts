import { defineConfig } from 'vitest/config';

// Packages import each other through their built entry points, so `npm run build` comes first.
// unit: beside the code; integration: whole processes; soak: faults, scale and endurance (short, unless
// `npm run soak` says how long); conformance: the target held to the specifications; guest: a real Linux kernel in a virtual machine.
const report = process.env['TEST_REPORT'];

/** What is waited for may take as long as a busy machine makes it: that it comes is what is tested. */
const expect = { poll: { timeout: 10_000 } };

export default defineConfig({
  test: {
    reporters: report === undefined ? ['default'] : ['default', ['json', { outputFile: report }]],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{rpc-schema,packages,apps}/**/src/**/*.test.ts'],
          exclude: ['**/node_modules/**', '**/dist/**', '**/lib/**'],
          expect,
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts', 'test/sim/**/*.test.ts'],
          expect,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
      ...[
        ['bdev', {}],
        // The same without the addon.
        ['bdev-portable', { SPDK_TS_NATIVE: '0' }],
      ].map(([name, env]) => ({
        test: {
          name: name as string,
          env: env as Record<string, string>,
          include: ['test/bdev/**/*.test.ts'],
          expect,
          testTimeout: 120_000,
          hookTimeout: 60_000,
          // Loaded by Node.js itself, as plugins from elsewhere are: both then share one block device layer.
          server: { deps: { external: [/\/(?:dist|lib)\//] } },
        },
      })),
      {
        test: {
          name: 'conformance',
          include: ['test/conformance/**/*.test.ts'],
          expect,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'soak',
          include: ['test/soak/**/*.test.ts'],
          expect,
          testTimeout: 120_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'guest',
          include: ['test/linux-guest/**/*.test.ts'],
          expect,
          testTimeout: 600_000,
          hookTimeout: 600_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
