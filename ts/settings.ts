// The options of a call as the package uses them: defaults, ranges, exclusions, and the element types of arrays. May import options, dtypes and errors.
// Guarantees: an `optionReader` accepts exactly the documented keys and ranges, asks the caller's object for each once, and returns all filled in.
import type { Dtype } from "./dtypes.js";
import { mismatch, SparseXentError } from "./errors.js";
import type { CrossEntropyAsyncOptions, CrossEntropyOptions, Denominator, OutputName } from "./options.js";

/** How an option that is not an array is read: what it is when left out, and what it may be. */
interface Rule<T> {
  readonly fallback: T;
  /** The words it may be; a word's place is its number in the call block. */
  readonly words?: readonly string[];
  /** Its value, or an error `OPTION_RANGE`. */
  readonly read: (name: string, value: unknown) => T;
}

function word<const Words extends readonly string[]>(words: Words, fallback: Words[number]): Rule<Words[number]> & { readonly words: Words } {
  const read = (name: string, value: unknown): Words[number] => {
    const found = words.find((candidate) => candidate === value);
    if (found === undefined) throw mismatch("OPTION_RANGE", name, value, `one of ${words.join(", ")}`);
    return found;
  };
  return { words, fallback, read };
}

function number(fallback: number, expected: string, accepts: (value: number) => boolean): Rule<number> {
  const read = (name: string, value: unknown): number => {
    if (typeof value === "number" && accepts(value)) return value;
    throw mismatch("OPTION_RANGE", name, value, expected);
  };
  return { fallback, read };
}

const flag: Rule<boolean> = {
  fallback: false,
  read: (name, value) => {
    if (typeof value === "boolean") return value;
    throw mismatch("OPTION_RANGE", name, value, "true or false");
  },
};

const isShare = (value: number): boolean => value >= 0 && value <= 1;
const isAtLeast0 = (value: number): boolean => value >= 0 && Number.isFinite(value);
/** An array, or what describes one: it is read where arrays are, in arguments.ts. */
const argument = undefined;

/** Every option, in the order of {@link CrossEntropyOptions}, which is that of the checks. */
export const optionTable = {
  axis: argument,
  shape: argument,
  dtype: argument,
  reduction: word(["none", "sum", "mean"], "mean"),
  denominator: { words: ["weights", "valid", "all", "nonzero"], fallback: "weights", read: readDenominator },
  ignoreIndex: { fallback: noLabels(), read: readIgnored },
  invalidLabel: word(["throw", "nan", "ignore"], "throw"),
  classWeight: argument,
  sampleWeight: argument,
  labelSmoothing: number(0, "0..1", isShare),
  smoothingWeights: word(["class", "row"], "class"),
  emptyMean: word(["zero", "nan"], "zero"),
  upstream: argument,
  loss: argument,
  grad: argument,
  accumulate: flag,
  zLoss: number(0, "a finite number of at least 0", isAtLeast0),
  focalGamma: number(0, "a finite number of at least 0", isAtLeast0),
  poly1Epsilon: number(0, "a finite number", Number.isFinite),
  gceQ: number(0, "0..1", isShare),
  softcap: number(0, "a finite number of at least 0", isAtLeast0),
  logitScale: number(1, "a finite number above 0", (value) => value > 0 && Number.isFinite(value)),
  input: word(["logits", "logProbs", "probs"], "logits"),
  probsEpsilon: number(1e-7, "a number above 0 and below 0.5", (value) => value > 0 && value < 0.5),
  probsNormalize: word(["before", "after", "none"], "before"),
  classMask: argument,
  labelMatrix: argument,
  outputs: { words: ["logSumExp", "targetLogProb", "predictions", "perClass", "topK", "targetRank", "entropy", "logProbs"], fallback: noOutputs(), read: readOutputs },
  k: number(1, "an integer of at least 1", (value) => Number.isSafeInteger(value) && value >= 1),
} as const satisfies Record<keyof CrossEntropyOptions, Rule<unknown> | undefined>;

