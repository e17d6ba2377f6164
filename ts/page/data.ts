// The page's data sets, which lie beside it compressed. Imports nothing.

async function text(name: string): Promise<string> {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok || response.body === null) throw new Error(`${name} answered ${response.status}`);
  return new Response(response.body.pipeThrough(new DecompressionStream("gzip"))).text();
}

/** Two novels, a paragraph a line; see data/README.md. */
export const novels = async (): Promise<string[]> => (await text("./novels.txt.gz")).trimEnd().split("\n");

/** Images as rows of `pixels` numbers from 0 to 1, and what they show. */
export interface Digits {
  readonly images: Float32Array<ArrayBuffer>;
  readonly labels: Uint8Array<ArrayBuffer>;
}

export const pixels = 64;

/** Handwritten digits, in an order drawn from a seed; see data/README.md. */
export async function digits(random: () => number): Promise<Digits> {
  const lines = (await text("./digits.csv.gz")).trimEnd().split("\n");
  // Fisher and Yates: the file is in the order of its writers.
  for (let i = lines.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [lines[i], lines[j]] = [lines[j] ?? "", lines[i] ?? ""];
  }
  const images = new Float32Array(lines.length * pixels);
  const labels = new Uint8Array(lines.length);
  for (const [row, line] of lines.entries()) {
    const numbers = line.split(",").map(Number);
    images.set(numbers.slice(0, pixels).map((value) => value / 16), row * pixels);
    labels[row] = numbers[pixels] ?? 0;
  }
  return { images, labels };
}
