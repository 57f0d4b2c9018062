import { type BdevIo, IoType } from '@spdk-ts/bdev';
import type { NvmeRequest } from '@spdk-ts/nvme';
import { dataTransfer, kvOpcode } from '@spdk-ts/nvme-spec';

function keyOpcode(type: number): number {
  switch (type) {
    case IoType.KV_STORE:
      return kvOpcode.store;
    case IoType.KV_RETRIEVE:
      return kvOpcode.retrieve;
    case IoType.KV_LIST:
      return kvOpcode.list;
    case IoType.KV_EXIST:
      return kvOpcode.exist;
    default:
      return kvOpcode.delete;
  }
}

/** Makes the command on an I/O's key (Key Value Command Set 1.0, 3.2), with its value or room for one. */
export function beginKeyCommand(request: NvmeRequest, io: BdevIo, nsid: number): void {
  const { sqe } = request;
  const bytes = io.type === IoType.KV_EXIST || io.type === IoType.KV_DELETE ? 0 : io.bytes;
  const stores = io.type === IoType.KV_STORE;
  request.begin(keyOpcode(io.type), nsid);
  sqe[2] = io.key0;
  sqe[3] = io.key1;
  sqe[14] = io.key2;
  sqe[15] = io.key3;
  sqe[11] = io.key_length | (stores ? io.kv_options << 8 : 0);
  sqe[10] = bytes;
  if (bytes === 0) return;
  request.place(
    stores ? dataTransfer.hostToController : dataTransfer.controllerToHost,
    io.region,
    io.offset,
    bytes,
  );
  request.iovs = io.iovs;
  request.may_be_short = !stores;
}
