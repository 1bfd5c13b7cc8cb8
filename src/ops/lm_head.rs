//! The output head with its cross-entropy, in one op, so that logits of (tokens, vocabulary) never exist.
//!
//! Only rows that have a target are gathered, a chunk at a time. A chunk's logits become their own gradient in place, from
//! which the gradients of the input and of the weight are taken before the next chunk overwrites them. The loss is normalised by
//! `Step::loss_scale` = 1 / targets of the accumulation group, which is known before the forward.

use super::Op;
use super::matmul::{self, Operand};
use super::rows;
use crate::graph::{Graph, ParamId, Purpose, Shape, ValueId};
use crate::plan::kernels::{cross_entropy_forward, gather_rows, loss_sum, scatter_rows};
use crate::plan::{Bind, Emit, Input, Piece, Resource, When, workgroups};

/// Most bytes that a chunk's logits take.
const LOGITS_BYTES: usize = 64 << 20;

/// Most rows of a chunk: enough to fill a GPU, few enough that the last chunk wastes little. A multiple of 64, so that a chunk's labels start at 256 bytes.
const CHUNK_ROWS: usize = 512;

#[derive(Debug)]
struct LmHead {
    weight: ParamId,
    softcap: Option<f32>,
}

impl Graph {
    /// Ends the graph: hidden states x (M, H) and a weight of (V, H) → losses (training, evaluation) or logits (generation).
    pub fn lm_head(&mut self, x: ValueId, weight: ParamId, softcap: Option<f32>) {
        self.push(LmHead { weight, softcap }, &[x], &[]);
    }
}

/// Rows of a chunk of logits for a vocabulary.
fn chunk_rows(tokens: usize, vocabulary: usize) -> usize {
    let by_bytes = LOGITS_BYTES / (vocabulary.next_multiple_of(4) * 4);
    (by_bytes / 64 * 64).clamp(64, CHUNK_ROWS).min(tokens.next_multiple_of(64))
}

impl Op for LmHead {
    fn name(&self) -> &'static str {
        "lm_head"
    }

    fn params(&self) -> Vec<ParamId> {
        vec![self.weight]
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], _y: &[ValueId]) -> Vec<ValueId> {
        if let Purpose::Generate { logit_rows, .. } = e.graph.purpose {
            self.logits(e, x[0], logit_rows);
            return Vec::new();
        }
        let p = e.param(self.weight);
        let (vocabulary, hidden) = (p.shape.rows, p.shape.cols);
        let tokens = e.tokens();
        let chunk = chunk_rows(tokens, vocabulary);
        let pieces = e.pieces(self.weight);
        let gathered = e.matrix(chunk, hidden);
        let logits = e.matrix(chunk, vocabulary);
        let dx = (e.training() && e.needs_grad(x[0])).then(|| (e.matrix(tokens, hidden), e.matrix(chunk, hidden)));
        if let Some((dx, _)) = dx {
            e.zero(dx);
        }
        for first in (0..tokens).step_by(chunk) {
            let when = if first == 0 { When::Always } else { When::MoreTargetsThan(first as u32) };
            self.chunk_logits(e, x[0], gathered, logits, first, &pieces, when);
            self.cross_entropy(e, logits, first, when);
            if let Some((dx, dgathered)) = dx {
                let (grad, to) = (Operand::value(e, logits), Operand::value(e, dgathered));
                for (i, piece) in pieces.iter().enumerate() {
                    let dy = grad.columns_from(piece.first_row);
                    for dispatch in matmul::backward_input(e, dy, self.weight, piece, None, to, i > 0) {
                        e.run(dispatch.when(when));
                    }
                }
                self.scatter(e, dgathered, dx, first, when);
            }
            if p.trainable && e.training() {
                let mode = e.gradient_mode(self.weight);
                let (grad, input) = (Operand::value(e, logits), Operand::value(e, gathered));
                for piece in &pieces {
                    let Some(dw) = piece.gradient else { continue };
                    let dy = grad.columns_from(piece.first_row);
                    for dispatch in matmul::backward_weight(e.profile, dy, input, piece.rows, hidden, dw, mode) {
                        e.run(dispatch.when(when));
                    }
                }
            }
        }
        let (losses, stats) = (e.losses(0, tokens), e.stats());
        let params = loss_sum::Params { capacity: tokens as u32 };
        let bindings = loss_sum::Bindings { losses, correct: losses, stats };
        let workgroup = if rows::is_cpu(e.profile) { 8 } else { 64 };
        let constants = loss_sum::Constants { WORKGROUP: workgroup, ..Default::default() };
        e.run(loss_sum::dispatch(params, constants, bindings, [1, 1, 1]));
        dx.map(|(dx, _)| dx).into_iter().collect()
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], _y: &[ValueId], saved: &[ValueId]) {
        if let Some(dx) = saved.first() {
            e.give_grad(x[0], *dx);
        }
    }
}

