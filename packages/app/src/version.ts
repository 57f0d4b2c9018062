import { readFileSync } from 'node:fs';

const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** The framework's version, `major.minor.patch[-suffix]`. */
export const version = manifest.version;

export interface VersionFields {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  readonly suffix: string;
}

/** The version in parts, as spdk_get_version shows it. */
export function versionFields(): VersionFields {
  const match = /^(\d+)\.(\d+)\.(\d+)(.*)$/.exec(version);
  if (match === null) throw new Error(`version ${version} is not major.minor.patch`);
  return {
    major: Number(match[1]),
    minor: Number(match[2]),
    patch: Number(match[3]),
    suffix: match[4] ?? '',
  };
}
