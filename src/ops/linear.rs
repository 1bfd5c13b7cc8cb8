//! y = x·Wᵀ + b: `torch.nn.Linear`, and GPT-2's Conv1D, whose weight is transposed while it is loaded; with the low-rank part of an
//! adapter where the weight has one.

use super::low_rank::{self, Made};
use super::matmul::{self, Operand, Product};
use super::sums::column_sum;
use super::{dora, dropout};
use crate::graph::{Emit, Graph, LowRank, Op, ParamId, Shape, ValueId};
use crate::kernels::When;
use crate::kernels::elementwise::{add_in_place, copy};

/// One map; [`Graph::linears`](super::linear_group) puts several side by side.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) weight: ParamId,
    pub(super) bias: Option<ParamId>,
    pub(super) low_rank: Option<LowRank>,
    /// Tells its dropout from others.
    id: u32,
}

impl Graph {
    /// x (M, K) → y (M, N) with a weight of (N, K), as an adapter changes it, and a bias of N.
    pub fn linear(&mut self, x: ValueId, weight: ParamId, bias: Option<ParamId>) -> ValueId {
        let map = Linear::new(self, weight, bias, self.nodes.len() as u32);
        let shape = Shape { rows: self.shape(x).rows, cols: self.param(map.weight).shape.rows };
        self.push_one(map, &[x], shape)
    }
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn params(&self) -> Vec<ParamId> {
        let low_rank = self.low_rank.iter().flat_map(LowRank::params);
        std::iter::once(self.weight).chain(self.bias).chain(low_rank).collect()
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        match &self.low_rank {
            None => {
                self.product(e, x[0], None, true, false, y[0]);
                Vec::new()
            }
            Some(low_rank) => self.forward_adapted(e, low_rank, x[0], y[0]),
        }
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId], saved: &[ValueId]) {
        let Some(dy) = e.grad(y[0]) else { return };
        let p = e.param(self.weight);
        if p.trainable {
            let mode = e.gradient_mode(self.weight);
            let (grad, input) = (Operand::value(e, dy), Operand::value(e, x[0]));
            for piece in &e.pieces(self.weight) {
                let Some(dw) = piece.gradient else { continue };
                let dy = grad.columns_from(piece.first_row);
                for dispatch in matmul::backward_weight(e, dy, input, piece.rows, p.shape.cols, dw, mode) {
                    e.run(dispatch);
                }
            }
        }
        self.bias_gradient(e, dy);
        // The input's last: x is no longer needed by then, and a norm before it may take back the sum of its parts.
        match &self.low_rank {
            None => self.backward_input(e, dy, None, x[0]),
            Some(low_rank) => self.backward_adapted(e, low_rank, dy, x[0], saved),
        }
    }
}

impl Linear {
    /// A map with what an adapter makes of its parameters.
    pub(super) fn new(graph: &Graph, weight: ParamId, bias: Option<ParamId>, id: u32) -> Linear {
        let (weight, low_rank) = graph.matrix(weight);
        Linear { weight, bias: bias.map(|b| graph.matrix(b).0), low_rank, id }
    }

    /// How many values the forward hands to the backward.
    pub(super) fn saved_values(&self) -> usize {
        self.low_rank.as_ref().map_or(0, |l| if l.magnitude.is_some() { 2 } else { 1 })
    }

    /// The bias's gradient, if it is trained.
    pub(super) fn bias_gradient(&self, e: &mut Emit<'_>, dy: ValueId) {
        let Some(bias) = self.bias.filter(|b| e.param(*b).trainable) else { return };
        let mode = e.gradient_mode(bias);
        if let Some(db) = e.piece(bias).gradient {
            column_sum(e, dy, db, mode);
        }
    }

    /// y = x·Wᵀ, with u·Bᵀ of the low-rank part `u` in the same sums and, if asked, the bias.
    fn product(&self, e: &mut Emit<'_>, x: ValueId, u: Option<(&LowRank, ValueId)>, bias: bool, accumulate: bool, y: ValueId) {
        let (x, y) = (Operand::value(e, x), Operand::value(e, y));
        for piece in e.pieces(self.weight) {
            // A bias is cut like its weight: its floats from the piece's first row on.
            let bias = self.bias.filter(|_| bias).map(|b| e.piece(b).weight.after(piece.first_row as u64 * 4));
            let second = u.map(|(l, u)| low_rank::widen(e, l, u, piece.first_row));
            let product = Product { bias, second, accumulate, ..Product::default() };
            for dispatch in matmul::forward(e, x, self.weight, &piece, product, y.columns_from(piece.first_row)) {
                e.run(dispatch);
            }
        }
    }

