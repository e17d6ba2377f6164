// Reading a job's files. Imports Node built-ins only.
import { closeSync, openSync, readSync } from "node:fs";

const pieceBytes = 1 << 24;

/** Fills an array of any memory from a file, piece by piece, so that the file is never in memory twice. @param {string} path @param {ArrayBufferView} target */
export function fillFrom(path, target) {
  const bytes = new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
  const piece = new Uint8Array(pieceBytes);
  const file = openSync(path, "r");
  try {
    for (let at = 0; at < bytes.length; ) {
      const read = readSync(file, piece);
      if (read === 0) throw new Error(`${path} ends after ${at} bytes, expected ${bytes.length}`);
      bytes.set(piece.subarray(0, read), at);
      at += read;
    }
  } finally {
    closeSync(file);
  }
}

/** @param {import("../jobs.mjs").Message} job */
export function readArrays(job) {
  const arrays = { logits: new Float32Array(job.rows * job.classes), labels: new Int32Array(job.rows) };
  fillFrom(job.logits, arrays.logits);
  fillFrom(job.labels, arrays.labels);
  return arrays;
}
