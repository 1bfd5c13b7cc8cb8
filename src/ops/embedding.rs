//! Token embeddings, scaled where the model asks for it, with learned positions on top (GPT-2).

use super::low_rank;
use super::matmul::{self, Operand, Product};
use crate::graph::{Emit, Graph, LowRank, Op, ParamId, Shape, ValueId};
use crate::kernels::{Bind, Input, When, embedding_backward, embedding_forward, row_groups};

#[derive(Debug)]
struct Embedding {
    weight: ParamId,
    /// A (V, r) and B (H, r): row id gets scale · A[id]·Bᵀ on top.
    low_rank: Option<LowRank>,
    scale: f32,
    positions: Option<ParamId>,
    padding: Option<u32>,
}

impl Graph {
    /// The batch's token ids → x (M, H) = W[id] · scale (+ P[position]), with W of (V, H) and P of (positions, H).
    ///
    /// The row of `padding` gets no gradient from here, as in PyTorch's `Embedding(padding_idx)`; a tied head may still give it one.
    ///
    /// A position table of fewer rows than the longest sequence leaves the tokens beyond it without a position: the model's
    /// own limit has to be checked before.
    pub fn embedding(&mut self, weight: ParamId, scale: f32, positions: Option<ParamId>, padding: Option<u32>) -> ValueId {
        let (weight, low_rank) = self.lookup(weight);
        let positions = positions.map(|p| self.lookup(p).0);
        let shape = Shape { rows: self.tokens, cols: self.param(weight).shape.cols };
        self.push_one(Embedding { weight, low_rank, scale, positions, padding }, &[], shape)
    }
}

impl Op for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn params(&self) -> Vec<ParamId> {
        let low_rank = self.low_rank.iter().flat_map(LowRank::params);
        std::iter::once(self.weight).chain(self.positions).chain(low_rank).collect()
    }

    fn forward(&self, e: &mut Emit<'_>, _x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        look_up(e, self.weight, Input::Ids, self.scale, y[0], false);
        if let Some(positions) = self.positions {
            look_up(e, positions, Input::Positions, 1.0, y[0], true);
        }
        let Some(l) = &self.low_rank else { return Vec::new() };
        let u = e.matrix(e.tokens(), e.param(l.a).shape.cols);
        look_up(e, l.a, Input::Ids, l.scale * self.scale, u, false);
        let (from, to) = (Operand::value(e, u), Operand::value(e, y[0]));
        let product = Product { accumulate: true, ..Product::default() };
        let piece = e.piece(l.b);
        for dispatch in matmul::forward(e, from, l.b, &piece, product, to) {
            e.run(dispatch);
        }
        vec![u]
    }

    fn backward(&self, e: &mut Emit<'_>, _x: &[ValueId], y: &[ValueId], saved: &[ValueId]) {
        let Some(dx) = e.grad(y[0]) else { return };
        if let Some(l) = &self.low_rank {
            low_rank::gradient(e, l.b, dx, saved[0], When::Always);
            let t = low_rank::narrow_back_one(e, l, l.scale * self.scale, dx, When::Always);
            let tokens = [Input::BucketIds, Input::BucketOffsets, Input::BucketTokens];
            add_up(e, l.a, tokens, 1.0, t, Table::Tokens { padding: self.padding });
        }
        let tokens = [Input::BucketIds, Input::BucketOffsets, Input::BucketTokens];
        add_up(e, self.weight, tokens, self.scale, dx, Table::Tokens { padding: self.padding });
        if let Some(positions) = self.positions {
            let tokens = [Input::PositionBucketIds, Input::PositionBucketOffsets, Input::PositionBucketTokens];
            add_up(e, positions, tokens, 1.0, dx, Table::Positions);
        }
    }
}

/// Bytes of the rows and of as many rows of the table: the rest of it is not touched.
fn rows_and_table(rows: Shape) -> u64 {
    2 * 4 * rows.floats() as u64
}

/// x[i] = W[index[i]] · scale, or += it.
fn look_up(e: &mut Emit<'_>, weight: ParamId, index: Input, scale: f32, x: ValueId, add: bool) {
    let shape = e.shape(x);
    let (lanes, per_group) = e.tuning.lanes(shape.stride4());
    let weight_type = e.param(weight).weight_type;
    for piece in e.pieces(weight) {
        let params = embedding_forward::Params {
            rows: shape.rows as u32,
            width: shape.stride4(),
            x_stride: shape.stride4(),
            w_stride: weight_type.row_stride(shape.cols),
            first_row: piece.first_row as u32,
            weight_rows: piece.rows as u32,
            scale,
        };
        let constants = embedding_forward::Constants { LANES: lanes, ROWS: per_group, ADD: add };
        let bindings = embedding_forward::Bindings { index: e.input(index), w: piece.weight, x: e.bind(x) };
        let dispatch = embedding_forward::dispatch(weight_type.into(), params, constants, bindings, row_groups(shape.rows, per_group));
        e.run(dispatch.touching(rows_and_table(shape)));
    }
}

/// Which rows a gradient belongs to.
enum Table {
    /// Tokens; the row of `padding` is left alone.
    Tokens { padding: Option<u32> },
    /// Learned positions.
    Positions,
}

/// No row of a table.
const NO_ROW: u32 = u32::MAX;

/// dW[id] += scale · the sum of dx over the tokens of a bucket.
fn add_up(e: &mut Emit<'_>, weight: ParamId, [ids, offsets, tokens]: [Input; 3], scale: f32, dx: ValueId, table: Table) {
    if !e.param(weight).trainable {
        return;
    }
    // Only rows with a bucket are written, so the others have to hold zeros, or what a tied head or an earlier micro-batch left.
    e.zero_gradient(weight);
    let (padding, positions) = match table {
        Table::Tokens { padding } => (padding, false),
        Table::Positions => (None, true),
    };
    let shape = e.shape(dx);
    let (lanes, per_group) = e.tuning.lanes(shape.stride4());
    for piece in e.pieces(weight) {
        let Some(dw) = piece.gradient else { continue };
        let params = embedding_backward::Params {
            width: shape.stride4(),
            dx_stride: shape.stride4(),
            dw_stride: shape.stride4(),
            first_row: piece.first_row as u32,
            dw_rows: piece.rows as u32,
            scale,
            padding: padding.unwrap_or(NO_ROW),
        };
        let constants = embedding_backward::Constants { LANES: lanes, ROWS: per_group, POSITIONS: positions };
        let input = |input: Input| -> Bind { e.input(input) };
        let bindings = embedding_backward::Bindings {
            bucket_ids: input(ids),
            bucket_offsets: input(offsets),
            bucket_tokens: input(tokens),
            dx: e.bind(dx),
            dw,
        };
        // At most as many buckets as tokens.
        let dispatch = embedding_backward::dispatch(params, constants, bindings, row_groups(shape.rows, per_group));
        e.run(dispatch.touching(rows_and_table(shape)));
    }
}
