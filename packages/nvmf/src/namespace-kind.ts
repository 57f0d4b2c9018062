import type { BdevDescription } from '@spdk-ts/bdev';
import { csi } from '@spdk-ts/nvme-spec';

/** How commands at a namespace are carried out; 0 where there is nothing beside blocks. */
export const NamespaceKind = {
  /** NVM Command Set. */
  BLOCKS: 0,
  /** Zoned Namespace Command Set. */
  ZONED: 1,
  /** Key Value Command Set. */
  KEY_VALUE: 2,
  /** NVM Command Set, with protection information. */
  PROTECTED: 3,
} as const;

/** What a namespace on a bdev is. */
export function namespaceKind({ kv, zoned, dif_type }: BdevDescription): number {
  if (kv !== null) return NamespaceKind.KEY_VALUE;
  if (zoned) return NamespaceKind.ZONED;
  return dif_type > 0 ? NamespaceKind.PROTECTED : NamespaceKind.BLOCKS;
}

/** Its I/O command set. */
export function commandSetOf(kind: number): number {
  if (kind === NamespaceKind.KEY_VALUE) return csi.keyValue;
  return kind === NamespaceKind.ZONED ? csi.zoned : csi.nvm;
}
