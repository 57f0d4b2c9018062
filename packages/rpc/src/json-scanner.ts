/** Where a key or a scalar is: object keys and array indices from the outside in. */
export type JsonPath = readonly (string | number)[];

/** The input cannot become JSON any more. `offset` is in bytes from the start of the value. */
export class JsonScanError extends Error {
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(message);
    this.name = 'JsonScanError';
    this.offset = offset;
  }
}

export interface JsonScannerOptions {
  /** Most keys, scalars and container ends in one value. */
  readonly maxValues?: number;
  readonly maxDepth?: number;
  /** Look for keys that occur twice and for the text of `id`s; a client reading answers needs neither. */
  readonly details?: boolean;
}

const maxDuplicatesKept = 8;

// What the next byte may be. Numbers have a state for each place in their grammar.
const VALUE = 0;
const VALUE_OR_END = 1;
const KEY_OR_END = 2;
const KEY = 3;
const COLON = 4;
const COMMA_OR_END = 5;
const STRING = 6;
const ESCAPE = 7;
const HEX = 8;
const LITERAL = 9;
const MINUS = 10;
const ZERO = 11;
const DIGITS = 12;
const POINT = 13;
const FRACTION = 14;
const EXPONENT = 15;
const EXPONENT_SIGN = 16;
const EXPONENT_DIGITS = 17;

const TRUE = [0x74, 0x72, 0x75, 0x65];
const FALSE = [0x66, 0x61, 0x6c, 0x73, 0x65];
const NULL = [0x6e, 0x75, 0x6c, 0x6c];

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;
const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
const isHex = (byte: number): boolean =>
  isDigit(byte) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);

const decoder = new TextDecoder('utf-8');

/**
 * Finds where JSON values end in a stream of bytes that has no delimiter between them (RFC 8259 grammar; UTF-8 is
 * left to whoever decodes). It keeps its place between calls, so every byte is looked at once however the stream is
 * cut. It also notes what JSON.parse would hide: keys given twice, and ids as they were written.
 */
export class JsonScanner {
  /** Paths of keys that occurred twice in one object; only the first few. */
  duplicates: JsonPath[] = [];
  /** Text of the scalar at `id`, by element of a batch, or by -1 for a single request. */
  ids = new Map<number, string>();

  #state = VALUE;
  #position = 0;
  #started = false;
  #values = 0;
  #inKey = false;
  #escaped = false;
  #tokenStart = 0;
  #hexLeft = 0;
  #literal: readonly number[] = NULL;
  #literalAt = 0;
  #isArray: boolean[] = [];
  #path: (string | number)[] = [];
  #keys: (Set<string> | undefined)[] = [];
  readonly #maxValues: number;
  readonly #maxDepth: number;
  readonly #details: boolean;

  constructor(options: JsonScannerOptions = {}) {
    this.#maxValues = options.maxValues ?? Number.POSITIVE_INFINITY;
    this.#maxDepth = options.maxDepth ?? Number.POSITIVE_INFINITY;
    this.#details = options.details ?? true;
  }

  /** Whether anything but white space of the next value has been seen. */
  get started(): boolean {
    return this.#started;
  }

  /** Makes ready for the next value. */
  reset(): void {
    this.duplicates = [];
    this.ids = new Map();
    this.#state = VALUE;
    this.#position = 0;
    this.#started = false;
    this.#values = 0;
    this.#isArray.length = 0;
    this.#path.length = 0;
    this.#keys.length = 0;
  }

