// Which characters of a text each of its tokens stands for. Imports errors.
import { mismatch } from "../../errors.js";

/** The longest run of tokens that only together make whole characters. A character has at most four bytes, a cluster of them that a tokenizer joins a few more. */
const MOST_TOGETHER = 16;

/**
 * Where in a text each of its tokens lies, in UTF-16 units, for tokenizers that do not say so themselves, such as those of transformers.js.
 *
 * Works with every tokenizer whose `decode` gives the text back. Tokens that are parts of one character share its place; special tokens that decode to nothing are
 * empty.
 *
 * @param text what the ids were made from
 * @param ids of one document
 * @param decode a few ids, with special tokens left out and spaces left as they are
 * @returns start and end of each token: `text.slice(start, end)`
 * @throws `SparseXentError` `LENGTH` where the ids do not decode to the text, with the `index` of the token
 * @example
 * ```ts
 * const decode = (ids) => tokenizer.decode(ids, { skip_special_tokens: true, clean_up_tokenization_spaces: false });
 * characterOffsets("Call me Ishmael", [14134, 502, 314], decode); // [[0, 4], [4, 7], [7, 9]]
 * ```
 */
export function characterOffsets(
  text: string,
  ids: ArrayLike<number | bigint>,
  decode: (ids: (number | bigint)[]) => string,
): (readonly [start: number, end: number])[] {
  const offsets: (readonly [number, number])[] = [];
  let start = 0;
  for (let first = 0; first < ids.length; ) {
    const together: (number | bigint)[] = [];
    let end: number | undefined;
    while (end === undefined && together.length < MOST_TOGETHER && first + together.length < ids.length) {
      together.push(ids[first + together.length] as number | bigint);
      const piece = decode(together);
      if (!text.startsWith(piece, start)) continue;
      // The first byte of a replacement character looks like one already: the others, which add nothing to it, belong to it.
      if (piece.endsWith("\ufffd")) addWhile(together, ids, first, (longer) => decode(longer) === piece);
      end = start + piece.length;
    }
    if (end === undefined) {
      throw mismatch("LENGTH", `ids[${first}]`, decode(together), `what follows in the text, ${JSON.stringify(text.slice(start, start + MOST_TOGETHER))}`, { index: first });
    }
    const span = [start, end] as const;
    for (const _ of together) offsets.push(span);
    first += together.length;
    start = end;
  }
  return offsets;
}

function addWhile(together: (number | bigint)[], ids: ArrayLike<number | bigint>, first: number, holds: (longer: (number | bigint)[]) => boolean): void {
  for (let next = first + together.length; next < ids.length && holds([...together, ids[next] as number | bigint]); next += 1) together.push(ids[next] as number | bigint);
}
