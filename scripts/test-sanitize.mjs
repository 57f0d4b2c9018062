// Runs suites with an addon that checks itself: built with the address and undefined-behaviour sanitizers, and loaded
// into an ordinary node by SPDK_TS_ADDON. The sanitizer's library has to be in the process before anything else, so
// it is preloaded. `test-sanitize.mjs [vitest arguments]`: without arguments, everything that runs C code.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sanitizerFlags } from '../packages/native/sanitizer-flags.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const native = join(root, 'packages/native');
const compiler = process.env.CC || 'cc';

const fail = (why) => {
  console.error(`test-sanitize: ${why}`);
  process.exit(1);
};
const run = (command, args, options = {}) =>
  spawnSync(command, args, { cwd: root, encoding: 'utf8', ...options });

if (run(process.execPath, [join(native, 'build-addon.mjs'), '--sanitize'], { stdio: 'inherit' }).status !== 0)
  fail('the addon cannot be built with sanitizers');
const library = run(compiler, ['-print-file-name=libasan.so']).stdout.trim();
if (!library.startsWith('/')) fail(`${compiler} has no libasan.so`);

const options = [
  'detect_leaks=0', // V8 frees nothing at the end
  'abort_on_error=1',
  'allow_user_segv_handler=1', // V8 has handlers of its own
  'use_sigaltstack=0', // the end of a worker thread would free the stack that V8's signal handlers use
  'detect_stack_use_after_return=0', // V8 looks for references on the real stack
  'allocator_may_return_null=1', // a caller may ask for more than there is
];
const env = {
  ...process.env,
  LD_PRELOAD: library,
  SPDK_TS_ADDON: join(native, 'build/sanitize/spdk_ts.node'),
  ASAN_OPTIONS: options.join(':'),
  UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
};

// An addon with errors on purpose: a run that finds nothing must be one that would have found something.
const planted = `
#define NAPI_VERSION 8
#include <node_api.h>
#include <stdlib.h>
#include <string.h>
static napi_value beyond(napi_env env, napi_callback_info info) {
  volatile size_t length = 9;
  char *bytes = malloc(8);
  napi_value result;
  (void)info;
  memset(bytes, 1, length);
  return napi_create_int32(env, bytes[0], &result) == napi_ok ? result : NULL;
}
static napi_value overflow(napi_env env, napi_callback_info info) {
  volatile int largest = 0x7fffffff;
  napi_value result;
  (void)info;
  return napi_create_int32(env, largest + 1, &result) == napi_ok ? result : NULL;
}
NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "beyond", NAPI_AUTO_LENGTH, beyond, NULL, &function);
  napi_set_named_property(env, exports, "beyond", function);
  napi_create_function(env, "overflow", NAPI_AUTO_LENGTH, overflow, NULL, &function);
  napi_set_named_property(env, exports, "overflow", function);
  return exports;
}
`;
const folder = mkdtempSync(join(tmpdir(), 'spdk-ts-sanitize-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const headers = createRequire(join(native, 'package.json'))('node-api-headers').include_dir;
writeFileSync(join(folder, 'planted.c'), planted);
const addon = join(folder, 'planted.node');
const flags = ['-std=gnu11', ...sanitizerFlags, '-fPIC', '-shared', `-I${headers}`, '-o', addon];
if (run(compiler, [...flags, join(folder, 'planted.c')], { stdio: 'inherit' }).status !== 0)
  fail('the planted errors cannot be compiled');
for (const [call, report] of [
  ['beyond', 'heap-buffer-overflow'],
  ['overflow', 'signed integer overflow'],
]) {
  const child = run(process.execPath, ['-e', `require(${JSON.stringify(addon)}).${call}()`], { env });
  if (child.status === 0 || !child.stderr.includes(report))
    fail(`a planted error (${report}) was not found:\n${child.stderr}`);
}
const probe = run(process.execPath, ['-e', `require(${JSON.stringify(env.SPDK_TS_ADDON)})`], { env });
if (probe.status !== 0) fail(`the addon cannot be loaded:\n${probe.stderr}`);

const suites = [
  ...['native', 'env', 'dif', 'reactor', 'sock', 'bdev'].map((name) => `packages/${name}/`),
  'packages/bdev-modules/',
  // Other suites of the target run the same C code; any can be named instead.
  ...['nvmf-tcp-io', 'nvmf-tcp-memory', 'tiny-ring'].map((name) => `test/integration/${name}`),
];
const args = process.argv.slice(2);
const vitest = [
  'vitest',
  'run',
  ...(args.length > 0 ? args : ['--project', 'unit', '--project', 'integration', ...suites]),
];
const { status } = run('npx', vitest, { stdio: 'inherit', env });
process.exit(status ?? 1);