  /**
   * Goes on looking for the end of the value whose first byte, or the white space before it, is `bytes[start]`, in
   * bytes up to `end`. Bytes given earlier must still be there. Returns the length of the value, or -1 if it goes on.
   * A number outside of any container ends before the first byte that does not belong to it. Throws JsonScanError.
   */
  scan(bytes: Uint8Array, start: number, end: number): number {
    let at = start + this.#position;
    while (at < end) {
      if (this.#state === STRING) {
        at = this.#string(bytes, start, at, end);
        if (at < 0) {
          this.#position = end - start;
          return -1;
        }
        if (this.#finished()) return this.#position;
        continue;
      }
      const byte = bytes[at]!;
      if (this.#state >= MINUS) {
        if (this.#number(byte, at - start)) {
          at += 1;
          continue;
        }
        this.#position = at - start;
        this.#scalarEnd(bytes, start, at);
        if (this.#finished()) return this.#position;
        continue; // the same byte again, as what follows the number
      }
      this.#step(bytes, start, at, byte);
      at += 1;
      this.#position = at - start;
      if (this.#finished()) return this.#position;
    }
    this.#position = end - start;
    return -1;
  }

  #finished(): boolean {
    return this.#started && this.#isArray.length === 0 && this.#state === COMMA_OR_END;
  }

  /** Everything but the inside of strings and numbers. */
  #step(bytes: Uint8Array, start: number, at: number, byte: number): void {
    switch (this.#state) {
      case ESCAPE:
        if (byte === 0x75) {
          this.#hexLeft = 4;
          this.#state = HEX;
        } else if (
          byte === 0x22 ||
          byte === 0x5c ||
          byte === 0x2f ||
          byte === 0x62 ||
          byte === 0x66 ||
          byte === 0x6e ||
          byte === 0x72 ||
          byte === 0x74
        ) {
          this.#state = STRING;
        } else this.#unexpected(byte, at - start, 'an escape such as \\n');
        return;
      case HEX:
        if (!isHex(byte)) this.#unexpected(byte, at - start, 'a hexadecimal digit');
        this.#hexLeft -= 1;
        if (this.#hexLeft === 0) this.#state = STRING;
        return;
      case LITERAL:
        if (byte !== this.#literal[this.#literalAt])
          this.#unexpected(byte, at - start, 'true, false or null');
        this.#literalAt += 1;
        if (this.#literalAt === this.#literal.length) this.#scalarEnd(bytes, start, at + 1);
        return;
    }
    if (isSpace(byte)) return;
    const offset = at - start;
    switch (this.#state) {
      case VALUE:
        this.#value(byte, offset);
        return;
      case VALUE_OR_END:
        if (byte === 0x5d) this.#close();
        else this.#value(byte, offset);
        return;
      case KEY_OR_END:
        if (byte === 0x7d) this.#close();
        else this.#key(byte, offset, 'a key in double quotes or }');
        return;
      case KEY:
        this.#key(byte, offset, 'a key in double quotes');
        return;
      case COLON:
        if (byte !== 0x3a) this.#unexpected(byte, offset, ':');
        this.#state = VALUE;
        return;
      default: {
        const depth = this.#isArray.length - 1;
        if (this.#isArray[depth]) {
          if (byte === 0x5d) this.#close();
          else if (byte === 0x2c) {
            this.#path[depth] = (this.#path[depth] as number) + 1;
            this.#state = VALUE;
          } else this.#unexpected(byte, offset, ', or ]');
        } else if (byte === 0x7d) this.#close();
        else if (byte === 0x2c) this.#state = KEY;
        else this.#unexpected(byte, offset, ', or }');
      }
    }
  }

  #value(byte: number, offset: number): void {
    this.#started = true;
    this.#tokenStart = offset;
    if (byte === 0x7b || byte === 0x5b) {
      this.#open(byte === 0x5b, offset);
    } else if (byte === 0x22) {
      this.#inKey = false;
      this.#escaped = false;
      this.#state = STRING;
    } else if (byte === 0x2d) this.#state = MINUS;
    else if (byte === 0x30) this.#state = ZERO;
    else if (isDigit(byte)) this.#state = DIGITS;
    else if (byte === 0x74) this.#beginLiteral(TRUE);
    else if (byte === 0x66) this.#beginLiteral(FALSE);
    else if (byte === 0x6e) this.#beginLiteral(NULL);
    else this.#unexpected(byte, offset, 'a JSON value');
  }

  #beginLiteral(literal: readonly number[]): void {
    this.#literal = literal;
    this.#literalAt = 1;
    this.#state = LITERAL;
  }

  #key(byte: number, offset: number, wanted: string): void {
    if (byte !== 0x22) this.#unexpected(byte, offset, wanted);
    this.#tokenStart = offset;
    this.#inKey = true;
    this.#escaped = false;
    this.#state = STRING;
  }

  #open(array: boolean, offset: number): void {
    if (this.#isArray.length >= this.#maxDepth) {
      throw new JsonScanError(`nested deeper than ${this.#maxDepth} levels`, offset);
    }
    this.#count(offset);
    this.#isArray.push(array);
    this.#path.push(array ? 0 : '');
    this.#keys.push(undefined);
    this.#state = array ? VALUE_OR_END : KEY_OR_END;
  }