/** What `outputs` may ask for, `topK` in its two parts. */
export type ResultName = Exclude<OutputName, "topK"> | "topK.values" | "topK.classes";

type Table = typeof optionTable;

/** Options as the rest of the package uses them: checked and filled in. Arrays are looked at elsewhere. */
export type Settings = { readonly [Name in keyof Table as Table[Name] extends undefined ? never : Name]: Table[Name] extends { read(name: string, value: unknown): infer T } ? T : never };

/** The options that are no arrays. */
export const settingNames = Object.keys(optionTable).filter((name) => optionTable[name as keyof Table] !== undefined) as readonly (keyof Settings)[];

/** The number that stands for the value of an option in the call block: itself, or its word's place among the words. */
export function numberOf(name: keyof Settings, value: unknown): number {
  const rule: Rule<unknown> = optionTable[name];
  return rule.words === undefined ? Number(value) : rule.words.indexOf(value as string);
}

/** Every key an options object may have. */
export const optionNames = Object.keys(optionTable) as readonly (keyof CrossEntropyOptions)[];

const MOST_IGNORED = 16;
/** No label type holds what lies outside of 64 bits, so that it matches nothing. */
const [LEAST_LABEL, LARGEST_LABEL] = [-(2n ** 63n), 2n ** 64n - 1n];

/** The options that are no arrays, as far as they could be read. */
export interface OptionsRead {
  /** Every option, the defaults filled in. */
  readonly settings: Settings;
  /** The names of those that were given. */
  readonly given: readonly (keyof Settings)[];
  readonly signal: AbortSignal | undefined;
  /** What is wrong with them, the first of several; to be thrown when it is its turn. */
  readonly fault: unknown;
}

/**
 * How the options of an operation are read, of which these are the names. Each is asked for once: a getter that does something else as well has done
 * it when the checks begin.
 */
export function optionReader(names: readonly string[]): (options: CrossEntropyAsyncOptions, isAsync: boolean) => OptionsRead {
  const table: Readonly<Record<string, Rule<unknown> | undefined>> = optionTable;
  const defaults = Object.fromEntries(settingNames.map((name) => [name, optionTable[name].fallback])) as unknown as Settings;
  const rules = new Map(names.map((name) => [name, table[name]]));
  return (options, isAsync) => {
    const given: (keyof Settings)[] = [];
    // The defaults serve every call that sets none of them.
    let settings: Record<string, unknown> & Settings = defaults;
    let signal: AbortSignal | undefined;
    let fault: unknown;
    // What an object of a class may inherit is asked for by name.
    const isPlain = Object.getPrototypeOf(options) === Object.prototype;
    for (const key of isPlain ? Object.getOwnPropertyNames(options) : new Set([...Object.keys(options), ...names, "signal"])) {
      try {
        const rule = rules.get(key);
        if (key === "signal" && isAsync) signal = readSignal(options.signal);
        else if (!rules.has(key) && Object.hasOwn(options, key)) throw unknownOption(key, isAsync ? [...names, "signal"] : names);
        if (rule === undefined) continue;
        const value = (options as Readonly<Record<string, unknown>>)[key];
        if (value === undefined) continue;
        if (given.length === 0) settings = { ...defaults };
        given.push(key as keyof Settings);
        settings[key] = rule.read(key, value);
      } catch (error) {
        fault ??= error;
      }
    }
    return { settings, given, signal, fault };
  };
}

/** OPTION_RANGE: a key that no option has, and the one that may have been meant. */
function unknownOption(key: string, known: readonly string[]): SparseXentError {
  const word = plain(key);
  const meant = known.find((name) => plain(name) === word) ?? known.find((name) => isNear(word, plain(name)));
  const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
  return mismatch("OPTION_RANGE", "options", key, `one of ${known.join(", ")}${hint}`);
}

function plain(name: string): string {
  return name.replace(/[_-]/g, "").toLowerCase();
}

