// The .npy header, read and written: magic, version, and a Python dictionary of three entries. Pure: bytes in, values out.
// Written here and not taken from a package: files may be larger than memory, so that a header is needed without its data, and a file of the wrong byte
// order, axis order or length is to be refused. The packages for .npy read a whole file into one array.

/** What a header says. `shape` is in row-major order, last axis fastest, unless `fortranOrder`. */
export interface NpyHeader {
  /** As in the file, byte order first: `<f4`, `|u1`, `>i8`, `|O`. */
  readonly descr: string;
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
  /** Where the data begins, in bytes from the start of the file. */
  readonly dataOffset: number;
}

/** The bytes are not a header; the message says what was found and what was expected, without the file's name. */
export class NpyFormatError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "NpyFormatError";
  }
}

const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY
/** Bytes that are enough for `headerEnd`: magic 6, version 2, header length 2 or 4. */
export const prefixBytes = 12;
// NumPy refuses headers above 10,000 bytes; a plain array needs about 118.
const maximumHeaderBytes = 65536;
const alignment = 64;
// NumPy's own limit, since version 2; 32 before that.
const maximumAxes = 64;
// Structured dtypes nest by a few levels; a hostile header must not exhaust the stack.
const maximumDepth = 32;

/** Where the header ends and the data begins, from the first 12 bytes (or all there are). */
export function headerEnd(prefix: Uint8Array): number {
  if (prefix.length === 0) throw new NpyFormatError("got an empty file, expected a .npy array");
  if (!magic.every((byte, i) => prefix[i] === byte)) {
    throw new NpyFormatError(`got a file that begins with ${hex(prefix.subarray(0, 6))}, expected a .npy array (\\x93NUMPY)`);
  }
  const major = prefix[6];
  const minor = prefix[7];
  if (major === undefined || minor === undefined) throw new NpyFormatError("header is cut off after the magic, expected a format version");
  if (major < 1 || major > 3 || minor !== 0) throw new NpyFormatError(`format version got ${major}.${minor}, expected 1.0, 2.0 or 3.0`);
  const start = major === 1 ? 10 : 12;
  if (prefix.length < start) throw new NpyFormatError("header is cut off before its length");
  const lengthBytes = prefix.subarray(8, start);
  const length = lengthBytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
  if (length > maximumHeaderBytes) throw new NpyFormatError(`header length got ${length} bytes, expected at most ${maximumHeaderBytes}`);
  return start + length;
}

/** Reads a whole header; `bytes` begins at the start of the file and holds at least `headerEnd(bytes)` bytes. */
export function parseHeader(bytes: Uint8Array): NpyHeader {
  const dataOffset = headerEnd(bytes.subarray(0, prefixBytes));
  if (bytes.length < dataOffset) throw new NpyFormatError(`header is cut off: got ${bytes.length} bytes, expected ${dataOffset}`);
  const start = bytes[6] === 1 ? 10 : 12;
  // Versions 1 and 2 are latin-1, version 3 is UTF-8; a header that differs between the two names fields, which we refuse.
  const text = new TextDecoder("latin1").decode(bytes.subarray(start, dataOffset));
  const entries = new Literal(text).dictionary();
  const unknown = [...entries.keys()].find((key) => !["descr", "fortran_order", "shape"].includes(key));
  if (unknown !== undefined) throw new NpyFormatError(`header has the entry '${unknown}', expected descr, fortran_order and shape alone`);
  const descr = entries.get("descr");
  const fortranOrder = entries.get("fortran_order");
  const shape = entries.get("shape");
  if (Array.isArray(descr)) throw new NpyFormatError("dtype got a structured type, expected plain numbers");
  if (typeof descr !== "string") throw new NpyFormatError("header has no dtype ('descr'), expected a string such as '<f4'");
  if (typeof fortranOrder !== "boolean") throw new NpyFormatError("header has no 'fortran_order', expected True or False");
  if (!Array.isArray(shape) || !shape.every(isLength)) throw new NpyFormatError("header has no 'shape', expected a tuple of lengths");
  if (shape.length > maximumAxes) throw new NpyFormatError(`shape got ${shape.length} axes, expected at most ${maximumAxes}`);
  return { descr, fortranOrder, shape, dataOffset };
}