  #close(): void {
    this.#count(this.#position);
    this.#isArray.pop();
    this.#path.pop();
    this.#keys.pop();
    this.#state = COMMA_OR_END;
  }

  #count(offset: number): void {
    this.#values += 1;
    if (this.#values > this.#maxValues) {
      throw new JsonScanError(`more than ${this.#maxValues} values; send several smaller requests`, offset);
    }
  }

  /** Runs through a string from `at`; returns the place behind its quote, or -1 if it goes on. */
  #string(bytes: Uint8Array, start: number, at: number, end: number): number {
    for (let i = at; i < end; i++) {
      const byte = bytes[i]!;
      if (byte === 0x22) {
        this.#position = i + 1 - start;
        if (this.#inKey) this.#keyEnd(bytes, start, i + 1);
        else this.#scalarEnd(bytes, start, i + 1);
        return i + 1;
      }
      if (byte === 0x5c) {
        this.#escaped = true;
        this.#state = ESCAPE;
        this.#position = i + 1 - start;
        return i + 1;
      }
      if (byte < 0x20)
        this.#unexpected(byte, i - start, 'control characters in strings as escapes such as \\n');
    }
    return -1;
  }

  /** Takes one more byte into a number; false if it does not belong to it. */
  #number(byte: number, offset: number): boolean {
    switch (this.#state) {
      case MINUS:
        if (byte === 0x30) this.#state = ZERO;
        else if (isDigit(byte)) this.#state = DIGITS;
        else this.#unexpected(byte, offset, 'a digit');
        return true;
      case ZERO:
      case DIGITS:
        if (isDigit(byte)) {
          if (this.#state === ZERO) this.#unexpected(byte, offset, 'a number without leading zero');
        } else if (byte === 0x2e) this.#state = POINT;
        else if (byte === 0x65 || byte === 0x45) this.#state = EXPONENT;
        else return false;
        return true;
      case POINT:
      case FRACTION:
        if (isDigit(byte)) this.#state = FRACTION;
        else if (this.#state === POINT) this.#unexpected(byte, offset, 'a digit');
        else if (byte === 0x65 || byte === 0x45) this.#state = EXPONENT;
        else return false;
        return true;
      case EXPONENT:
        if (byte === 0x2b || byte === 0x2d) {
          this.#state = EXPONENT_SIGN;
          return true;
        }
        break;
      case EXPONENT_DIGITS:
        if (!isDigit(byte)) return false;
    }
    if (!isDigit(byte)) this.#unexpected(byte, offset, 'a digit');
    this.#state = EXPONENT_DIGITS;
    return true;
  }

  #scalarEnd(bytes: Uint8Array, start: number, end: number): void {
    this.#count(this.#tokenStart);
    this.#state = COMMA_OR_END;
    if (!this.#details) return;
    const depth = this.#path.length;
    if (depth === 1 && this.#path[0] === 'id') {
      this.ids.set(-1, decoder.decode(bytes.subarray(start + this.#tokenStart, end)));
    } else if (depth === 2 && this.#path[1] === 'id' && typeof this.#path[0] === 'number') {
      this.ids.set(this.#path[0], decoder.decode(bytes.subarray(start + this.#tokenStart, end)));
    }
  }

  #keyEnd(bytes: Uint8Array, start: number, end: number): void {
    this.#count(this.#tokenStart);
    this.#state = COLON;
    if (!this.#details) return;
    const quoted = decoder.decode(bytes.subarray(start + this.#tokenStart, end));
    const key = this.#escaped ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
    const depth = this.#path.length - 1;
    this.#path[depth] = key;
    const seen = this.#keys[depth];
    if (seen === undefined) this.#keys[depth] = new Set([key]);
    else if (seen.has(key)) {
      if (this.duplicates.length < maxDuplicatesKept) this.duplicates.push([...this.#path]);
    } else seen.add(key);
  }

  #unexpected(byte: number, offset: number, wanted: string): never {
    const shown =
      byte > 0x20 && byte < 0x7f
        ? `'${String.fromCharCode(byte)}'`
        : `byte 0x${byte.toString(16).padStart(2, '0')}`;
    throw new JsonScanError(`${shown} at byte ${offset}, where ${wanted} was expected`, offset);
  }
}
