import {
  type BdevControlPlugin,
  type BdevPluginContext,
  BdevRegistry,
  bdevReactorEntry,
} from '@spdk-ts/bdev';
import { systemClock } from '@spdk-ts/env';
import { LocalHost } from '@spdk-ts/reactor';
import { RpcServer } from '@spdk-ts/rpc';
import { defineMethod, registerSchema, t } from '@spdk-ts/rpc-schema';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lateModule } from './late-module.ts';

const method = (name: string) =>
  defineMethod({ name, text: 'A method of a test.', params: {}, result: t.bool, own: true });
const methods = [method('bdev_tardy_create'), method('bdev_tardy_delete')];
registerSchema(...methods);

/** A reactor half that answers that it is there. */
const half = 'export default { name: "tardy", start: () => ({ there: () => true }) };';

let host: LocalHost;
let rpc: RpcServer;
let loads: number;
beforeEach(async () => {
  host = await LocalHost.start({ clock: systemClock(), count: 2, plugins: [] });
  await host.load(bdevReactorEntry);
  rpc = new RpcServer();
  loads = 0;
});
afterEach(() => host.stop());

async function offer(setup: (context: BdevPluginContext) => void | Promise<void>): Promise<void> {
  const reactorEntry = `data:text/javascript,${encodeURIComponent(half)}`;
  const plugin: BdevControlPlugin = { name: 'tardy', reactorEntry, setup };
  const late = lateModule('tardy', methods, async () => {
    loads++;
    return plugin;
  });
  await late.setup({ host, bdevs: new BdevRegistry(host), rpc });
}

const call = (name: string): Promise<unknown> => rpc.call(name as never, {} as never);

it('is loaded once, on every reactor, when one of its methods is called', async () => {
  const seen: unknown[] = [];
  await offer(async (context) => {
    seen.push(await host.broadcast('tardy', 'there'));
    context.rpc.register('bdev_tardy_create' as never, (() => true) as never);
    context.rpc.register('bdev_tardy_delete' as never, (() => false) as never);
  });
  expect(rpc.methods()).toEqual(expect.arrayContaining(['bdev_tardy_create', 'bdev_tardy_delete']));
  expect(loads).toBe(0);
  await expect(host.broadcast('tardy', 'there')).rejects.toThrow('no service tardy');
  const answers = Promise.all([
    call('bdev_tardy_create'),
    call('bdev_tardy_delete'),
    call('bdev_tardy_create'),
  ]);
  expect(await answers).toEqual([true, false, true]);
  expect(loads).toBe(1);
  expect(seen).toEqual([[true, true]]);
});

it('answers every call with what kept it from being set up', async () => {
  await offer(() => {
    throw new Error('no room left');
  });
  await expect(call('bdev_tardy_create')).rejects.toThrow('no room left');
  await expect(call('bdev_tardy_delete')).rejects.toThrow('no room left');
  expect(loads).toBe(1);
});
