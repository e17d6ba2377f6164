//! The table of edge cases, a test for each of its rows. That tensors are disposed of and that buffers overlap are rows
//! that only TypeScript can meet: errors.test.ts has them.

mod edge;
mod labels;
mod matrix;
mod numbers;
mod values;
mod weights;
