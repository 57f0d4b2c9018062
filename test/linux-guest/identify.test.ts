// What the kernel and nvme-cli are told about controllers and namespaces.
import { expect } from 'vitest';
import { guestSuite } from './suite.ts';
import { freePort, type Json, Target } from './target.ts';

const MiB = 1 << 20;
const nqn = 'nqn.2024-01.io.spdk-ts:identify';
const serial = 'SPDKTS00000000000042';
const kato = 5;
let uuids: string[] = [];

/** From the text of `nvme get-feature`, which ends in the value. */
const featureValue = (text: string): number =>
  Number(/value: ?(0x)?([0-9a-f]+)/i.exec(text)?.[0].replace(/.*: ?(0x)?/, '0x'));

guestSuite('identification', {
  start: async (world) => {
    world.target = await Target.start();
    world.port = await freePort();
    const { target } = world;
    await target.createMalloc('small', 32 * MiB, 512);
    await target.createMalloc('large', 64 * MiB, 4096);
    await target.export(nqn, ['small', 'large'], world.port, serial);
    const bdevs = await target.rpc('bdev_get_bdevs');
    uuids = ['small', 'large'].map((name) => bdevs.find((b: Json) => b.name === name).uuid);
    return { nqn, kato };
  },

  checks: (world) => [
    {
      title: 'it connects and shows both namespaces',
      bash: `
        attach $nqn -k $kato
        wait_for 10 has_block_device $nqn 2
        nvme list | tee $out/list.txt
        for n in 1 2; do
          d=$(block_device $nqn $n); b=/sys/block/\${d##*/}
          echo $n $(bytes $d) $(<$b/queue/logical_block_size) $(<$b/uuid) $(<$b/nguid) >>$out/namespaces
        done`,
      expect: ({ read }) => {
        const list = read('list.txt').split('\n');
        expect(list.filter((line) => line.startsWith('/dev/') && line.includes(serial))).toHaveLength(2);
        // without any other identity, a namespace takes that of its bdev
        expect(read('namespaces').trim().split('\n')).toEqual([
          `1 ${32 * MiB} 512 ${uuids[0]} ${uuids[0]}`,
          `2 ${64 * MiB} 4096 ${uuids[1]} ${uuids[1]}`,
        ]);
      },
    },
    {
      title: 'nvme id-ctrl',
      bash: `
        c=/dev/$(basename $(controller $nqn))
        nvme id-ctrl $c
        nvme id-ctrl $c -o json >$out/id-ctrl.json
        cat $(controller $nqn)/cntlid >$out/cntlid`,
      expect: ({ read, json }) => {
        const id = json('id-ctrl.json');
        expect(id.sn.trim()).toBe(serial);
        expect(id.mn.trim()).not.toBe('');
        expect(id.fr.trim()).not.toBe('');
        expect(id.subnqn).toBe(nqn);
        expect(id.cntlid).toBe(Number(read('cntlid')));
        expect(id.cntrltype).toBe(1);
        expect(id.ver).toBeGreaterThanOrEqual(0x10300);
        expect([id.sqes, id.cqes]).toEqual([0x66, 0x44]);
        expect(id.nn).toBeGreaterThanOrEqual(2);
        expect(id.kas).toBeGreaterThan(0);
        // in-capsule data for at least a 4 KiB write, keyed and unkeyed lists, offsets
        expect(id.ioccsz).toBeGreaterThanOrEqual((64 + 4096) / 16);
        expect(id.iorcsz).toBe(1);
        expect(id.icdoff).toBe(0);
        expect(id.sgls & 3).not.toBe(0);
        // compare, dataset management, write zeroes
        expect(id.oncs & 0b1101).toBe(0b1101);
        expect(id.maxcmd).toBeGreaterThanOrEqual(1);
      },
    },
    {
      title: 'nvme id-ns and list-ns, and the identification descriptors',
      bash: `
        c=/dev/$(basename $(controller $nqn))
        for n in 1 2; do
          nvme id-ns $(block_device $nqn $n)
          nvme id-ns $(block_device $nqn $n) -o json >$out/id-ns.$n.json
          nvme ns-descs $(block_device $nqn $n) >$out/ns-descs.$n
        done
        nvme list-ns $c | tee $out/list-ns
        nvme list-ns $c -n 2 | tee $out/list-ns-from
        # one that is not there
        nvme id-ns $c -n 3 -o json >$out/id-ns.3.json 2>&1 || echo $? >$out/id-ns.3.status`,
      expect: ({ read, json }) => {
        const [small, large] = [json('id-ns.1.json'), json('id-ns.2.json')];
        expect([small.nsze, small.ncap, small.flbas & 15, small.lbafs[small.flbas & 15].ds]).toEqual([
          65536, 65536, 0, 9,
        ]);
        expect([large.nsze, large.ncap, large.flbas & 15, large.lbafs[large.flbas & 15].ds]).toEqual([
          16384, 16384, 0, 12,
        ]);
        [small, large].forEach((id, i) => {
          expect(id.nguid).toBe(uuids[i]!.replaceAll('-', ''));
          expect(read(`ns-descs.${i + 1}`)).toContain(uuids[i]);
        });
        const nsids = (name: string): string[] => read(name).match(/:0x[0-9a-f]+$/gm) ?? [];
        expect(nsids('list-ns')).toEqual([':0x1', ':0x2']);
        expect(nsids('list-ns-from')).toEqual([':0x2']);
      },
    },
    {
      title: 'nvme get-log: SMART, errors, firmware, and a log that is not there',
      bash: `
        c=/dev/$(basename $(controller $nqn))
        nvme smart-log $c -o json >$out/smart.json
        nvme error-log $c -e 4
        nvme error-log $c -e 4 -o json >$out/errors.json
        nvme fw-log $c
        nvme fw-log $c -o json >$out/firmware.json
        for log in 1 2 3; do
          nvme get-log $c --log-id=$log --log-len=512 --raw-binary >$out/log.$log
          [ $(stat -c %s $out/log.$log) = 512 ]
        done
        ! nvme get-log $c --log-id=0xbf --log-len=512 >$out/log.bf 2>&1 || complain 'there is a log BFh?'
        is_live $nqn`,
      expect: ({ read, json }) => {
        const smart = json('smart.json');
        expect(smart.critical_warning.value ?? smart.critical_warning).toBe(0);
        expect(smart.avail_spare).toBeGreaterThanOrEqual(smart.spare_thresh);
        // in Kelvin, 0 when there is no such thing as a temperature
        expect(smart.temperature).toBeLessThan(400);
        expect(json('errors.json').errors.length).toBeGreaterThan(0);
        expect(Object.keys(json('firmware.json')).length).toBeGreaterThan(0);
        expect(read('log.bf')).toMatch(
          /INVALID_LOG|Invalid Log|INVALID_FIELD|Invalid Field|0x109|0x4109|0x2/i,
        );
      },
    },
    {
      title: 'nvme get-feature and set-feature',
      bash: `
        c=/dev/$(basename $(controller $nqn))
        for f in 1 2 4 7 8 0xb 0xf; do
          nvme get-feature $c -f $f >$out/feature.$f 2>&1 || echo "refused ($?)" >>$out/feature.$f
          cat $out/feature.$f
        done
        nvme set-feature $c -f 0xb -v 0x100
        nvme get-feature $c -f 0xb >$out/after
        # back to what Linux had asked for
        nvme set-feature $c -f 0xb -v $(sed -n 's/.*value: *\\(0x\\)\\?\\([0-9a-f]*\\).*/0x\\2/p' $out/feature.0xb)
        ! nvme get-feature $c -f 0xcf >$out/feature.0xcf 2>&1 || complain 'there is a feature CFh?'
        is_live $nqn`,
      expect: ({ read }) => {
        const queues = featureValue(read('feature.7'));
        // both counts from 0: the two that the guest has for its CPUs, at least
        expect(queues & 0xffff).toBeGreaterThanOrEqual(1);
        expect(queues >>> 16).toBeGreaterThanOrEqual(1);
        // as asked for, or the next that the controller can tell from it
        expect(featureValue(read('feature.0xf'))).toBeGreaterThanOrEqual(kato * 1000);
        expect(featureValue(read('feature.0xf'))).toBeLessThanOrEqual(kato * 2000);
        // namespace attributes changed: without this the kernel would not see any change
        expect(featureValue(read('feature.0xb')) & 0x100).toBe(0x100);
        expect(featureValue(read('after'))).toBe(0x100);
      },
    },
    {
      title: 'nvme get-property: an enabled and ready controller',
      bash: `
        c=/dev/$(basename $(controller $nqn))
        for p in 0x0 0x8 0x14 0x1c; do nvme get-property $c --offset=$p >$out/property.$p; cat $out/property.$p; done
        is_live $nqn`,
      expect: ({ read }) => {
        const property = (offset: string): bigint =>
          BigInt(`0x${/value: *(?:0x)?([0-9a-f]+)/.exec(read(`property.${offset}`))?.[1]}`);
        // the NVM command set, and room for what the kernel asked for
        expect(property('0x0') & (1n << 37n)).not.toBe(0n);
        expect(property('0x0') & 0xffffn).toBeGreaterThanOrEqual(31n);
        expect(property('0x8')).toBeGreaterThanOrEqual(0x10300n);
        expect(property('0x14') & 1n).toBe(1n);
        expect(property('0x1c')).toBe(1n);
      },
    },
    {
      title: 'commands that the target does not know are refused, and it goes on',
      bash: `
        c=/dev/$(basename $(controller $nqn)) d=$(block_device $nqn)
        ! nvme admin-passthru $c --opcode=0xfe >$out/admin 2>&1 || complain 'FEh is known?'
        ! nvme io-passthru $d --opcode=0xfe --namespace-id=1 >$out/io 2>&1 || complain 'FEh is known?'
        dd if=$d of=/dev/null bs=4k count=1 iflag=direct status=none
        is_live $nqn`,
      expect: ({ read }) => {
        for (const name of ['admin', 'io'])
          expect(read(name)).toMatch(/INVALID_OPCODE|Invalid Command Opcode|0x[0-9a-f]*1\)/i);
        expect(world.target.running).toBe(true);
      },
    },
    { title: 'nvme disconnect', bash: 'detach $nqn' },
  ],
});
