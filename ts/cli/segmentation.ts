// A made-up segmentation batch, the same on every machine: label maps with regions, and logits that mostly agree with them. Pure.

/** Number of classes, as in the workload the demo is about. */
export const segmentationClasses = 33;
/** The label of pixels between two regions, which count for nothing. */
export const voidLabel = 255;

const regionShift = 6; // regions of 64 x 64 pixels, sheared
const confidence = 5; // what the favoured class's logit gets on top
const noiseScale = 2 ** -30; // an int32 becomes a logit in [-2, 2)

/** Fills `labels` with `batch` maps of `size` x `size` pixels: a class per region, `voidLabel` on the seams. */
export function paintLabels(labels: Uint8Array, batch: number, size: number): void {
  let at = 0;
  for (let image = 0; image < batch; image++) {
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const here = regionClass(image, y, x);
        const seam = here !== regionClass(image, y, x + 1) || here !== regionClass(image, y + 1, x);
        labels[at++] = seam ? voidLabel : here;
      }
    }
  }
}

/** Fills `logits` (pixels x classes) with noise, and favours the label's class in seven pixels of eight. */
export function paintLogits(logits: Float32Array, labels: Uint8Array): void {
  let state = 0x2545f491; // xorshift32, Marsaglia 2003: shifts 13, 17, 5
  for (let pixel = 0, at = 0; pixel < labels.length; pixel++) {
    const row = at;
    for (let k = 0; k < segmentationClasses; k++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      logits[at++] = state * noiseScale;
    }
    const label = labels[pixel] as number;
    const wrong = (state & 7) === 0 || label === voidLabel;
    const favoured = row + (wrong ? (state >>> 8) % segmentationClasses : label);
    logits[favoured] = (logits[favoured] as number) + confidence;
  }
}

/** One weight per class, larger for rare ones: 1 / ln(1.02 + share of pixels), as in ENet (Paszke et al., 2016). */
export function rarityWeights(labels: Uint8Array): Float32Array {
  const counts = new Float64Array(256);
  for (const label of labels) counts[label] = (counts[label] as number) + 1;
  const valid = labels.length - (counts[voidLabel] as number);
  return Float32Array.from({ length: segmentationClasses }, (_, k) => 1 / Math.log(1.02 + (counts[k] as number) / valid));
}

/** The class of the region a pixel lies in; class 0, the background, has every third. */
function regionClass(image: number, y: number, x: number): number {
  const row = (y + (x >> 3)) >> regionShift;
  const column = (x + (y >> 2)) >> regionShift;
  const mixed = Math.imul(Math.imul(image * 64 + row, 64) + column + 1, 0x9e3779b1);
  const hash = (mixed ^ (mixed >>> 15)) >>> 0;
  return hash % 3 === 0 ? 0 : 1 + ((hash >>> 4) % (segmentationClasses - 1));
}