    /// dx = dy·W, or with t of the low-rank part dy·W + t·A, into the gradient of x.
    fn backward_input(&self, e: &mut Emit<'_>, dy: ValueId, t: Option<(&LowRank, ValueId)>, x: ValueId) {
        let Some(target) = e.grad_target(x) else { return };
        self.back_product(e, dy, t, target.accumulate, target.value);
    }

    fn back_product(&self, e: &mut Emit<'_>, dy: ValueId, t: Option<(&LowRank, ValueId)>, accumulate: bool, dx: ValueId) {
        let (dy, dx) = (Operand::value(e, dy), Operand::value(e, dx));
        for (i, piece) in e.pieces(self.weight).iter().enumerate() {
            let dy = dy.columns_from(piece.first_row);
            let second = t.filter(|_| i == 0).map(|(l, t)| low_rank::widen_back(e, l, t));
            let product = Product { second, accumulate: accumulate || i > 0, ..Product::default() };
            for dispatch in matmul::backward_input(e, dy, self.weight, piece, product, dx) {
                e.run(dispatch);
            }
        }
    }

    /// Without magnitudes y = x·Wᵀ + u·Bᵀ + b with u from the dropped x. With them, and x̃ for the dropped x,
    /// y = g·z + b + (x − x̃)·Wᵀ with z = x̃·Wᵀ + u·Bᵀ and g = magnitude / length: PEFT's form of DoRA.
    fn forward_adapted(&self, e: &mut Emit<'_>, l: &LowRank, x: ValueId, y: ValueId) -> Vec<ValueId> {
        let dropped = low_rank::dropped(e, l, self.id, x, When::Always);
        let u = low_rank::narrow_one(e, l, dropped, When::Always);
        let Some(magnitude) = l.magnitude else {
            self.product(e, x, Some((l, u)), true, false, y);
            return vec![u];
        };
        let shape = e.shape(y);
        let z = e.matrix(shape.rows, shape.cols);
        self.product(e, dropped, Some((l, u)), false, false, z);
        dora::forward(e, magnitude, self.bias, z, y);
        if dropped != x {
            let rest = difference(e, x, dropped);
            self.product(e, rest, None, false, true, y);
        }
        vec![u, z]
    }

    fn backward_adapted(&self, e: &mut Emit<'_>, l: &LowRank, dy: ValueId, x: ValueId, saved: &[ValueId]) {
        let u = saved[0];
        let dz = match l.magnitude {
            Some(magnitude) => dora::backward(e, magnitude, dy, saved[1]),
            None => dy,
        };
        let t = low_rank::narrow_back_one(e, l, l.scale, dz, When::Always);
        // The mask is made again: that costs less than keeping the dropped x.
        let dropped = low_rank::dropped(e, l, self.id, x, When::Always);
        low_rank::gradients(e, &[Some((l, Made { dy: dz, u, t }))], dropped, When::Always);
        if dropped == x {
            return self.backward_input(e, dz, Some((l, t)), x);
        }
        let Some(target) = e.grad_target(x) else { return };
        self.back_product(e, dy, None, target.accumulate, target.value);
        let shape = e.shape(x);
        let through = e.matrix(shape.rows, shape.cols);
        if dz == dy {
            let (from, to) = (Operand::value(e, t), Operand::value(e, through));
            let piece = e.piece(l.a);
            for dispatch in matmul::backward_input(e, from, l.a, &piece, Product::default(), to) {
                e.run(dispatch);
            }
        } else {
            let rest = difference(e, dz, dy);
            self.back_product(e, rest, Some((l, t)), false, through);
        }
        dropout::mask(e, l.dropout, self.id, through, target.value, true, When::Always);
    }
}

/// a − b in a new matrix.
fn difference(e: &mut Emit<'_>, a: ValueId, b: ValueId) -> ValueId {
    let shape = e.shape(a);
    let out = e.matrix(shape.rows, shape.cols);
    let (a, b, to) = (e.bind(a), e.bind(b), e.bind(out));
    e.run(copy(shape, a, to));
    e.run(add_in_place(shape, -1.0, b, to));
    out
}
