// What the soak does, in Node and in a page alike: calls of many kinds, aborts, refusals, engines that come and go, memories that grow. Each answer is
// compared by bits with the first one of its kind.

/** Whole numbers below `end`, the same ones each time. @param {number} seed @returns {(end: number) => number} */
function numbers(seed) {
  let state = seed;
  return (end) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % end;
  };
}

/** The kinds of calls: a shape of the logits, and options. */
const kinds = [
  { shape: [4, 10], options: {} },
  { shape: [300, 33], options: { reduction: "none", labelSmoothing: 0.1 } },
  { shape: [64, 1000], options: { outputs: ["predictions", "perClass"] } },
  { shape: [2, 33, 4000], options: { axis: 1 } },
  { shape: [1, 600_000], options: { outputs: ["logSumExp"] } },
  { shape: [128, 4096], options: { focalGamma: 2 } },
];

/** All bits of a result, in short. @param {Record<string, any>} result @returns {string} */
function summary(result) {
  /** @param {ArrayBufferView} view */
  const hash = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength).reduce((sum, byte) => (Math.imul(sum, 31) + byte) | 0, 0);
  return Object.entries(result)
    .map(([name, value]) => `${name} ${value?.view ? hash(value.view) : typeof value === "number" ? value : ""}`)
    .join(", ");
}

/**
 * Works for so long and returns how often it did what.
 *
 * @param {(options?: object) => Promise<any>} load of the package
 * @param {number} milliseconds
 * @param {(counts: Record<string, number>) => void | Promise<void>} told every few seconds, when nothing is under way
 */
export async function soak(load, milliseconds, told) {
  const below = numbers(20_261_129);
  /** @type {Record<string, number>} */
  const counts = { calls: 0, sync: 0, async: 0, aborted: 0, refused: 0, engines: 0 };
  const add = (/** @type {string} */ what) => void (counts[what] = (counts[what] ?? 0) + 1);
  const engines = await Promise.all([load({ threads: 2 }), load({ threads: 3 })]);
  /** @type {Map<string, string>} */
  const firsts = new Map();

  /** @param {any} xent @param {(typeof kinds)[number]} kind */
  const given = (xent, kind) => {
    const axis = /** @type {{ axis?: number }} */ (kind.options).axis ?? kind.shape.length - 1;
    const logits = xent.tensor("f32", kind.shape);
    logits.view.forEach((/** @type {number} */ _, /** @type {number} */ at) => void (logits.view[at] = ((at * 7) % 23) / 4));
    const labels = xent.tensor("i32", kind.shape.filter((_, at) => at !== axis));
    return { logits, labels };
  };

  /** @param {any} xent @param {number} which */
  async function call(xent, which) {
    const kind = kinds[which] ?? kinds[0];
    if (kind === undefined) return;
    const { logits, labels } = given(xent, kind);
    const grad = [false, true, logits][below(3)];
    const how = below(2) === 0 ? "sync" : "async";
    const options = { ...kind.options, grad };
    try {
      const result = how === "sync" ? xent.crossEntropy(logits, labels, options) : await xent.crossEntropyAsync(logits, labels, options);
      const name = `${which} ${grad === logits ? "in place" : grad}`;
      const said = summary(result);
      if ((firsts.get(name) ?? said) !== said) throw new Error(`other bits than before: ${name}: ${said}, ${firsts.get(name)}`);
      firsts.set(name, said);
      for (const value of Object.values(result)) if (value?.view && value !== logits) value.dispose();
      add(how);
    } finally {
      logits.dispose();
      labels.dispose();
    }
  }

  /** Several at once, all but the first aborted at some moment. @param {any} xent */
  async function abort(xent) {
    const kind = kinds[5] ?? kinds[0];
    if (kind === undefined) return;
    const { logits, labels } = given(xent, kind);
    const abort = new AbortController();
    const calls = [0, 1, 2, 3].map((index) => xent.crossEntropyAsync(logits, labels, index === 0 ? {} : { signal: abort.signal, grad: true }));
    const settled = Promise.allSettled(calls);
    await new Promise((resolve) => setTimeout(resolve, below(4)));
    abort.abort();
    for (const { status, value, reason } of /** @type {any[]} */ (await settled)) {
      if (status === "fulfilled") value.grad?.dispose();
      else if (reason.code !== "ABORTED") throw reason;
      else add("aborted");
    }
    logits.dispose();
    labels.dispose();
  }

  /** @param {any} xent */
  async function refuse(xent) {
    for (const use of [() => xent.crossEntropyAsync(new Float32Array(8), [0, 9], { shape: [2, 4] }), async () => xent.tensor("f32", [2 ** 40])]) {
      const error = await use().then(() => undefined, (/** @type {unknown} */ thrown) => thrown);
      if (!["LABEL_OUT_OF_RANGE", "SIZE"].includes(error?.code)) throw new Error(`not refused: ${error}`);
      add("refused");
    }
  }

  /** An engine for a moment, whose memory grows; every second one ends with a call under way. */
  async function comeAndGo() {
    const xent = await load({ threads: 2, maximumPages: 4096 });
    const tensors = Array.from({ length: 1 + below(3) }, () => xent.tensor("f32", [1 + below(4_000_000)]));
    tensors[0].dispose();
    await call(xent, below(3));
    const { logits, labels } = given(xent, kinds[2] ?? { shape: [1, 1], options: {} });
    const pending = xent.crossEntropyAsync(logits, labels, { grad: true }).catch((/** @type {any} */ error) => {
      if (error.code !== "DISPOSED") throw error;
    });
    if (below(2) === 0) await pending;
    await xent.dispose();
    await pending;
    add("engines");
  }

  const end = performance.now() + milliseconds;
  const pauseMs = Math.min(5_000, milliseconds / 20);
  let next = performance.now() + pauseMs;
  while (performance.now() < end) {
    const xent = engines[below(2)];
    const what = below(40);
    if (what === 0) await comeAndGo();
    else if (what < 4) await abort(xent);
    else if (what < 6) await refuse(xent);
    else if (what < 10) await Promise.all(engines.map((engine) => call(engine, below(kinds.length))));
    else await call(xent, below(kinds.length));
    add("calls");
    if (performance.now() > next) {
      // A call that was aborted in the queue keeps its block until its turn comes: behind this one they have all been.
      await Promise.all(engines.map((engine) => engine.crossEntropyAsync(new Float32Array(8), [0, 1], { shape: [2, 4] })));
      const used = engines.map(({ info }) => info.usedBytes);
      if (used.some((bytes) => bytes !== 0)) throw new Error(`bytes that nobody holds: ${used.join(", ")}`);
      await told(counts);
      next = performance.now() + pauseMs;
    }
  }
  await Promise.all(engines.map((engine) => engine.dispose()));
  return counts;
}
