// A street to label, and a synthetic model that has looked at a label map. Imports nothing.

/** A label that no class has. */
export const ignored = 255;

/** 33 things that are seen from a street, in the order of their labels. */
export const names = [
  "sky", "hill", "tree", "grass", "road", "pavement", "building", "roof", "window", "door", "wall", "fence", "pole", "traffic light", "sign", "person",
  "rider", "car", "lorry", "bus", "train", "motorcycle", "bicycle", "bridge", "rail track", "water", "boat", "sand", "rock", "snow", "animal", "bench", "lamp",
] as const;

export const classes = names.length;
export const width = 160;
export const height = 120;

type Rgb = readonly [red: number, green: number, blue: number];

/** Near what the things look like, and apart from their neighbours. */
const palette =
  "9cc9f0 7d9a7e 3f8f4f 9ccf6a 6b6f76 b8b2a7 c9a27e 9b4a3c 4f7fb5 7a5230 a89f91 c7b299 3d4148 e0a526 d94f4f e7636f b8487f " +
  "3b6fd1 8a5fb8 d98b2b 5a4fa3 a13d63 5fb3b3 8e8474 4a3f35 2f9ec4 e8e4da e6d08f 857a70 f3f7fb b07c4f 6f4e37 f5e663";

export const colours: readonly Rgb[] = palette.split(" ").map((hex) => [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)) as unknown as Rgb);

type Labels = Uint8Array<ArrayBufferLike>;

/** Draws the street: bytes, row by row. */
export function drawStreet(labels: Labels): void {
  const label = (name: (typeof names)[number]): number => names.indexOf(name);
  const rectangle = (name: (typeof names)[number], left: number, top: number, right: number, bottom: number): void => {
    for (let y = top; y < bottom; y += 1) labels.fill(label(name), y * width + left, y * width + right);
  };
  labels.fill(label("sky"));
  for (let x = 0; x < width; x += 1) {
    const ridge = Math.round(44 + 9 * Math.sin(x / 23) + 4 * Math.sin(x / 7));
    for (let y = ridge; y < 72; y += 1) labels[y * width + x] = label("hill");
  }
  rectangle("grass", 0, 70, width, 82);
  rectangle("pavement", 0, 82, width, 92);
  rectangle("road", 0, 92, width, height);
  rectangle("building", 12, 34, 62, 82);
  for (let y = 24; y < 34; y += 1) rectangle("roof", 12 + (33 - y), y, 62 - (33 - y), y + 1);
  for (const top of [40, 54]) for (const left of [18, 32, 46]) rectangle("window", left, top, left + 9, top + 9);
  rectangle("door", 33, 67, 42, 82);
  rectangle("fence", 62, 74, 100, 82);
  rectangle("pole", 104, 40, 106, 84);
  rectangle("lamp", 101, 36, 109, 41);
  for (const [left, top] of [[74, 58], [128, 52]] as const) {
    paint(labels, left, top, 12, label("tree"));
    paint(labels, left + 7, top + 6, 9, label("tree"));
    rectangle("tree", left + 1, top + 8, left + 5, 80);
  }
  rectangle("person", 116, 72, 120, 88);
  paint(labels, 118, 70, 3, label("person"));
  rectangle("car", 18, 92, 54, 104);
  for (let y = 85; y < 92; y += 1) rectangle("car", 24 + (91 - y), y, 48 - (91 - y) / 2, y + 1);
  rectangle("bus", 96, 84, 150, 106);
  for (const left of [100, 113, 126, 139]) rectangle("window", left, 88, left + 9, 95);
}

/** Sets a disc to a label. */
export function paint(labels: Labels, x: number, y: number, radius: number, label: number): void {
  for (let row = Math.max(0, Math.ceil(y - radius)); row <= Math.min(height - 1, y + radius); row += 1) {
    const reach = Math.sqrt(radius * radius - (row - y) ** 2);
    const [from, to] = [Math.max(0, Math.ceil(x - reach)), Math.min(width - 1, Math.floor(x + reach))];
    if (from <= to) labels.fill(label, row * width + from, row * width + to + 1);
  }
}

const certainty = 8;
const noise = 0.8;
const blurRadius = 2;

/** Writes the logits `[height, width, classes]` of a model that has seen these labels: each class's share of the surroundings of a pixel, and noise. */
export function predict(labels: Labels, logits: Float32Array<ArrayBufferLike>, random: () => number): void {
  const side = 2 * blurRadius + 1;
  const step = certainty / (side * side);
  // A sum of four uniform numbers is near enough to normal; of variance 1/3 before it is scaled.
  for (let i = 0; i < logits.length; i += 1) logits[i] = (random() + random() + random() + random() - 2) * Math.sqrt(3) * noise;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const at = (y * width + x) * classes;
      for (let dy = -blurRadius; dy <= blurRadius; dy += 1) {
        const row = Math.min(height - 1, Math.max(0, y + dy)) * width;
        for (let dx = -blurRadius; dx <= blurRadius; dx += 1) {
          const label = labels[row + Math.min(width - 1, Math.max(0, x + dx))] ?? ignored;
          if (label !== ignored) logits[at + label] = (logits[at + label] ?? 0) + step;
        }
      }
    }
  }
}

/** From cold to hot, over a range of 0 to 1: five colours that grow lighter evenly (after matplotlib's inferno). */
const ramp: readonly Rgb[] = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];

export function heat(value: number): Rgb {
  const place = Math.min(1, Math.max(0, value)) * (ramp.length - 1);
  const below = Math.min(ramp.length - 2, Math.floor(place));
  const [a, b] = [ramp[below] ?? [0, 0, 0], ramp[below + 1] ?? [0, 0, 0]];
  const mix = (i: 0 | 1 | 2): number => Math.round(a[i] + (b[i] - a[i]) * (place - below));
  return [mix(0), mix(1), mix(2)];
}