impl LmHead {
    /// Gathers the chunk's rows and multiplies them with the head, piece by piece.
    #[expect(clippy::too_many_arguments, reason = "the values of one chunk; a struct would be made and taken apart once")]
    fn chunk_logits(&self, e: &mut Emit<'_>, x: ValueId, gathered: ValueId, logits: ValueId, first: usize, pieces: &[Piece], when: When) {
        let (from, to) = (e.shape(x), e.shape(gathered));
        let (lanes, per_group) = rows::lanes(e.profile, to.stride4());
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
        let (input, output) = (Operand::value(e, gathered), Operand::value(e, logits));
        for piece in pieces {
            let dispatch = matmul::forward(e, input, self.weight, piece, None, None, output.columns_from(piece.first_row));
            e.run(dispatch.when(when));
        }
    }

    fn cross_entropy(&self, e: &mut Emit<'_>, logits: ValueId, first: usize, when: When) {
        let shape = e.shape(logits);
        let (lanes, per_group) = rows::lanes(e.profile, shape.stride4());
        let params = cross_entropy_forward::Params {
            rows: shape.rows as u32,
            vocab: shape.cols as u32,
            logits_stride: shape.stride4(),
            first: first as u32,
            cap: self.softcap.unwrap_or(0.0),
        };
        let constants = cross_entropy_forward::Constants {
            GRADIENT: e.training(),
            SOFTCAP: self.softcap.is_some(),
            LANES: lanes,
            ROWS: per_group,
            ..Default::default()
        };
        let bindings = cross_entropy_forward::Bindings {
            labels: e.input(Input::TargetLabels),
            logits: e.bind(logits),
            losses: e.losses(0, e.tokens()),
            correct: Bind { resource: Resource::Correct, offset: 0, size: 16 },
        };
        e.run(cross_entropy_forward::dispatch(params, constants, bindings, workgroups(shape.rows.div_ceil(per_group as usize))).when(when));
    }

    fn scatter(&self, e: &mut Emit<'_>, dgathered: ValueId, dx: ValueId, first: usize, when: When) {
        let (from, to) = (e.shape(dgathered), e.shape(dx));
        let (lanes, per_group) = rows::lanes(e.profile, from.stride4());
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
    /// applies. A part of a prompt that nobody wants logits of (no targets) costs none.
    fn logits(&self, e: &mut Emit<'_>, x: ValueId, logit_rows: usize) {
        let p = e.param(self.weight);
        let shape = Shape { rows: logit_rows, cols: p.shape.rows };
        let pieces = e.pieces(self.weight);
        let gathered = e.matrix(logit_rows, p.shape.cols);
        let logits = e.matrix(shape.rows, shape.cols);
        self.chunk_logits(e, x, gathered, logits, 0, &pieces, When::MoreTargetsThan(0));
        let to = Bind { resource: Resource::Logits, offset: 0, size: shape.floats() as u64 * 4 };
        let from = e.bind(logits);
        e.run(super::elementwise::copy(shape, from, to).when(When::MoreTargetsThan(0)));
    }
}
