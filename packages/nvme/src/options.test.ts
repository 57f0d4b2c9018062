import { expect, it } from 'vitest';
import { resolveTarget } from './node-identity.ts';
import { defaultNvmeOptions, nvmeOptions } from './options.ts';
import { parseTransportId } from './transport-id.ts';

it('fills in SPDK’s defaults', () => {
  expect(nvmeOptions()).toEqual(defaultNvmeOptions);
  expect(nvmeOptions({ io_queue_size: 16 }).io_queue_size).toBe(16);
});

it.each([
  [{ io_queue_size: 1 }, /io_queue_size is 1: it must be an integer from 2/],
  [{ admin_queue_size: 16 }, /admin_queue_size is 16/],
  [{ keep_alive_timeout_ms: -1 }, /keep_alive_timeout_ms is -1/],
  [{ connect_timeout_ms: 0.5 }, /connect_timeout_ms is 0.5/],
  [{ hostid: 'abc' }, /hostid is 'abc'/],
])('refuses %j', (options, message) => {
  expect(() => nvmeOptions(options)).toThrow(message);
});

it('makes a host identity that stays, and takes one that is given', async () => {
  const trid = parseTransportId('trtype:TCP traddr:127.0.0.1');
  const one = await resolveTarget(trid);
  const other = await resolveTarget(trid);
  expect(one.options.hostnqn).toMatch(/^nqn\./);
  expect(one.options.hostid).toMatch(/^[0-9a-f]{32}$/);
  expect(other).toEqual(one);
  const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:01234567-89ab-cdef-0123-456789abcdef';
  const given = await resolveTarget({ ...trid, hostnqn });
  expect(given.options).toMatchObject({ hostnqn, hostid: '0123456789abcdef0123456789abcdef' });
});

it('tells of a name that has no address, and of what is not supported', async () => {
  const trid = parseTransportId('trtype:TCP traddr:no-such-host.invalid');
  await expect(resolveTarget(trid)).rejects.toMatchObject({ code: 'ECONNECT' });
  const from = (text: string) => resolveTarget(parseTransportId(`trtype:TCP traddr:127.0.0.1 ${text}`));
  await expect(from('hostsvcid:4500')).rejects.toMatchObject({ code: 'EUNSUPPORTED' });
  await expect(from('hostaddr:::1')).rejects.toThrow('hostaddr:::1 is not a numeric IPv4 address');
  expect((await from('hostaddr:127.0.0.2')).trid.hostaddr).toBe('127.0.0.2');
});
