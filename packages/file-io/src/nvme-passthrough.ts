/**
 * Commands of NVMe as entries of a wide ring: IORING_OP_URING_CMD with struct nvme_uring_cmd (linux/nvme_ioctl.h) in
 * the entry's command area. Offsets are words of the entry.
 */
import type { Uring } from '@spdk-ts/reactor';

/** `cmd_op`: the data are at an address, or in the pieces of a gather list. */
export const NVME_URING_CMD_IO = 0xc048_4e80;
export const NVME_URING_CMD_IO_VEC = 0xc048_4e81;
/** `uring_cmd_flags`: the data are in registered memory. */
export const URING_CMD_FIXED = 1;

/** Words of the entry itself. */
export const CMD_OP = 2;
export const CMD_FLAGS = 7;
export const BUFFER_INDEX = 10;
/** Words of the command. Its first word is the opcode. */
export const OPCODE = 12;
export const NSID = 13;
export const CDW2 = 14;
export const CDW3 = 15;
export const ADDRESS = 18;
export const DATA_LENGTH = 21;
export const CDW10 = 22;
export const CDW11 = 23;
export const CDW12 = 24;
export const CDW13 = 25;
export const CDW14 = 26;
export const CDW15 = 27;
/** Words of a wide entry; its second half begins at half of them. */
const ENTRY_WORDS = 32;

/** Clears the half of a prepared entry that the ring leaves alone, and begins a command without data. */
export function beginCommand(ring: Uring, at: number, opcode: number, nsid: number): void {
  const { words } = ring;
  for (let i = ENTRY_WORDS / 2; i < ENTRY_WORDS; i++) words[at + i] = 0;
  words[at + CMD_OP] = NVME_URING_CMD_IO;
  words[at + OPCODE] = opcode;
  words[at + NSID] = nsid;
}

/** Sets 64 bits of the command: CDW10 and CDW11, or its address. */
export function setWords(ring: Uring, at: number, word: number, value: number): void {
  const { words } = ring;
  words[at + word] = value; // ToUint32: the low word
  words[at + word + 1] = value / 0x1_0000_0000;
}

/** Words of struct nvme_passthru_cmd, which is that of an entry and a result behind it. */
const PASSTHRU_WORDS = 18;

/** A command for {@link Native.nvmeAdmin}: `words` are those of an entry from {@link OPCODE} on, by the names here. */
export function adminCommand(
  opcode: number,
  nsid: number,
  words: Readonly<Record<number, number>>,
): Uint32Array {
  const command = new Uint32Array(PASSTHRU_WORDS);
  command[0] = opcode;
  command[NSID - OPCODE] = nsid;
  for (const [word, value] of Object.entries(words)) command[Number(word) - OPCODE] = value;
  return command;
}
