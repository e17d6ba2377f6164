//! The way through a call: everything is judged and all memory is there, then chunk by chunk of rows.

use super::pack::Source;
use super::product::CUT;
use super::step::{Hidden, Layer, Part};
use super::{Floats, LinearCrossEntropy, WeightLayout};
use crate::Error;
use crate::cross_entropy::{Blocks, ByChunk, Fate, PerRow, Results, Summary, fits, zeros};
use crate::element::Target;
use crate::labels::Labels;
use crate::options::Input;
#[cfg(target_arch = "wasm32")]
use crate::simd::Best;
#[cfg(not(target_arch = "wasm32"))]
use crate::simd::Task;
use crate::simd::{Isa, arrays};
use core::sync::atomic::AtomicI32;

/// How many bytes the logits of a chunk take, unless `chunk_rows` is set; and the fewest and the most rows that it then has.
const CHUNK_BYTES: usize = 32 << 20;
const CHUNK_ROWS: [usize; 2] = [64, 128];
/// The same where logits are made block by block. These bytes hold the logits of a block, the hidden states, which are packed twice, and
/// their gradient.
const BLOCK_BYTES: usize = 12 << 20;
const BLOCK_ROWS: [usize; 2] = [64, 512];
/// Where threads share a call whose chunks are small, they compute several chunks at a time: as many as have their logits, their hidden
/// states, which are packed twice, and the gradient of those in this many bytes.
const SHARED_BYTES: usize = 4 << 20;

/// What a call reads beside the hidden states.
pub(crate) struct Inputs<'a> {
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    pub(crate) classes: usize,
    pub(crate) weight: Floats<'a>,
    pub(crate) labels: Labels<'a>,
}

/// The hidden states, and where their gradient goes.
pub(crate) enum States<'a> {
    Apart(Floats<'a>, Option<&'a mut [f32]>),
    #[cfg_attr(
        not(all(feature = "js", target_arch = "wasm32")),
        expect(dead_code, reason = "the boundary's")
    )]
    InPlace(&'a mut [f32]),
}

/// Where the gradients of weights and bias go.
pub(crate) type Gradients<'a> = (Option<&'a mut [f32]>, Option<&'a mut [f32]>);

impl States<'_> {
    fn read(&self) -> Floats<'_> {
        match self {
            States::Apart(hidden, _) => *hidden,
            States::InPlace(hidden) => Floats::F32(hidden),
        }
    }

    fn gradient(&mut self) -> Option<&mut [f32]> {
        match self {
            States::Apart(_, gradient) => gradient.as_deref_mut(),
            States::InPlace(hidden) => Some(hidden),
        }
    }
}

