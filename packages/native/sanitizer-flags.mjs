// How C is compiled so that it ends the process at its first wrong access or undefined behaviour.
export const sanitizerFlags = [
  '-O1',
  '-fno-omit-frame-pointer',
  '-fsanitize=address,undefined',
  '-fno-sanitize-recover=all',
];
