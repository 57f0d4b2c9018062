import { RpcError, type RpcServer, rpcCode } from '@spdk-ts/rpc';

/** Name of the only target, which callers may give. */
const TARGET_NAME = 'nvmf_tgt';

/** What registers handlers: the part of RpcServer that is needed. */
export type RpcRegistrar = Pick<RpcServer, 'register'>;

/** Throws an RPC error if `tgt_name` is not ours. */
export function checkTarget({ tgt_name }: { tgt_name?: string }): void {
  if (tgt_name !== undefined && tgt_name !== TARGET_NAME)
    throw new RpcError(
      rpcCode.internalError,
      `Unable to find target "${tgt_name}": there is one, called ${TARGET_NAME}; tgt_name may be left out`,
      { parameter: 'tgt_name' },
    );
}
