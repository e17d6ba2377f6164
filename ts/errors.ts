// The one error class of the package, and how its messages are formed: `subject got value, expected description`.
// Imports nothing. Every error that reaches a caller of this package is a SparseXentError; its `code` is the contract, its text may change.

/** Every code a {@link SparseXentError} can carry; see {@link ErrorCode}. */
export const errorCodes = [
  "DISPOSED",
  "WRONG_ENGINE",
  "DTYPE",
  "SHAPE",
  "LENGTH",
  "SIZE",
  "OPTION_RANGE",
  "OPTION_CONFLICT",
  "ALIAS",
  "LABEL_NOT_INTEGER",
  "LABEL_OUT_OF_RANGE",
  "TARGET_MASKED",
  "WEIGHT_VALUE",
  "OUT_OF_MEMORY",
  "ABORTED",
  "ENGINE_LOST",
  "LOAD_FAILED",
] as const;

/** What went wrong, in the order in which a call checks for it; the last two are the engine's own. */
export type ErrorCode = (typeof errorCodes)[number];

/** What a call's code from the wasm stands for, in the order of crate/js/call/codes.rs; 0 is success. */
export const callCodes = [
  undefined,
  "DTYPE",
  "SHAPE",
  "LENGTH",
  "SIZE",
  "OPTION_RANGE",
  "OPTION_CONFLICT",
  "ALIAS",
  "LABEL_NOT_INTEGER",
  "LABEL_OUT_OF_RANGE",
  "TARGET_MASKED",
  "WEIGHT_VALUE",
  "OUT_OF_MEMORY",
  "ENGINE_LOST",
  "ABORTED",
] as const satisfies readonly (ErrorCode | undefined)[];

/** What a {@link SparseXentError} is made of. */
export interface ErrorParts {
  /** What went wrong, as a fact. */
  readonly code: ErrorCode;
  /** The sentence for people. */
  readonly message: string;
  /** The offending value itself: a number, a shape, a name. */
  readonly got?: unknown;
  /** What would have been accepted, in words. */
  readonly expected?: string | undefined;
  /** Position of the offender in the array the message names. */
  readonly index?: number | undefined;
  /** What this error was made from: another error, or the reason of an abort. */
  readonly cause?: unknown;
}

/**
 * The error of this package.
 *
 * | code | when |
 * |---|---|
 * | `DISPOSED`, `WRONG_ENGINE` | a tensor or engine after `dispose()`, or a caller's array whose buffer was detached; a tensor of another engine |
 * | `DTYPE`, `SHAPE`, `LENGTH`, `SIZE` | an argument's element type, dimensions, element count; a product or a byte count that cannot exist |
 * | `OPTION_RANGE`, `OPTION_CONFLICT` | a value outside its range or an unknown option; options that exclude each other |
 * | `ALIAS` | `grad` shares bytes with an input and is not exactly the logits |
 * | `LABEL_NOT_INTEGER`, `LABEL_OUT_OF_RANGE`, `TARGET_MASKED` | label values, with the `index` of the first offender |
 * | `WEIGHT_VALUE` | a class or sample weight that is not finite |
 * | `OUT_OF_MEMORY`, `ABORTED` | an allocation was refused (the engine stays usable); the signal fired |
 * | `ENGINE_LOST`, `LOAD_FAILED` | a worker died or stalled, the engine is over; the wasm or a worker could not be started |
 *
 * Whatever the code, no output byte has been written; only an aborted call may leave a given `grad` partly written,
 * and where that is the logits, they are lost.
 *
 * @example
 * ```ts
 * try {
 *   xent.crossEntropy(logits, labels);
 * } catch (error) {
 *   if (isSparseXentError(error, "LABEL_OUT_OF_RANGE")) console.log(error.index, error.got); // 4071 -100
 *   else throw error;
 * }
 * ```
 */
export class SparseXentError extends Error {
  // Bundles shorten names; what Node and browsers print of a class is this one.
  static {
    Object.defineProperty(this, "name", { value: "SparseXentError" });
  }

  /** What went wrong, as a fact; compare with this, not with the message. */
  readonly code: ErrorCode;
  /** The offending value itself: a number, a shape, a name. `undefined` when there is none. */
  readonly got: unknown;
  /** What would have been accepted, in words. */
  readonly expected: string | undefined;
  /** Position of the offender in the array the message names. */
  readonly index: number | undefined;

  /**
   * An error as the package throws it.
   * @param parts code and message, and what else is known
   */
  constructor(parts: ErrorParts) {
    super(parts.message, parts.cause === undefined ? undefined : { cause: parts.cause });
    this.name = "SparseXentError";
    this.code = parts.code;
    this.got = parts.got;
    this.expected = parts.expected;
    this.index = parts.index;
  }
}

/**
 * Whether a caught value is a {@link SparseXentError}, and of one code if given.
 *
 * It looks at the name and the code, not at the class, so that it also holds across two copies of the package.
 *
 * @example
 * ```ts
 * isSparseXentError(error, "OUT_OF_MEMORY"); // => true or false
 * ```
 */
export function isSparseXentError<Code extends ErrorCode = ErrorCode>(
  error: unknown,
  code?: Code,
): error is SparseXentError & { readonly code: Code } {
  if (!(error instanceof Error) || error.name !== "SparseXentError" || !("code" in error)) return false;
  return code === undefined ? errorCodes.includes(error.code as ErrorCode) : error.code === code;
}

/** A value as the messages print it: strings quoted, shapes as `[8,512]`, long arrays cut. `length`: of the array that this is the beginning of. */
export function show(value: unknown, length = Array.isArray(value) ? value.length : 0): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) {
    const head = value.slice(0, 8).map((each) => show(each)).join(",");
    return length > 8 ? `[${head},… ${length} in all]` : `[${head}]`;
  }
  if (typeof value === "function") return "a function";
  if (typeof value === "symbol") return "a symbol";
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "object" && value !== null) return `an object (${Object.prototype.toString.call(value).slice(8, -1)})`;
  return String(value);
}

/** A name as the messages print it: a word without quotes, anything else as {@link show} does. */
export function named(value: unknown): string {
  return typeof value === "string" ? value : show(value);
}

/** An error of the usual form, `subject got value, expected description`. */
export function mismatch(
  code: ErrorCode,
  subject: string,
  got: unknown,
  expected: string,
  more: { readonly shown?: string; readonly index?: number | undefined } = {},
): SparseXentError {
  const message = `${subject} got ${more.shown ?? show(got)}, expected ${expected}`;
  return new SparseXentError({ code, message, got, expected, index: more.index });
}

/** The error of a call that its signal has ended. */
export function aborted(signal: AbortSignal | undefined): SparseXentError {
  return new SparseXentError({ code: "ABORTED", message: "the call was aborted by its signal", cause: signal?.reason });
}
