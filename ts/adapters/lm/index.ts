/**
 * Log-probabilities and perplexity of tokens from a language model's logits.
 *
 * @module sparse-xent/lm
 */
// `sparse-xent/lm`: log-probabilities and perplexity of tokens from a language model's logits. Exports, nothing else.
// Imports no library: logits and ids come as `{ data, dims, type }`, which tensors of transformers.js and ONNX Runtime are.
export { tokenLogProbs, tokenLogProbsAsync } from "./score.js";
export type { ModelLogits, ScoringEngine, TokenLogProbs, TokenLogProbsOptions, TopTokens } from "./score.js";
export type { HostArray, Ids } from "./plan.js";
export { perplexity, windows } from "./perplexity.js";
export type { DocumentPerplexity, Perplexity, PerplexityBatch, PerplexityOptions } from "./perplexity.js";
export { LogProbsRecorder } from "./recorder.js";
export type { RecordedLogProbs } from "./recorder.js";
export { characterOffsets } from "./offsets.js";
