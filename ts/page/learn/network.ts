// The classifier of "Watch it learn": one hidden layer in TensorFlow.js, whose last layer and loss are one operation of sparse-xent/tfjs. Imports nothing; the libraries
// are handed in.

/** As much of TensorFlow.js as is used: its own signatures are overloaded and generic, so they are left open here. */
export type TensorFlow = Readonly<Record<"tidy" | "dispose" | "variable" | "tensor2d" | "zeros" | "matMul" | "add" | "relu", (...args: any[]) => any>> & {
  readonly train: { momentum(rate: number, momentum: number): Optimizer };
};
interface Optimizer {
  minimize(lossOf: () => any, wantsLoss: boolean): unknown;
  dispose(): void;
}
/** `linearSparseSoftmaxCrossEntropy` of sparse-xent/tfjs. */
export type LinearLoss = (labels: any, hidden: any, kernel: any, bias: any, options: any) => unknown;

interface Values {
  dataSync(): Float32Array;
}
export interface Variable extends Values {
  readonly shape: number[];
  assign(values: unknown): void;
}
interface Layer {
  /** `[inputs, outputs]`. */
  readonly weights: Variable;
  readonly biases: Variable;
}

const momentum = 0.9;

/** `inputs` to `hidden` rectified units to `outputs` logits, learning by stochastic gradient descent with momentum. */
export class Network {
  readonly #tf: TensorFlow;
  readonly #loss: LinearLoss;
  readonly #first: Layer;
  readonly #second: Layer;
  readonly #optimizer: Optimizer;

  constructor(tf: TensorFlow, loss: LinearLoss, [inputs, hidden, outputs]: readonly [number, number, number], random: () => number, rate: number) {
    this.#tf = tf;
    this.#loss = loss;
    this.#first = layer(tf, inputs, hidden, random);
    this.#second = layer(tf, hidden, outputs, random);
    this.#optimizer = tf.train.momentum(rate, momentum);
  }

  /** What it learns: weights and biases of both layers. */
  get parameters(): readonly Variable[] {
    return [this.#first, this.#second].flatMap(({ weights, biases }) => [weights, biases]);
  }

  /** The logits of inputs `[rows, inputs]`, row by row. */
  logits(inputs: unknown): Float32Array {
    const { weights, biases } = this.#second;
    return this.#tf.tidy(() => (this.#tf.add(this.#tf.matMul(this.#hidden(inputs), weights), biases) as Values).dataSync()) as Float32Array;
  }

  /** One step along the gradient of the loss of these inputs and their labels; the loss before it. */
  learn(inputs: unknown, labels: unknown, options: object): number {
    const { weights, biases } = this.#second;
    const lossOf = (): unknown => this.#loss(labels, this.#hidden(inputs), weights, biases, options);
    return this.#tf.tidy(() => (this.#optimizer.minimize(lossOf, true) as Values).dataSync()[0]) as number;
  }

  dispose(): void {
    this.#tf.dispose([...this.parameters]);
    this.#optimizer.dispose();
  }

  #hidden(inputs: unknown): unknown {
    return this.#tf.relu(this.#tf.add(this.#tf.matMul(inputs, this.#first.weights), this.#first.biases));
  }
}

/** Weights uniform with a variance of 2 / inputs (He et al., 2015), so that rectified units keep the size of what passes through. */
function layer(tf: TensorFlow, inputs: number, outputs: number, random: () => number): Layer {
  const limit = Math.sqrt(6 / inputs);
  const drawn = Float32Array.from({ length: inputs * outputs }, () => (2 * random() - 1) * limit);
  // A variable shares what it begins with; the tidy takes back the tensor that it came in.
  return tf.tidy(() => ({ weights: tf.variable(tf.tensor2d(drawn, [inputs, outputs])), biases: tf.variable(tf.zeros([outputs])) })) as Layer;
}