/** The header of a row-major array, padded so that the data begins at a multiple of 64 bytes, as NumPy writes it. */
export function encodeHeader(descr: string, shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const dictionary = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const version = dictionary.length + 64 + 10 > 65535 ? 2 : 1;
  const start = version === 1 ? 10 : 12;
  const end = Math.ceil((start + dictionary.length + 1) / alignment) * alignment;
  const text = `${dictionary.padEnd(end - start - 1)}\n`;
  const bytes = new Uint8Array(end);
  bytes.set([...magic, version, 0]);
  for (let i = 8, rest = text.length; i < start; i++, rest = Math.floor(rest / 256)) bytes[i] = rest % 256;
  bytes.set(new TextEncoder().encode(text), start);
  return bytes;
}

/** As Python prints a shape: `()`, `(3,)`, `(2, 3)`. */
export function showShape(shape: readonly number[]): string {
  return shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
}

function isLength(value: Value): value is number {
  return typeof value === "number" && value >= 0;
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

type Value = string | number | boolean | null | Value[];

/** A reader of the Python literals a header is made of: strings, whole numbers, True, False, None, tuples and lists. */
class Literal {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** The whole text as one dictionary; only white space may follow. */
  dictionary(): Map<string, Value> {
    const entries = new Map<string, Value>();
    this.#expect("{");
    while (!this.#take("}")) {
      const key = this.#value();
      if (typeof key !== "string") throw this.#fault("a quoted key");
      if (entries.has(key)) throw new NpyFormatError(`header has the entry '${key}' twice`);
      this.#expect(":");
      entries.set(key, this.#value());
      if (!this.#take(",") && this.#peek() !== "}") throw this.#fault("',' or '}'");
    }
    if (this.#peek() !== "") throw this.#fault("nothing after the dictionary");
    return entries;
  }

  #value(depth = 0): Value {
    if (depth > maximumDepth) throw new NpyFormatError(`header nests deeper than ${maximumDepth} levels`);
    if (this.#take("(")) return this.#items(")", depth);
    if (this.#take("[")) return this.#items("]", depth);
    const pattern = /(?:'([^'\\]*)'|"([^"\\]*)"|(-?\d+)L?|(True|False|None)\b)/y;
    pattern.lastIndex = this.#at;
    const word = pattern.exec(this.#text);
    if (word === null) throw this.#fault("a value");
    this.#at += word[0].length;
    const quoted = word[1] ?? word[2];
    if (quoted !== undefined) return quoted;
    if (word[3] !== undefined) {
      const number = Number(word[3]);
      if (!Number.isSafeInteger(number)) throw new NpyFormatError(`header has the number ${word[3]}, expected one below 2^53`);
      return number;
    }
    return word[4] === "None" ? null : word[4] === "True";
  }

  #items(close: string, depth: number): Value[] {
    const items: Value[] = [];
    while (!this.#take(close)) {
      items.push(this.#value(depth + 1));
      if (!this.#take(",") && this.#peek() !== close) throw this.#fault(`',' or '${close}'`);
    }
    return items;
  }

  /** The next character that is not white space, or "" at the end; moves up to it. */
  #peek(): string {
    while (/\s/.test(this.#text[this.#at] ?? "")) this.#at++;
    return this.#text[this.#at] ?? "";
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#at++;
    this.#peek();
    return true;
  }

  #expect(character: string): void {
    if (!this.#take(character)) throw this.#fault(`'${character}'`);
  }

  #fault(expected: string): NpyFormatError {
    const found = this.#text.slice(this.#at, this.#at + 12);
    return new NpyFormatError(`header at byte ${this.#at} got ${found === "" ? "its end" : JSON.stringify(found)}, expected ${expected}`);
  }
}
