// A classifier with one hidden layer: the linear algebra of "Watch it learn", and nothing of its loss. Imports nothing.

type Numbers = Float32Array<ArrayBufferLike>;

interface Layer {
  readonly inputs: number;
  readonly outputs: number;
  /** One row of `inputs` weights per output. */
  readonly weights: Float32Array;
  readonly biases: Float32Array;
  /** The running sum of gradients that a step follows. */
  readonly weightsVelocity: Float32Array;
  readonly biasesVelocity: Float32Array;
}

const momentum = 0.9;

/** `inputs` to `hidden` rectified units to `outputs` logits, learning by stochastic gradient descent with momentum. */
export class Network {
  readonly #first: Layer;
  readonly #second: Layer;
  /** Activations of the latest `forward`, and their gradient. */
  #hidden = new Float32Array(0);
  #hiddenGrad = new Float32Array(0);

  constructor(inputs: number, hidden: number, outputs: number, random: () => number) {
    this.#first = layer(inputs, hidden, random);
    this.#second = layer(hidden, outputs, random);
  }

  /** What it learns: weights and biases of both layers, where they lie. */
  get parameters(): readonly Float32Array[] {
    return [this.#first, this.#second].flatMap(({ weights, biases }) => [weights, biases]);
  }

  /** Writes the logits of `rows` inputs. */
  forward(inputs: Numbers, rows: number, logits: Numbers): void {
    const units = this.#first.outputs;
    if (this.#hidden.length < rows * units) {
      this.#hidden = new Float32Array(rows * units);
      this.#hiddenGrad = new Float32Array(rows * units);
    }
    multiply(this.#first, inputs, rows, this.#hidden);
    for (let i = 0; i < rows * units; i += 1) this.#hidden[i] = Math.max(0, this.#hidden[i] ?? 0);
    multiply(this.#second, this.#hidden, rows, logits);
  }

  /** One step along the gradient of the loss by the logits that `forward` wrote for these inputs. */
  learn(inputs: Numbers, rows: number, logitsGrad: Numbers, rate: number): void {
    const [hidden, hiddenGrad] = [this.#hidden, this.#hiddenGrad];
    back(this.#second, rows, logitsGrad, hiddenGrad);
    for (let i = 0; i < rows * this.#first.outputs; i += 1) if (hidden[i] === 0) hiddenGrad[i] = 0;
    descend(this.#second, hidden, rows, logitsGrad, rate);
    descend(this.#first, inputs, rows, hiddenGrad, rate);
  }
}

/** Weights uniform with a variance of 2 / inputs (He et al., 2015), so that rectified units keep the size of what passes through. */
function layer(inputs: number, outputs: number, random: () => number): Layer {
  const limit = Math.sqrt(6 / inputs);
  const weights = Float32Array.from({ length: inputs * outputs }, () => (2 * random() - 1) * limit);
  const zeros = (length: number): Float32Array => new Float32Array(length);
  return { inputs, outputs, weights, biases: zeros(outputs), weightsVelocity: zeros(weights.length), biasesVelocity: zeros(outputs) };
}

function multiply({ inputs, outputs, weights, biases }: Layer, x: Numbers, rows: number, y: Numbers): void {
  for (let row = 0; row < rows; row += 1) {
    for (let output = 0; output < outputs; output += 1) {
      let sum = biases[output] as number;
      for (let i = 0; i < inputs; i += 1) sum += (weights[output * inputs + i] as number) * (x[row * inputs + i] as number);
      y[row * outputs + output] = sum;
    }
  }
}

/** The gradient by the layer's inputs. */
function back({ inputs, outputs, weights }: Layer, rows: number, grad: Numbers, inputsGrad: Numbers): void {
  inputsGrad.fill(0, 0, rows * inputs);
  for (let row = 0; row < rows; row += 1) {
    for (let output = 0; output < outputs; output += 1) {
      const g = grad[row * outputs + output] as number;
      for (let i = 0; i < inputs; i += 1) inputsGrad[row * inputs + i] = (inputsGrad[row * inputs + i] as number) + g * (weights[output * inputs + i] as number);
    }
  }
}

function descend({ inputs, outputs, weights, biases, weightsVelocity, biasesVelocity }: Layer, x: Numbers, rows: number, grad: Numbers, rate: number): void {
  for (let output = 0; output < outputs; output += 1) {
    for (let i = 0; i < inputs; i += 1) {
      let sum = 0;
      for (let row = 0; row < rows; row += 1) sum += (grad[row * outputs + output] as number) * (x[row * inputs + i] as number);
      const at = output * inputs + i;
      weightsVelocity[at] = momentum * (weightsVelocity[at] as number) + sum;
      weights[at] = (weights[at] as number) - rate * (weightsVelocity[at] as number);
    }
    let sum = 0;
    for (let row = 0; row < rows; row += 1) sum += grad[row * outputs + output] as number;
    biasesVelocity[output] = momentum * (biasesVelocity[output] as number) + sum;
    biases[output] = (biases[output] as number) - rate * (biasesVelocity[output] as number);
  }
}
