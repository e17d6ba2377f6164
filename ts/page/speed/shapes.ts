// Which of the bench's shapes the page measures. May import the bench's cases.
import { scaled, shapes, type Shape } from "../../../bench/speed/cases.mjs";

/** Shapes that differ in what they ask of a kernel; the last has strided classes. */
const names = ["1048576x10", "65536x33", "8192x1000", "512x32000", "33x512x512"];

/** They, with their rows halved until there are no more than `most` logits, each named for what is left. */
export const measuredShapes = (most: number): Shape[] =>
  shapes
    .filter(({ name }) => names.includes(name))
    .map((whole) => {
      const halvings = Math.max(0, Math.ceil(Math.log2((whole.rows * whole.classes) / most)));
      const part = scaled(whole, 2 ** halvings);
      return { ...part, name: part.dims.filter((length) => length > 1).join("x") };
    });
