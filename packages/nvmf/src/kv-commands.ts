import { type BdevIo, IoType } from '@spdk-ts/bdev';
import { kvOpcode, kvStoreOption, nvmOpcode } from '@spdk-ts/nvme-spec';
import type { NvmfController } from './controller.ts';
import { Counter } from './counters.ts';
import { clearFrom } from './memory-queue.ts';
import type { NvmfRequest } from './request.ts';
import { SingleIoCommands } from './single-io-commands.ts';
import { Status } from './status.ts';
import type { NamespaceView } from './subsystem-view.ts';

const OPTIONS = 0xff00;
const STORE_OPTIONS = kvStoreOption.mustExist | kvStoreOption.mustNotExist | kvStoreOption.noCompression;

/** The bytes of a key's word that belong to the key; `left`: bytes from the word's first to the key's end. */
function keyWord(word: number, left: number): number {
  if (left <= 0) return 0;
  return left >= 4 ? word | 0 : word & (2 ** (8 * left) - 1);
}

/** The Key Value Command Set (1.0, 3.2), over bdevs with keys. What is wrong with a key or value the bdev layer says. */
export class KvCommands extends SingleIoCommands {
  execute(request: NvmfRequest, ns: NamespaceView, controller: NvmfController): void {
    switch (request.opcode) {
      case kvOpcode.store:
        this.store(request, ns, controller);
        break;
      case kvOpcode.retrieve:
        this.fetch(request, ns, IoType.KV_RETRIEVE);
        break;
      case kvOpcode.list:
        this.fetch(request, ns, IoType.KV_LIST);
        break;
      case kvOpcode.exist:
        this.begin(request, ns, IoType.KV_EXIST, 0, false);
        break;
      case kvOpcode.delete:
        this.begin(request, ns, IoType.KV_DELETE, 0, !controller.state.writeCache);
        break;
      case nvmOpcode.flush:
        this.commands.flush(request, ns);
        break;
      default:
        this.commands.executeCommon(request, ns, controller);
    }
  }

  private store(request: NvmfRequest, ns: NamespaceView, controller: NvmfController): void {
    const bytes = request.cdw(10);
    if ((request.cdw(11) & OPTIONS & ~STORE_OPTIONS) !== 0 || bytes > request.qpair.maxIoSize)
      this.commands.end(request, Status.INVALID_FIELD);
    else if (bytes !== request.length) this.commands.end(request, Status.SGL_LENGTH_INVALID);
    else this.begin(request, ns, IoType.KV_STORE, bytes, !controller.state.writeCache);
  }

  /** Retrieve, List: whatever they do not fill of the host's buffer is zero. */
  private fetch(request: NvmfRequest, ns: NamespaceView, type: number): void {
    const { commands } = this;
    const room = request.cdw(10);
    if (room > request.qpair.maxIoSize) commands.end(request, Status.INVALID_FIELD);
    else if (room > request.length) commands.end(request, Status.SGL_LENGTH_INVALID);
    else if (commands.hasPlace(request)) {
      if (type === IoType.KV_LIST) clearFrom(commands.group.reactor.regions, request, 0);
      this.begin(request, ns, type, room, false);
    }
  }

  private begin(request: NvmfRequest, ns: NamespaceView, type: number, bytes: number, fua: boolean): void {
    const io = ns.channel.getIo();
    if (io === null) {
      this.commands.wait(request, ns.channel);
      return;
    }
    const length = request.cdw(11) & 0xff;
    io.type = type;
    io.region = bytes === 0 ? -1 : request.region;
    io.offset = request.offset;
    io.length = bytes;
    io.iovs = bytes === 0 ? null : request.iovs;
    io.fua = fua;
    io.kv_options = (request.cdw(11) >>> 8) & 0x3;
    io.key_length = length;
    io.key0 = keyWord(request.cdw(2), length);
    io.key1 = keyWord(request.cdw(3), length - 4);
    io.key2 = keyWord(request.cdw(14), length - 8);
    io.key3 = keyWord(request.cdw(15), length - 12);
    this.submit(request, io);
  }

  protected override succeeded(request: NvmfRequest, io: BdevIo): void {
    const { counters } = request.qpair.controller!.subsystem;
    if (io.type === IoType.KV_STORE) {
      counters.add(Counter.WRITE_COMMANDS, 1);
      counters.add(Counter.BYTES_WRITTEN, io.length);
    } else if (io.type === IoType.KV_RETRIEVE) {
      const bytes = Math.min(io.cdw0 >>> 0, io.length);
      request.dw0 = io.cdw0 >>> 0;
      clearFrom(this.commands.group.reactor.regions, request, bytes);
      counters.add(Counter.READ_COMMANDS, 1);
      counters.add(Counter.BYTES_READ, bytes);
    }
  }
}
