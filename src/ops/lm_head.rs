//! The output head with its cross-entropy, in one op, so that logits of (tokens, vocabulary) never exist.
//!
//! Only rows that have a target are gathered, a chunk at a time. A chunk's logits become their own gradient in place, from
//! which the gradients of the input and of the weight are taken before the next chunk overwrites them. The loss is normalised by
//! `Step::loss_scale` = 1 / targets of the accumulation group, which is known before the forward.
//!
//! A preference loss depends on the log-probabilities of whole answers: the losses of all chunks come first, a kernel turns them into
//! what each counts, and the chunks' logits are computed once more for the gradients, unless there is but one chunk.

use super::compare::compare;
use super::dropout;
use super::low_rank::{self, Made};
use super::matmul::{self, Operand, Product};
use crate::graph::{Emit, Graph, LowRank, Op, ParamId, Piece, Purpose, Shape, ValueId};
use crate::kernels::{Bind, Input, Resource, When, cross_entropy_forward, gather_rows, loss_sum, scatter_rows, workgroups};

/// Bytes that a chunk's logits may always take. With a large vocabulary that is few rows, for each of which all of the weight is read; so they take more
/// where the device has memory enough (`Tuning::head_bytes`).
const LOGITS_BYTES: usize = 64 << 20;

/// Most rows of a chunk: enough to fill a GPU, few enough that the last chunk wastes little. A multiple of 64, so that a chunk's labels start at 256 bytes.
const CHUNK_ROWS: usize = 512;

#[derive(Debug)]
struct LmHead {
    weight: ParamId,
    low_rank: Option<LowRank>,
    softcap: Option<f32>,
    /// Tells its dropout from others.
    id: u32,
}

/// One chunk of rows on its way through the head.
struct Chunk {
    /// First row with a target.
    first: usize,
    when: When,
    /// (rows, H) hidden states.
    gathered: ValueId,
    /// (rows, V) logits, then their gradient.
    logits: ValueId,
}

/// What is done with a chunk of logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entropy {
    /// Their losses are computed; in training the logits become the gradient as well.
    Both,
    /// Their losses alone.
    Losses,
    /// The logits become the gradient, each row's as its place in the losses says.
    Counted,
}

impl Graph {
    /// Ends the graph: hidden states x (M, H) and a weight of (V, H), as an adapter changes it → losses (training, evaluation) or
    /// logits (generation).
    pub fn lm_head(&mut self, x: ValueId, weight: ParamId, softcap: Option<f32>) {
        let (weight, low_rank) = self.matrix(weight);
        let id = self.nodes.len() as u32;
        self.push(LmHead { weight, low_rank, softcap, id }, &[x], &[]);
    }
}

/// Whether targets that are the likeliest token are counted.
fn counts_right(e: &Emit<'_>) -> bool {
    e.graph.objective.accuracy && !e.training()
}

/// Rows of a chunk of logits for a vocabulary.
fn chunk_rows(e: &Emit<'_>, tokens: usize, vocabulary: usize) -> usize {
    let by_bytes = e.spare_bytes(LOGITS_BYTES, e.tuning.head_bytes) / (vocabulary.next_multiple_of(4) * 4);
    (by_bytes / 64 * 64).clamp(64, CHUNK_ROWS).min(tokens.next_multiple_of(64))
}

