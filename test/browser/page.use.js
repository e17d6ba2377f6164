/** What a page, or a worker of it, does with an engine, and what it finds; among it, what this place is like by its own account. */
export async function use(load, options) {
  const xent = await load(options);
  const logits = xent.tensor("f32", [512, 4096]);
  const labels = xent.tensor("i32", [512]);
  const sync = xent.crossEntropy(logits, labels).loss;
  const { loss, grad } = await xent.crossEntropyAsync(logits, labels, { grad: true });
  const isWindow = grad.view.buffer === logits.view.buffer;
  const { info } = xent;
  await xent.dispose();
  const canShare = globalThis.crossOriginIsolated === true && typeof SharedArrayBuffer === "function";
  return { info, losses: [sync, loss], isWindow, canShare, hasWorkers: typeof Worker === "function" };
}
