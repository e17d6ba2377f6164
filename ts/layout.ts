// Where rows and classes lie in an array of logits: dimensions and axis -> (outer, classes, inner). May import errors.
// Guarantees: every product is checked; an error says what was given and what would fit.
import { mismatch, show, SparseXentError } from "./errors.js";

/** Dimensions and class axis of the logits, and what follows from them. */
export interface Layout {
  /** Dimensions of the logits. */
  readonly dims: readonly number[];
  /** The class axis as it was given. */
  readonly axis: number;
  /** Product of the dimensions before the class axis. */
  readonly outer: number;
  /** Length of the class axis. */
  readonly classes: number;
  /** Product of the dimensions after the class axis; row (o, i) has index o·inner + i. */
  readonly inner: number;
  /** outer · inner: the number of rows, and of labels. */
  readonly rows: number;
  /** The number of logits. */
  readonly elements: number;
  /** The logits' dimensions without the class axis. */
  readonly rowShape: readonly number[];
  /** The logits' dimensions with 1 at the class axis. */
  readonly keptShape: readonly number[];
  /** Whether the call makes the logits itself, so that there is no other axis that its caller could mean. */
  readonly isMade?: boolean;
}

const LARGEST_COUNT = 2 ** 31 - 1;
const LARGEST_ELEMENTS = 2 ** 53;

/** A copy of the dimensions if they are an array of integers of at least 0, otherwise an error `SHAPE`. */
export function readShape(subject: string, shape: unknown): readonly number[] {
  // The caller may change the array while a call is under way.
  const dims: unknown = Array.isArray(shape) ? [...(shape as readonly unknown[])] : shape;
  if (isShape(dims)) return dims;
  throw mismatch("SHAPE", `${subject} shape`, shape, "dimensions that are integers of at least 0");
}

function isShape(shape: unknown): shape is readonly number[] {
  if (!Array.isArray(shape)) return false;
  // By index, so that holes count as what they are read as: undefined.
  for (let axis = 0; axis < shape.length; axis += 1) {
    const size: unknown = shape[axis];
    if (!Number.isSafeInteger(size) || (size as number) < 0) return false;
  }
  return true;
}

/** The product of dimensions, of those in `from..end` if given; from 2^53 on no longer exact. A 0 among them makes it 0 whatever the others are. */
export function product(dims: readonly number[], from = 0, end = dims.length): number {
  let total = 1;
  for (let axis = from; axis < end; axis += 1) {
    const size = dims[axis] ?? 0;
    if (size === 0) return 0;
    total *= size;
  }
  return total;
}

/** Rows and classes of logits with these dimensions; errors `SHAPE`. Sizes are looked at by {@link checkSizes}. */
export function layoutOf(dims: readonly number[], axis: unknown): Layout {
  const rank = dims.length;
  if (rank === 0) throw mismatch("SHAPE", "logits shape", dims, "at least one dimension");
  if (typeof axis !== "number" || !Number.isInteger(axis) || axis < -rank || axis >= rank) {
    throw mismatch("SHAPE", "axis", axis, `an integer in ${-rank}..${rank - 1} for logits ${show(dims)}`);
  }
  const position = axis < 0 ? axis + rank : axis;
  const classes = dims[position] ?? 0;
  if (classes === 0) throw mismatch("SHAPE", "classes", 0, `at least 1 for logits ${show(dims)}, axis ${axis}`);
  const outer = product(dims, 0, position);
  const inner = product(dims, position + 1);
  // Filled by index: lists that grow would take longer than the rest.
  const rowShape = new Array<number>(rank - 1);
  const keptShape = new Array<number>(rank);
  for (let index = 0; index < rank; index += 1) {
    const size = dims[index] ?? 0;
    keptShape[index] = index === position ? 1 : size;
    if (index !== position) rowShape[index < position ? index : index - 1] = size;
  }
  return { dims, axis, outer, classes, inner, rows: outer * inner, elements: product(dims), rowShape, keptShape };
}

/** Errors `SIZE` for more rows, classes or logits than the operation can count. */
export function checkSizes(layout: Layout): void {
  checkCount("rows", layout.rows, LARGEST_COUNT);
  checkCount("classes", layout.classes, LARGEST_COUNT);
  checkCount("logits elements", layout.elements, LARGEST_ELEMENTS);
}

function checkCount(subject: string, got: number, limit: number): void {
  if (got > limit) throw mismatch("SIZE", subject, got, `at most ${limit}`);
}

/** Errors `SIZE` for more bytes than the memory can ever hold. */
export function checkBytes(name: string, bytes: number, maximum: number): void {
  if (bytes <= maximum) return;
  const expected = `at most ${maximum}`;
  throw new SparseXentError({ code: "SIZE", message: `${name} size got ${bytes} bytes, expected ${expected}`, got: bytes, expected });
}

/** Whether two shapes are the same. */
export function sameShape(one: readonly number[], other: readonly number[]): boolean {
  if (one.length !== other.length) return false;
  for (let axis = 0; axis < one.length; axis += 1) if (one[axis] !== other[axis]) return false;
  return true;
}

/** ` for logits [8,512,33], axis -1`: the end of every message about a shape that follows from the logits'. */
export function forLogits(layout: Layout): string {
  return ` for logits ${show(layout.dims)}, axis ${layout.axis}`;
}

/** Whether a shape of the labels' rank with 1s in it can be broadcast over the rows, and the full shape it is broadcast to. */
export function broadcastTarget(layout: Layout, shape: readonly number[]): readonly number[] | undefined {
  return [layout.rowShape, layout.keptShape].find(
    (target) => target.length === shape.length && shape.every((size, axis) => size === target[axis] || size === 1),
  );
}

/** Gives, for a row, the index of its element in an array of `shape`, whose 1s are repeated over `target`. */
export function broadcastIndex(shape: readonly number[], target: readonly number[]): (row: number) => number {
  // Innermost first: how many rows one step of the axis takes, and how many elements (none where a 1 is repeated).
  let stride = 1;
  const axes = shape
    .map((size, axis) => ({ size, length: target[axis] ?? 1 }))
    .reverse()
    .map(({ size, length }) => {
      const step = size === 1 ? 0 : stride;
      stride *= size;
      return { length, step };
    });
  return (row) => {
    let rest = row;
    let index = 0;
    for (const { length, step } of axes) {
      index += (rest % length) * step;
      rest = Math.floor(rest / length);
    }
    return index;
  };
}

/** The shape of a result by its name; those of the `k` largest classes have that many for each row. */
export function targetShape({ dims, rowShape }: Layout, name: string, k = 1): readonly number[] {
  return name === "grad" || name === "logProbs" ? dims : name.startsWith("topK") ? [...rowShape, k] : rowShape;
}
