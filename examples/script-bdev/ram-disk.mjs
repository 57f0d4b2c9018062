// A RAM disk with a fault, as a script bdev. Its memory is shared by the reactors; reads of one block fail with the
// NVMe status "unrecovered read error" until that block is written. From the top of the checkout:
//   rpc.ts bdev_script_create Ram0 examples/script-bdev/ram-disk.mjs 64 4096 --params '{"bad_block": 100}'

/** @type {import('@spdk-ts/bdev-script').Script} */
export default {
  memory_bytes: ({ num_blocks, block_size }) => num_blocks * block_size + 4,

  open({ memory, num_blocks, block_size, params }) {
    const disk = new Uint8Array(memory, 0, num_blocks * block_size);
    const repaired = new Int32Array(memory, disk.length, 1);
    const bad = (params.bad_block ?? -1) * block_size;
    const hitsBad = ({ offset, length }) => offset <= bad && bad < offset + length;

    return {
      read(io) {
        if (hitsBad(io) && Atomics.load(repaired, 0) === 0) throw { sct: 2, sc: 0x81 };
        let at = io.offset;
        for (const piece of io.pieces) {
          piece.set(disk.subarray(at, at + piece.length));
          at += piece.length;
        }
      },
      write(io) {
        let at = io.offset;
        for (const piece of io.pieces) {
          disk.set(piece, at);
          at += piece.length;
        }
        if (hitsBad(io)) Atomics.store(repaired, 0, 1);
      },
      flush() {},
      unmap: ({ offset, length }) => void disk.fill(0, offset, offset + length),
      writeZeroes: ({ offset, length }) => void disk.fill(0, offset, offset + length),
    };
  },
};
