/**
 * UUIDs, NGUIDs and EUI64s as text and as bytes in network order. Text is lower case; parsing takes either case.
 */

/** 16 bytes of a UUID in the form 8-4-4-4-12 (RFC 9562), or null. */
export function parseUuid(text: string): Uint8Array | null {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return null;
  return parseHex(text.replaceAll('-', ''), 16);
}

export function formatUuid(bytes: Uint8Array): string {
  const hex = formatHex(bytes);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** 16 bytes of a Namespace Globally Unique Identifier of 32 hexadecimal digits, or null. */
export function parseNguid(text: string): Uint8Array | null {
  return parseHex(text, 16);
}

export function formatNguid(bytes: Uint8Array): string {
  return formatHex(bytes);
}

/** 8 bytes of an IEEE Extended Unique Identifier of 16 hexadecimal digits, or null. */
export function parseEui64(text: string): Uint8Array | null {
  return parseHex(text, 8);
}

export function formatEui64(bytes: Uint8Array): string {
  return formatHex(bytes);
}

/** Whether an identifier is absent: all bytes zero. */
export function isZeroId(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

function parseHex(text: string, length: number): Uint8Array | null {
  if (text.length !== length * 2 || !/^[0-9a-f]*$/i.test(text)) return null;
  return Uint8Array.from({ length }, (_, i) => Number.parseInt(text.slice(i * 2, i * 2 + 2), 16));
}

function formatHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}