/** Whether two words are the same but for one letter that is missing, added, changed or swapped with the next. */
function isNear(one: string, other: string): boolean {
  let start = 0;
  while (start < one.length && one[start] === other[start]) start += 1;
  const [a, b] = [one.slice(start), other.slice(start)];
  const isSwapped = a.length > 1 && a[0] === b[1] && a[1] === b[0] && a.slice(2) === b.slice(2);
  return isSwapped || a.slice(1) === b.slice(1) || a.slice(1) === b || a === b.slice(1);
}

/** By what is used of it: a signal may come from another realm, or from a library. */
function readSignal(value: unknown): AbortSignal | undefined {
  if (value === undefined || value === null) return undefined;
  const signal = value as AbortSignal;
  try {
    if ([signal.addEventListener, signal.removeEventListener].every((member) => typeof member === "function") && typeof signal.aborted === "boolean") return signal;
  } catch {
    // An object that only looks like one: its getters know better.
  }
  throw mismatch("OPTION_RANGE", "signal", value, "an AbortSignal");
}

function noLabels(): readonly bigint[] {
  return [];
}

function noOutputs(): ReadonlyMap<ResultName, unknown> {
  return new Map();
}

function readDenominator(name: string, value: unknown): Denominator {
  const { words } = optionTable.denominator;
  const word = words.find((candidate) => candidate === value);
  if (word !== undefined) return word;
  if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
  throw mismatch("OPTION_RANGE", name, value, `one of ${words.join(", ")}, or a finite number above 0`);
}

function readIgnored(name: string, value: unknown): readonly bigint[] {
  if (value === null) return noLabels();
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const labels: bigint[] = [];
  for (const each of list) {
    const isInteger = typeof each === "bigint" || (typeof each === "number" && Number.isInteger(each));
    if (!isInteger) throw mismatch("OPTION_RANGE", name, each, "an integer, a bigint, a list of them, or null");
    const label = BigInt(each);
    // Of a list that is too long no more than the faults matter.
    const isNew = labels.length < MOST_IGNORED && !labels.includes(label);
    if (isNew && label >= LEAST_LABEL && label <= LARGEST_LABEL) labels.push(label);
  }
  if (list.length > MOST_IGNORED) throw mismatch("OPTION_RANGE", name, list, `at most ${MOST_IGNORED} labels`);
  return labels;
}

/** What is asked for, and where it is to be written: a target that is not looked at here, or true. */
function readOutputs(name: string, value: unknown): ReadonlyMap<ResultName, unknown> {
  const { words } = optionTable.outputs;
  const expected = `a list of ${words.join(", ")}, or an object with such keys`;
  if (typeof value !== "object" || value === null) throw mismatch("OPTION_RANGE", name, value, expected);
  const entries: readonly (readonly [unknown, unknown])[] = Array.isArray(value) ? value.map((each: unknown) => [each, true]) : Object.entries(value);
  const wanted = new Map<ResultName, unknown>();
  for (const [key, target] of entries) {
    const output = words.find((candidate) => candidate === key);
    if (output === undefined) throw mismatch("OPTION_RANGE", name, key, expected);
    if (output === "perClass" && target !== undefined && typeof target !== "boolean") throw mismatch("OPTION_RANGE", `${name} perClass`, target, "true or false");
    if (target === undefined || target === false) continue;
    if (output !== "topK") wanted.set(output, target);
    else for (const [part, own] of Object.entries(readTopK(`${name} ${output}`, target))) wanted.set(`topK.${part as "values" | "classes"}`, own ?? true);
  }
  return wanted;
}

function readTopK(name: string, target: unknown): Readonly<Record<"values" | "classes", unknown>> {
  const isObject = typeof target === "object" && target !== null && Object.keys(target).every((key) => key === "values" || key === "classes");
  if (target !== true && !isObject) throw mismatch("OPTION_RANGE", name, target, "true, false or { values, classes }");
  const { values, classes } = target === true ? {} : (target as Partial<Record<"values" | "classes", unknown>>);
  return { values, classes };
}