impl LinearCrossEntropy<'_> {
    /// The rows of a chunk. They depend on the shape alone, since bits depend on them.
    fn rows_per_chunk(&self, rows: usize, depth: usize, classes: usize) -> usize {
        if let Some(rows) = self.chunk_rows {
            return rows;
        }
        let within = |bytes: usize, per_row: usize, [fewest, most]: [usize; 2]| {
            (bytes / size_of::<f32>() / per_row).clamp(fewest, most)
        };
        let blocks = ByChunk::blocks(classes);
        // One block holds whole rows.
        if !self.recompute || blocks == 1 {
            return within(CHUNK_BYTES, classes, CHUNK_ROWS);
        }
        let block = ByChunk::block(classes, blocks - 1).len();
        let most = within(BLOCK_BYTES, block.saturating_add(depth.saturating_mul(3)), BLOCK_ROWS);
        // Chunks of one size: each reads all weights.
        rows.div_ceil(rows.div_ceil(most).max(1)).max(1)
    }

    /// Everything that can be wrong with a call's options, labels and weights, and what was learnt on the way.
    pub(crate) fn judge<'a>(
        &'a self,
        rows: usize,
        classes: usize,
        labels: &Labels<'_>,
        cancel: Option<&'a AtomicI32>,
    ) -> Result<ByChunk<'a>, Error> {
        let conflict = |option| Err(Error::OptionConflict { option, with: "a linear layer" });
        if self.chunk_rows == Some(0) {
            return Err(Error::OptionRange { option: "chunkRows", got: 0.0, expected: "1 or more" });
        }
        if self.loss.input != Input::Logits {
            return conflict("input");
        }
        if self.loss.label_matrix.is_some() {
            return conflict("labelMatrix");
        }
        ByChunk::new(&self.loss, rows, classes, labels, cancel)
    }

    /// The whole call over caller-owned memory. `cancel`, once not 0, stops it between units.
    pub(crate) fn execute(
        &self,
        inputs: &Inputs<'_>,
        mut states: States<'_>,
        gradients: Gradients<'_>,
        mut results: Results<'_>,
        cancel: Option<&AtomicI32>,
    ) -> Result<Summary, Error> {
        #[cfg(not(target_arch = "wasm32"))]
        let kernel = self.loss.kernel.choose()?;
        let Inputs { rows, depth, classes: all, .. } = *inputs;
        if depth == 0 {
            return Err(Error::Shape { what: "hidden depth", got: 0, expected: "1 or more" });
        }
        for (gradient, length, what) in [
            (states.gradient().as_deref(), rows * depth, "grad.hidden"),
            (gradients.0.as_deref(), all * depth, "grad.weight"),
            (gradients.1.as_deref(), all, "grad.bias"),
        ] {
            gradient.map_or(Ok(()), |gradient| fits(gradient.len(), length, what))?;
        }
        self.bias.map_or(Ok(()), |bias| fits(bias.len(), all, "bias"))?;
        let loss = self.judge(rows, all, &inputs.labels, cancel)?;
        let (classes, kept) = (loss.classes(), loss.kept());
        let weight = match self.weight_layout {
            WeightLayout::Vd => Source { rows: kept, ..Source::new(inputs.weight, depth) },
            WeightLayout::Dv => Source { columns: kept, ..Source::new(inputs.weight, all) },
        };
        let together = self.rows_per_chunk(rows, depth, classes);
        let layer = Layer {
            weight,
            layout: self.weight_layout,
            classes,
            kept,
            all,
            depth,
            together,
            bias: self.bias.map(|bias| Source { columns: kept, ..Source::new(bias, all) }),
            executor: self.loss.executor,
            cancel,
        };
        let blocks = if self.recompute { ByChunk::blocks(classes) } else { 1 };
        let shares = blocks == 1 && self.chunk_rows.is_none() && self.loss.executor.workers(2) > 1;
        let at_once = SHARED_BYTES / size_of::<f32>() / classes.saturating_add(depth.saturating_mul(3));
        let chunks = if shares && together <= CUT { (at_once / together).max(1) } else { 1 };
        let job = Job { layer, loss: &loss, blocks, per_chunk: chunks.saturating_mul(together), rows };
        let room = loss.room(&results)?;
        #[cfg(target_arch = "wasm32")]
        job.run::<Best>(&mut states, gradients, &mut results)?;
        #[cfg(not(target_arch = "wasm32"))]
        kernel.run(ByKernel { job, states: &mut states, gradients, results: &mut results })?;
        loss.totals(results, room)
    }
}

/// [`Job::run`] by a kernel that is known at run time only.
#[cfg(not(target_arch = "wasm32"))]
struct ByKernel<'j, 'g, 's, 'r, 'm> {
    job: Job<'j>,
    states: &'m mut States<'s>,
    gradients: Gradients<'g>,
    results: &'m mut Results<'r>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Task for ByKernel<'_, '_, '_, '_, '_> {
    type Output = Result<(), Error>;

    fn run<I: Isa>(self) -> Self::Output {
        self.job.run::<I>(self.states, self.gradients, self.results)
    }
}

/// A call that was judged.
struct Job<'a> {
    layer: Layer<'a>,
    loss: &'a ByChunk<'a>,
    /// How many blocks of classes the logits are made in. With one block, all logits of a chunk are there at once.
    blocks: usize,
    /// Rows that are in memory at the same time: whole chunks.
    per_chunk: usize,
    rows: usize,
}

/// How the logits of a chunk are there: all at once, or block by block.
enum Form {
    Whole(PerRow),
    Blocks(Blocks),
}