impl Op for LmHead {
    fn name(&self) -> &'static str {
        "lm_head"
    }

    fn params(&self) -> Vec<ParamId> {
        std::iter::once(self.weight).chain(self.low_rank.iter().flat_map(LowRank::params)).collect()
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], _y: &[ValueId]) -> Vec<ValueId> {
        if let Purpose::Generate { logit_rows, .. } = e.graph.purpose {
            self.logits(e, x[0], logit_rows);
            return Vec::new();
        }
        let p = e.param(self.weight);
        let (vocabulary, hidden) = (p.shape.rows, p.shape.cols);
        let tokens = e.tokens();
        let chunk = chunk_rows(e, tokens, vocabulary);
        let pieces = e.pieces(self.weight);
        let gathered = e.matrix(chunk, hidden);
        let logits = e.matrix(chunk, vocabulary);
        let dx = (e.training() && e.needs_grad(x[0])).then(|| (e.matrix(tokens, hidden), e.matrix(chunk, hidden)));
        if let Some((dx, _)) = dx {
            e.zero(dx);
        }
        let chunks = (0..tokens).step_by(chunk).map(|first| {
            let when = if first == 0 { When::Always } else { When::MoreTargetsThan(first as u32) };
            Chunk { first, when, gathered, logits }
        });
        let (mut kept, one_chunk) = (None, tokens <= chunk);
        if let Some(loss) = e.graph.objective.preference {
            for chunk in chunks.clone() {
                kept = Some(self.chunk_logits(e, x[0], &chunk, &pieces));
                self.cross_entropy(e, logits, chunk.first, chunk.when, Entropy::Losses);
            }
            compare(e, loss);
            if !e.training() {
                return Vec::new();
            }
        }
        let entropy = if e.graph.objective.preference.is_some() { Entropy::Counted } else { Entropy::Both };
        for chunk in chunks {
            let Chunk { first, when, .. } = chunk;
            let narrow = match kept.take().filter(|_| one_chunk) {
                Some(narrow) => narrow,
                None => self.chunk_logits(e, x[0], &chunk, &pieces),
            };
            self.cross_entropy(e, logits, first, when, entropy);
            let t = self.low_rank.as_ref().filter(|_| e.training()).map(|l| (l, low_rank::narrow_back_one(e, l, l.scale, logits, when)));
            if let Some((dx, dgathered)) = dx {
                self.chunk_input_gradient(e, &chunk, t, &pieces, dgathered);
                self.scatter(e, dgathered, dx, first, when);
            }
            if let (Some((l, t)), Some((dropped, u))) = (t, narrow) {
                low_rank::gradients(e, &[Some((l, Made { dy: logits, u, t }))], dropped, when);
            }
            if p.trainable && e.training() {
                let mode = e.gradient_mode(self.weight);
                let (grad, input) = (Operand::value(e, logits), Operand::value(e, gathered));
                for piece in &pieces {
                    let Some(dw) = piece.gradient else { continue };
                    let dy = grad.columns_from(piece.first_row);
                    for dispatch in matmul::backward_weight(e, dy, input, piece.rows, hidden, dw, mode) {
                        e.run(dispatch.when(when));
                    }
                }
            }
        }
        if entropy == Entropy::Both {
            let (losses, stats) = (e.losses(0, tokens), e.stats());
            let params = loss_sum::Params { capacity: tokens as u32 };
            let bindings = loss_sum::Bindings { losses, stats };
            let constants = loss_sum::Constants { WORKGROUP: e.tuning.long_threads, ACCURACY: counts_right(e) };
            e.run(loss_sum::dispatch(params, constants, bindings, [1, 1, 1]));
        }
        dx.map(|(dx, _)| dx).into_iter().collect()
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], _y: &[ValueId], saved: &[ValueId]) {
        if let Some(dx) = saved.first() {
            e.give_grad(x[0], *dx);
        }
    }
}

impl LmHead {
    /// Gathers the chunk's rows and multiplies them with the head, piece by piece. With a low-rank part it returns what its gradients
    /// need: the rows as they went to A, and u.
    fn chunk_logits(&self, e: &mut Emit<'_>, x: ValueId, chunk: &Chunk, pieces: &[Piece]) -> Option<(ValueId, ValueId)> {
        let Chunk { first, when, gathered, logits } = *chunk;
        let (from, to) = (e.shape(x), e.shape(gathered));
        let (lanes, per_group) = e.tuning.lanes(to.stride4());
        let params = gather_rows::Params {
            rows: to.rows as u32,
            width: to.stride4(),
            x_stride: from.stride4(),
            y_stride: to.stride4(),
            first: first as u32,
        };
        let constants = gather_rows::Constants { LANES: lanes, ROWS: per_group };
        let bindings = gather_rows::Bindings { index: e.input(Input::TargetRows), x: e.bind(x), y: e.bind(gathered) };
        e.run(gather_rows::dispatch(params, constants, bindings, workgroups(to.rows.div_ceil(per_group as usize))).when(when));
        let narrow = self.low_rank.as_ref().map(|l| {
            let dropped = low_rank::dropped(e, l, self.dropout_id(first), gathered, when);
            (dropped, low_rank::narrow_one(e, l, dropped, when))
        });
        let (input, output) = (Operand::value(e, gathered), Operand::value(e, logits));
        for piece in pieces {
            let second = self.low_rank.as_ref().zip(narrow).map(|(l, (_, u))| low_rank::widen(e, l, u, piece.first_row));
            let product = Product { second, ..Product::default() };
            for dispatch in matmul::forward(e, input, self.weight, piece, product, output.columns_from(piece.first_row)) {
                e.run(dispatch.when(when));
            }
        }
        narrow
    }

