/*
 * What the emulated PCI function looks like: BARs, their parts, and the shared memory of a session.
 */
import { register } from '@spdk-ts/nvme-spec';

/** BAR0: registers in its first page, doorbells in the second (Base 2.0, 3.1.3; stride 4). */
export const REGISTER_BYTES: number = register.doorbells;
export const DOORBELL_BYTES = 0x1000;
export const BAR0_BYTES: number = REGISTER_BYTES + DOORBELL_BYTES;
/** Queue pairs that there are doorbells for, the admin queue included. */
export const QUEUES_MAX: number = DOORBELL_BYTES / 8;

/** BAR4: MSI-X table of 16 bytes for each vector. BAR5: pending bits. */
export const TABLE_BAR = 4;
export const PENDING_BAR = 5;
export const TABLE_ENTRY_BYTES = 16;
export const VECTORS_MAX = 512;
export const TABLE_BYTES: number = VECTORS_MAX * TABLE_ENTRY_BYTES;
export const PENDING_BYTES = 0x1000;
export const CONFIG_BYTES = 0x1000;

/** PCI ids: those of SPDK's vfio-user controllers, so that drivers treat both alike. */
export const PCI_VENDOR = 0x4e58;
export const PCI_DEVICE = 0x0001;
/** NVM Express I/O controller: class 01h, subclass 08h, programming interface 02h. */
export const PCI_CLASS = 0x01_08_02;

export const PAGE_BYTES = 4096;
export const SQE_BYTES = 64;
export const CQE_BYTES = 16;