/** OPTION_RANGE: no more of the classes than there are. */
export function checkK({ outputs, k }: Settings, classes: number): void {
  if (k > classes && outputs.has("topK.values")) throw mismatch("OPTION_RANGE", "k", k, `an integer in 1..${classes}`);
}

/** What each input or option rules out. Upstream and grad, which depend on arguments, are looked at where those are. */
export function checkConflicts({ settings, given }: OptionsRead, arrays: Partial<Record<"classMask" | "classWeight" | "labelMatrix", unknown>>): void {
  // With none of these nothing is ruled out.
  if (settings.input === "logits" && settings.gceQ === 0 && arrays.labelMatrix === undefined && !given.includes("probsEpsilon") && !given.includes("probsNormalize")) return;
  const active = {
    zLoss: settings.zLoss !== 0,
    softcap: settings.softcap !== 0,
    logitScale: settings.logitScale !== 1,
    "outputs logSumExp": settings.outputs.has("logSumExp"),
    "outputs topK": settings.outputs.has("topK.values"),
    "outputs entropy": settings.outputs.has("entropy"),
    "outputs logProbs": settings.outputs.has("logProbs"),
    focalGamma: settings.focalGamma !== 0,
    poly1Epsilon: settings.poly1Epsilon !== 0,
    gceQ: settings.gceQ !== 0,
    labelSmoothing: settings.labelSmoothing !== 0,
    classMask: arrays.classMask !== undefined,
    labelMatrix: arrays.labelMatrix !== undefined,
    classWeight: arrays.classWeight !== undefined,
    probsEpsilon: given.includes("probsEpsilon"),
    probsNormalize: given.includes("probsNormalize"),
  };
  const exclude = (reason: string, names: readonly (keyof typeof active)[]): void => {
    const name = names.find((candidate) => active[candidate]);
    if (name !== undefined) throw conflict(name, `none with ${reason}`);
  };
  const ofLogits = ["outputs logSumExp", "outputs topK", "outputs entropy", "outputs logProbs"] as const;
  if (settings.input === "logProbs") exclude('input: "logProbs"', ["zLoss", "softcap", "logitScale", ...ofLogits]);
  if (settings.input === "probs") {
    exclude('input: "probs"', ["zLoss", "softcap", "logitScale", ...ofLogits, "focalGamma", "poly1Epsilon", "gceQ", "labelSmoothing", "classMask", "labelMatrix"]);
  } else {
    exclude(`input: "${settings.input}"`, ["probsEpsilon", "probsNormalize"]);
  }
  if (active.labelMatrix) exclude("labelMatrix", ["classWeight", "labelSmoothing", "focalGamma", "poly1Epsilon", "gceQ"]);
  if (active.gceQ) exclude("gceQ", ["focalGamma", "poly1Epsilon"]);
}

/** The error for an option that another one rules out. */
export function conflict(name: string, expected: string): SparseXentError {
  return new SparseXentError({ code: "OPTION_CONFLICT", message: `${name} got a value, expected ${expected}`, got: name, expected });
}

/** Element types by argument, for checks and messages. */
export const accepted = {
  logits: ["f32", "f64", "f16", "bf16"],
  labels: ["u8", "i8", "u16", "i16", "i32", "u32", "i64", "u64", "f32", "f64"],
  classWeight: ["f32", "f64"],
  sampleWeight: ["f32", "f64", "u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64"],
  upstream: ["f32", "f64"],
  classMask: ["u8"],
  labelMatrix: ["f32", "f64"],
  targets: ["f32", "f64", "u8"],
  posWeight: ["f32", "f64"],
  hidden: ["f32", "f16", "bf16"],
  weight: ["f32", "f16", "bf16"],
  bias: ["f32", "f16", "bf16"],
} as const satisfies Record<string, readonly Dtype[]>;
