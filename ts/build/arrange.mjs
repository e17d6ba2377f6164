// The last step to a wasm file: it does what it did, and gzip finds more in it that it has seen before. Functions that have much code in common come to lie near each other,
// and the local variables of a function are numbered in the order of their first use, so that code alike has numbers alike. Imports its neighbours, and binaryen when asked.
import { StepFailed } from "./report.mjs";

/** How far back gzip looks, in bytes, less what lies in between. */
const seenBytes = 28_000;
/** Strings of so many bytes are compared. */
const stringBytes = 6;
/** A string in more functions than this tells nothing about any of them. */
const mostHolders = 20;
/** Added to a function's length, so that the shortest functions do not come first. */
const lengthOffset = 150;

/** @param {Uint8Array} wasm @returns {Uint8Array[]} the code of each function */
function codeOf(wasm) {
  let place = 8;
  const number = () => {
    for (let value = 0, shift = 0; ; shift += 7) {
      const byte = wasm[place++] ?? 0;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (place < wasm.length) {
    const section = wasm[place++];
    const bytes = number();
    if (section === 10) {
      return Array.from({ length: number() }, () => {
        const length = number();
        place += length;
        return wasm.subarray(place - length, place);
      });
    }
    place += bytes;
  }
  return [];
}

/** @param {Uint8Array} code @param {Map<number, number>} ids of all strings so far @returns {number[]} which strings are in it */
function stringsOf(code, ids) {
  const found = new Set();
  for (let start = 0; start + stringBytes <= code.length; start++) {
    const string = code.subarray(start, start + stringBytes).reduce((bits, byte) => bits * 256 + byte, 0);
    const id = ids.get(string) ?? ids.size;
    ids.set(string, id);
    found.add(id);
  }
  return [...found];
}

/**
 * Each function is followed by the one, of those that are left, that has most in common with the code before it, for its length. A string counts once however often it is
 * there, and the more, the fewer functions have it.
 * @param {readonly Uint8Array[]} codes @returns {number[]} their order
 */
function orderByLikeness(codes) {
  /** @type {Map<number, number>} */
  const ids = new Map();
  const strings = codes.map((code) => stringsOf(code, ids));
  /** @type {number[][]} */
  const holders = Array.from(ids, () => []);
  for (const [index, each] of strings.entries()) for (const id of each) holders[id]?.push(index);
  const seen = new Uint16Array(ids.size);
  const common = new Float64Array(codes.length);
  /** @param {number} index of a function that comes into sight or leaves it @param {1 | -1} change */
  const see = (index, change) => {
    for (const id of strings[index] ?? []) {
      const before = seen[id] ?? 0;
      seen[id] = before + change;
      const of = holders[id] ?? [];
      if (Math.min(before, before + change) > 0 || of.length > mostHolders || of.length < 2) continue;
      for (const holder of of) common[holder] = (common[holder] ?? 0) + change / Math.sqrt(of.length - 1);
    }
  };
  const length = (/** @type {number} */ index) => codes[index]?.length ?? 0;
  const left = new Set(codes.keys());
  /** @type {number[]} */
  const order = [];
  for (let first = 0, bytes = 0; left.size > 0; ) {
    const value = (/** @type {number} */ index) => (common[index] ?? 0) / (length(index) + lengthOffset);
    const next = [...left].reduce((best, index) => (value(index) > value(best) ? index : best));
    left.delete(next);
    order.push(next);
    bytes += length(next);
    see(next, 1);
    while (bytes > seenBytes && first < order.length - 1) {
      const gone = order[first++] ?? 0;
      bytes -= length(gone);
      see(gone, -1);
    }
  }
  return order;
}

/** @param {string[]} lines of a function's text @returns {string[]} the same with its variables declared in the order of their first use */
function numbered(lines) {
  const end = lines.findIndex((line, index) => index > 0 && !line.startsWith("  (local $"));
  const used = new Map();
  for (const line of lines.slice(end)) {
    const name = /\(local\.\w+ (\$[^\s()]+)/.exec(line)?.[1];
    if (name !== undefined && !used.has(name)) used.set(name, used.size);
  }
  const place = (/** @type {string} */ line) => used.get(line.trim().split(" ")[1]) ?? used.size;
  return [...lines.slice(0, 1), ...lines.slice(1, end).sort((a, b) => place(a) - place(b)), ...lines.slice(end)];
}

/**
 * Not the functions of std: V8 11.3's first compiler loses the address that one of them waits at, or not, by which local has it.
 * @param {string} header
 */
const keepsNumbers = (header) => /^ \(func \$"?<?(?:std|alloc|core)\b/.test(header);

/** @param {string} text of a module @returns {{ before: string[], functions: string[][], after: string[] }} its lines */
function partsOf(text) {
  const lines = text.split("\n");
  const starts = lines.flatMap((line, index) => (line.startsWith(" (func $") ? [index] : []));
  const last = lines.lastIndexOf(")");
  const functions = starts.map((start, index) => lines.slice(start, starts[index + 1] ?? last));
  return { before: lines.slice(0, starts[0]), functions, after: lines.slice(last) };
}

/** @param {Uint8Array} wasm with the names of its functions @returns {Promise<Uint8Array>} the same without names, for gzip */
export async function arrange(wasm) {
  const { default: binaryen } = await import("binaryen");
  binaryen.setDebugInfo(true);
  const given = binaryen.readBinary(wasm);
  const features = given.getFeatures();
  const { before, functions: found, after } = partsOf(given.emitText());
  given.dispose();
  const functions = found.map((lines) => (keepsNumbers(lines[0] ?? "") ? lines : numbered(lines)));
  binaryen.setDebugInfo(false);
  /** @param {readonly string[][]} ordered */
  const made = (ordered) => {
    const module = binaryen.parseText([before, ...ordered, after].flat().join("\n"));
    module.setFeatures(features);
    if (module.validate() === 0) throw new StepFailed("a wasm file is invalid once it is arranged; see ts/build/arrange.mjs");
    module.runPasses(["strip-debug", "strip-producers", "strip-target-features"]);
    const bytes = module.emitBinary();
    module.dispose();
    return bytes;
  };
  const codes = codeOf(made(functions));
  if (codes.length !== functions.length) throw new StepFailed(`a wasm file has ${codes.length} functions, and its text ${functions.length}; see ts/build/arrange.mjs`);
  return made(orderByLikeness(codes).map((index) => functions[index] ?? []));
}
