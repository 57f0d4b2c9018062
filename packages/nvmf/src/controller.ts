// CONTRACT ONLY until the controller is written.
export declare class NvmfController {
  readonly cntlid: number;
}
