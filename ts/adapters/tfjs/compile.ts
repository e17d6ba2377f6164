// The loss in models of tfjs-layers. Imports the host, errors, and types of the operations.
import { mismatch, show } from "../../errors.js";
import { assertKnown, type Host, type HostTensor, type LossOptions, type Model } from "./host.js";

/** What `compileSparse` takes. */
export interface CompileArguments {
  /** As for `model.compile`. */
  readonly optimizer: unknown;
  /** As for `model.compile`; `accuracy` is that of integer labels. */
  readonly metrics?: unknown;
  /** Whether the model's output are logits. Default true; false if it ends with a softmax, whose gradient is then lost for outputs that are nearly 0. */
  readonly fromLogits?: boolean | undefined;
  /** Options of the loss. */
  readonly options?: LossOptions | undefined;
}

type RowLosses = (labels: HostTensor, outputs: HostTensor, options?: LossOptions) => HostTensor;

/** Inputs, targets and, if there are some, weights of the rows, one tensor per input or output. */
type UserData = [HostTensor[], HostTensor[], HostTensor[] | null];

/** As much of a model's insides as is used: the functions that training calls, one per output. */
interface Inside {
  lossFunctions?: unknown;
  standardizeUserData?: (x: unknown, y: unknown, sampleWeight: unknown, ...rest: unknown[]) => Promise<UserData>;
  readonly model?: Inside;
}

/**
 * tfjs-layers recognises its own sparse loss by identity when it checks targets and chooses a metric for `accuracy`, and it calls what `lossFunctions` lists. So the
 * model is compiled with that loss, and the list is given ours.
 */
export function compileSparse<M extends Model>(host: Host, model: M, { options = {}, fromLogits = true, ...args }: CompileArguments, rows: RowLosses): M {
  assertKnown(host, "compileSparse");
  model.compile({ ...args, loss: "sparseCategoricalCrossentropy" });
  // A Sequential trains through a model inside it.
  const inside = (model as Inside).model ?? (model as Inside);
  if (!Array.isArray(inside.lossFunctions) || inside.lossFunctions.length !== 1) {
    const outputs = Array.isArray(inside.lossFunctions) ? inside.lossFunctions.length : "none";
    throw mismatch("OPTION_RANGE", "model outputs", outputs, "a model of tfjs-layers with one output");
  }
  const settings: LossOptions = fromLogits ? options : { ...options, input: "probs" };
  weighRows(host, inside);
  inside.lossFunctions = [(labels: HostTensor, outputs: HostTensor) => rows(labels, outputs, settings)];
  return model;
}

/** Models that take `sampleWeight` by now. */
const weighing = new WeakSet<Inside>();

/**
 * Lets `fit` take `sampleWeight`, one number per row: tfjs-layers multiplies row losses by the weights that stand beside inputs and targets, but makes such weights
 * from `classWeight` alone.
 */
function weighRows(host: Host, inside: Inside): void {
  if (weighing.has(inside)) return;
  const original = inside.standardizeUserData?.bind(inside);
  if (original === undefined) throw mismatch("OPTION_RANGE", "model", inside, "a model of tfjs-layers, which has standardizeUserData");
  inside.standardizeUserData = async (x, y, sampleWeight, ...rest) => {
    const data = await original(x, y, undefined, ...rest);
    if (sampleWeight === undefined || sampleWeight === null) return data;
    const [inputs, targets, byClass] = data;
    const rows = targets[0]?.shape[0] ?? 0;
    const given = isTensor(sampleWeight) ? sampleWeight.dataSync() : (sampleWeight as ArrayLike<number>);
    if (given.length !== rows) throw mismatch("LENGTH", "sampleWeight length", given.length, `${rows} (rows), as the targets ${show(targets[0]?.shape)}`);
    const weights = Float32Array.from(given);
    const classWeights = byClass?.[0];
    if (classWeights !== undefined) {
      for (const [row, weight] of classWeights.dataSync().entries()) weights[row] = (weights[row] as number) * weight;
      classWeights.dispose();
    }
    return [inputs, targets, [host.tensor(weights, [rows], "float32")]];
  };
  weighing.add(inside);
}

const isTensor = (value: unknown): value is HostTensor => typeof (value as Partial<HostTensor> | null)?.dataSync === "function";
