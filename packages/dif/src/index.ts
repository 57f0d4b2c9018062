export { crc16T10dif } from './crc16-t10dif.ts';
export { crc64Nvme } from './crc64-nvme.ts';
export { Dif } from './dif.ts';
export { DifFailure } from './failure.ts';
export { DifCheck, DifFormat, DifLayout, type DifOptions, DifType, PI_BYTES } from './format.ts';
export { Guard } from './guard.ts';
export { APPTAG_ESCAPE, type DifTags, PiCodec } from './pi-codec.ts';
export { Pieces } from './pieces.ts';
