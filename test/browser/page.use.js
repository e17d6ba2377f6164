/** What a page does with an engine, and what it finds. */
export async function use(load, options) {
  const xent = await load(options);
  const logits = xent.tensor("f32", [512, 4096]);
  const labels = xent.tensor("i32", [512]);
  const sync = xent.crossEntropy(logits, labels).loss;
  const { loss, grad } = await xent.crossEntropyAsync(logits, labels, { grad: true });
  const isWindow = grad.view.buffer === logits.view.buffer;
  const { info } = xent;
  await xent.dispose();
  return { info, losses: [sync, loss], isWindow };
}