impl Job<'_> {
    /// Some rows over the classes of a block.
    fn part(&self, rows: usize, block: usize) -> Part {
        let all = 0..self.layer.classes;
        let classes = if self.blocks == 1 { all } else { ByChunk::block(self.layer.classes, block) };
        Part { rows, classes }
    }

    fn run<I: Isa>(
        &self,
        states: &mut States<'_>,
        (mut weight, mut bias): Gradients<'_>,
        results: &mut Results<'_>,
    ) -> Result<(), Error> {
        let Self { layer, loss, .. } = self;
        let depth = layer.depth;
        let wants = states.gradient().is_some() || weight.is_some() || bias.is_some();
        // A mean over nothing has the same gradient in every row that counts, whatever its logits are.
        let computes = wants && loss.gradient_of_nothing().is_none();
        let count = (0..self.rows).filter(|row| loss.fate(*row, results) != Fate::Dropped).count();
        let most = self.per_chunk.min(count);
        // The call asks for all of its memory before it writes anything.
        let mut kept: Vec<u32> = zeros(count)?;
        // The last window is the widest.
        let mut logits = zeros::<f32>(most.saturating_mul(self.part(most, self.blocks - 1).classes.len()))?;
        let (left, right) = layer.hidden_lengths::<I>(most);
        let mut hidden = Hidden { left: zeros(left)?, right: zeros(if computes { right } else { 0 })? };
        let gradient_rows =
            if computes && states.gradient().is_some() { layer.gradient_rows::<I>(most) } else { 0 };
        let mut gradient = zeros::<f32>(gradient_rows.saturating_mul(depth))?;
        let mut scratch = zeros::<f32>(Layer::SCRATCH * layer.workers(most))?;
        let mut form = match self.blocks {
            1 => Form::Whole(loss.per_row(most, results)?),
            _ => Form::Blocks(loss.block_rows(most)?),
        };

        let rows = (0_u32..).take(self.rows).filter(|row| loss.fate(*row as usize, results) != Fate::Dropped);
        kept.iter_mut().zip(rows).for_each(|(slot, row)| *slot = row);
        ByChunk::begin(results);
        let accumulates = loss.accumulates();
        for (index, chunk) in kept.chunks(self.per_chunk.max(1)).enumerate() {
            let count = chunk.len();
            let source = Source { rows: Some(chunk), ..Source::new(states.read(), depth) };
            let is_silent = |row: usize| loss.fate(chunk[row] as usize, results) == Fate::Silent;
            layer.pack::<I>(&source, count, is_silent, &mut hidden);
            match &mut form {
                Form::Whole(per_row) => {
                    let logits = &mut logits[..count * layer.classes];
                    layer.logits::<I>(&self.part(count, 0), &hidden, logits, &mut scratch)?;
                    loss.run(chunk, logits, computes, results, per_row)?;
                }
                Form::Blocks(blocks) => {
                    loss.plan_blocks(chunk, blocks);
                    for block in 0..self.blocks {
                        let part = self.part(count, block);
                        let logits = &mut logits[..count * part.classes.len()];
                        layer.logits::<I>(&part, &hidden, logits, &mut scratch)?;
                        loss.block_run::<I>(block, logits, results, blocks)?;
                    }
                    loss.conclude_blocks(chunk, results, blocks);
                }
            }
            if !computes {
                continue;
            }
            for block in 0..self.blocks {
                let part = self.part(count, block);
                let logits = &mut logits[..count * part.classes.len()];
                if let Form::Blocks(blocks) = &mut form {
                    layer.logits::<I>(&part, &hidden, logits, &mut scratch)?;
                    loss.block_run::<I>(block, logits, results, blocks)?;
                }
                if weight.is_some() || bias.is_some() {
                    let into = (weight.as_deref_mut(), bias.as_deref_mut());
                    let adds = accumulates || index > 0;
                    layer.weight_gradient::<I>(&part, &hidden, logits, into, adds, &mut scratch)?;
                }
                if states.gradient().is_some() {
                    layer.hidden_gradient::<I>(&part, logits, &mut gradient, &mut scratch)?;
                }
            }
            if let Some(into) = states.gradient() {
                for (row, values) in chunk.iter().zip(gradient.chunks_exact(depth)) {
                    let into = &mut into[*row as usize * depth..][..depth];
                    if accumulates {
                        arrays::combine(into, values, |slot, value| slot + value);
                    } else {
                        into.copy_from_slice(values);
                    }
                }
            }
        }
        self.fill(states, [weight, bias], results, computes, count == 0);
        Ok(())
    }

    /// Writes what no product has written: the gradients of rows that do not count and of masked classes, and all gradients where there
    /// was nothing to compute.
    fn fill(
        &self,
        states: &mut States<'_>,
        sums: [Option<&mut [f32]>; 2],
        results: &Results<'_>,
        computes: bool,
        is_empty: bool,
    ) {
        let (loss, depth) = (self.loss, self.layer.depth);
        let nothing = loss.gradient_of_nothing().unwrap_or_default();
        let put = |slots: &mut [f32], value: f32| {
            if value != 0.0 || !loss.accumulates() {
                Target::F32(slots).fill(value.into());
            }
        };
        let is_written = computes && !is_empty;
        let value = if loss.counts_any() { nothing } else { 0.0 };
        let all = self.layer.all;
        let each = if self.layer.layout == WeightLayout::Vd { depth } else { 1 };
        let has_unwritten = !is_written || self.layer.kept.is_some();
        for (sums, each) in sums.into_iter().zip([each, 1]).filter(|_| has_unwritten) {
            // Of each class so many numbers side by side.
            let sums = sums.into_iter().flat_map(|sums| sums.chunks_exact_mut(each));
            for (sums, class) in sums.zip((0..all).cycle()) {
                // A class that is masked has no part in it.
                let is_kept = loss.keeps(class);
                if !(is_kept && is_written) {
                    put(sums, if is_kept { value } else { 0.0 });
                }
            }
        }
        let Some(into) = states.gradient() else { return };
        for (row, into) in into.chunks_exact_mut(depth).enumerate() {
            let is_computed = computes && loss.fate(row, results) != Fate::Dropped;
            if !is_computed {
                put(into, if loss.is_valid(row) { nothing } else { 0.0 });
            }
        }
    }
}
