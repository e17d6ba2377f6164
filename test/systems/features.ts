// What the documentation claims for this package beside the other systems: each row of its table, and the tests that hold the package to it.
// coming-from.test.ts compares both.

/** A test by its file, seen from the project, and its title: a vitest title, or the name of a Rust function. */
export interface Proof {
  readonly file: string;
  readonly test: string;
}

const proof = (file: string, test: string): Proof => ({ file: `test/${file}`, test });
const edges = (test: string): Proof => proof("systems/edges.test.ts", test);
const keras = (test: string): Proof => proof("systems/keras.test.ts", test);
const tensorflow = (test: string): Proof => proof("systems/tensorflow.test.ts", test);
const pytorch = (test: string): Proof => proof("systems/pytorch.test.ts", test);
const optax = (test: string): Proof => proof("systems/optax.test.ts", test);

/** By the first cell of the row. */
export const features: Readonly<Record<string, readonly [Proof, ...Proof[]]>> = {
  "loss and gradient from integer labels in one call": [tensorflow("loss and backprop, the two outputs of the op")],
  "no one-hot tensor": [edges("is a few bytes a row: no one-hot tensor, no softmax, the gradient over the logits")],
  "gradient in place of the logits": [edges("is a few bytes a row: no one-hot tensor, no softmax, the gradient over the logits")],
  "gradient added to one that is there": [pytorch("backward() twice adds the gradients"), proof("conformance.rs", "accumulating_adds_the_gradient_with_one_rounding")],
  "class and sample weights together": [keras("class_weight and sample_weight at the same time")],
  "ignored label": [pytorch("4-D: an image with ignore_index=255"), proof("special/labels.rs", "ignored_rows_are_never_read")],
  "label smoothing under class weights": [pytorch("label_smoothing with weight weighs each class's share by its own"), keras("label_smoothing with class_weight weighs the whole row by its label")],
  "z-loss": [optax("the z-loss of language models")],
  "focal loss": [keras("CategoricalFocalCrossentropy(alpha=1, gamma=2) without its one-hot labels")],
  "poly-1 loss": [optax("optax.losses.poly_loss_cross_entropy without its one-hot labels")],
  "upstream gradient per row": [tensorflow("gradient for an upstream gradient per row")],
  "what the mean divides by": [
    pytorch("2-D with weight"),
    keras("sum_over_batch_size divides by the rows that are left"),
    tensorflow("SUM_BY_NONZERO_WEIGHTS"),
    tensorflow("SUM, MEAN, SUM_OVER_BATCH_SIZE and NONE"),
    edges("the mean may divide by any number"),
  ],
  "a mean over nothing": [pytorch("all rows ignored: the mean is NaN, the gradient and the sum are 0"), keras("all rows ignored: 0")],
  "digits of a row that is 50 ahead": [edges("a confident row, 50 ahead, has a loss and a gradient")],
  "exact with a million on every logit": [edges("a million added to every logit changes nothing")],
  "finite beside a class masked with -inf": [edges("a class masked with -inf has probability 0, and the loss is finite")],
  "label out of range": [edges("is an error, or NaN, or skipped, as the caller says, and never another class")],
  "64-bit labels compared in 64 bits": [edges("at 2^32 is not class 0")],
  "logits in f16, bf16, f64": [edges("f16, bf16, f32 and f64 logits give the same loss")],
  "class axis": [edges("the class axis may be any, in place and with the same numbers"), edges("is the same with the classes on axis 1: no transposing copy")],
  "log-sum-exp, predictions, largest classes, ranks, entropy, log-probabilities, sums per class from the same pass": [
    proof("api.test.ts", "outputs come from the same pass"),
    proof("distribution.test.ts", "classes on any axis: the k of a row lie side by side, log-probabilities as the logits"),
    proof("distribution.rs", "every_route_and_dtype_agrees_with_the_definition"),
  ],
  "same bits for any number of threads": [proof("threads.test.ts", "same_bits_any_threads, same_bits_sync_async"), proof("threads.rs", "same_bits_any_threads")],
  "runs in browsers": [proof("browser/host.test.ts", "synchronous calls have the recorded bits"), proof("browser/host.test.ts", "asynchronous calls have the recorded bits")],
  "runs in Node": [proof("lifecycle.test.ts", "%s: answers and ends")],
};