    /// The gradient of the chunk's rows: dlogits·W, and t·A through the dropout.
    fn chunk_input_gradient(&self, e: &mut Emit<'_>, chunk: &Chunk, t: Option<(&LowRank, ValueId)>, pieces: &[Piece], to: ValueId) {
        let when = chunk.when;
        let fused = t.filter(|(l, _)| l.dropout <= 0.0);
        let (grad, target) = (Operand::value(e, chunk.logits), Operand::value(e, to));
        for (i, piece) in pieces.iter().enumerate() {
            let second = fused.filter(|_| i == 0).map(|(l, t)| low_rank::widen_back(e, l, t));
            let product = Product { second, accumulate: i > 0, ..Product::default() };
            for dispatch in matmul::backward_input(e, grad.columns_from(piece.first_row), self.weight, piece, product, target) {
                e.run(dispatch.when(when));
            }
        }
        let Some((l, t)) = t.filter(|_| fused.is_none()) else { return };
        let shape = e.shape(to);
        let through = e.matrix(shape.rows, shape.cols);
        let (from, into) = (Operand::value(e, t), Operand::value(e, through));
        let piece = e.piece(l.a);
        for dispatch in matmul::backward_input(e, from, l.a, &piece, Product::default(), into) {
            e.run(dispatch.when(when));
        }
        dropout::mask(e, l.dropout, self.dropout_id(chunk.first), through, to, true, when);
    }

    /// Each chunk has a mask of its own.
    fn dropout_id(&self, first: usize) -> u32 {
        self.id ^ (first as u32) << 12
    }

    fn cross_entropy(&self, e: &mut Emit<'_>, logits: ValueId, first: usize, when: When, entropy: Entropy) {
        let shape = e.shape(logits);
        let (lanes, per_group) = e.tuning.lanes(shape.stride4());
        let objective = e.graph.objective;
        let plain = entropy == Entropy::Both;
        let smoothing = if plain { objective.label_smoothing } else { 0.0 };
        let params = cross_entropy_forward::Params {
            rows: shape.rows as u32,
            vocab: shape.cols as u32,
            logits_stride: shape.stride4(),
            first: first as u32,
            cap: self.softcap.unwrap_or(0.0),
            smoothing,
        };
        let constants = cross_entropy_forward::Constants {
            GRADIENT: e.training() && entropy != Entropy::Losses,
            SOFTCAP: self.softcap.is_some(),
            SMOOTHING: smoothing > 0.0,
            WEIGHED: plain && objective.weigh_by_probability,
            COUNTED: entropy == Entropy::Counted,
            ACCURACY: plain && counts_right(e),
            LANES: lanes,
            ROWS: per_group,
        };
        let bindings = cross_entropy_forward::Bindings {
            labels: e.input(Input::TargetLabels),
            logits: e.bind(logits),
            losses: e.losses(0, e.tokens()),
        };
        e.run(cross_entropy_forward::dispatch(params, constants, bindings, workgroups(shape.rows.div_ceil(per_group as usize))).when(when));
    }

    fn scatter(&self, e: &mut Emit<'_>, dgathered: ValueId, dx: ValueId, first: usize, when: When) {
        let (from, to) = (e.shape(dgathered), e.shape(dx));
        let (lanes, per_group) = e.tuning.lanes(from.stride4());
        let params = scatter_rows::Params {
            rows: from.rows as u32,
            width: from.stride4(),
            dy_stride: from.stride4(),
            dx_stride: to.stride4(),
            first: first as u32,
        };
        let constants = scatter_rows::Constants { LANES: lanes, ROWS: per_group };
        let bindings = scatter_rows::Bindings { index: e.input(Input::TargetRows), dy: e.bind(dgathered), dx: e.bind(dx) };
        e.run(scatter_rows::dispatch(params, constants, bindings, workgroups(from.rows.div_ceil(per_group as usize))).when(when));
    }

    /// Logits of the rows that the batch names as targets, into a buffer that the sampler reads; without a softcap, which the reader
    /// applies. A part of a prompt without targets costs none.
    fn logits(&self, e: &mut Emit<'_>, x: ValueId, logit_rows: usize) {
        let p = e.param(self.weight);
        let shape = Shape { rows: logit_rows, cols: p.shape.rows };
        let pieces = e.pieces(self.weight);
        let gathered = e.matrix(logit_rows, p.shape.cols);
        let logits = e.matrix(shape.rows, shape.cols);
        let chunk = Chunk { first: 0, when: When::MoreTargetsThan(0), gathered, logits };
        self.chunk_logits(e, x, &chunk, &pieces);
        let to = Bind { resource: Resource::Logits, offset: 0, size: shape.floats() as u64 * 4 };
        let from = e.bind(logits);
        e.run(crate::kernels::elementwise::copy(shape, from, to).when(When::MoreTargetsThan(0)));
    }
}
