//! y = x·Wᵀ + b: `torch.nn.Linear`, and GPT-2's Conv1D, whose weight is transposed while it is loaded.

use super::Op;
use super::elementwise::column_sum;
use super::matmul::{self, Operand};
use crate::graph::{Graph, ParamId, Shape, ValueId};
use crate::plan::Emit;

#[derive(Debug)]
struct Linear {
    weight: ParamId,
    bias: Option<ParamId>,
}

impl Graph {
    /// x (M, K) → y (M, N) with a weight of (N, K) and a bias of N.
    pub fn linear(&mut self, x: ValueId, weight: ParamId, bias: Option<ParamId>) -> ValueId {
        let shape = Shape { rows: self.shape(x).rows, cols: self.param(weight).shape.rows };
        self.push_one(Linear { weight, bias }, &[x], shape)
    }
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn params(&self) -> Vec<ParamId> {
        std::iter::once(self.weight).chain(self.bias).collect()
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        let (x, y) = (Operand::value(e, x[0]), Operand::value(e, y[0]));
        for piece in e.pieces(self.weight) {
            // A bias is cut like its weight: its floats from the piece's first row on.
            let bias = self.bias.map(|b| {
                let whole = e.piece(b).weight;
                crate::plan::Bind {
                    offset: whole.offset + piece.first_row as u64 * 4,
                    size: whole.size - piece.first_row as u64 * 4,
                    ..whole
                }
            });
            let dispatch = matmul::forward(e, x, self.weight, &piece, bias, None, y.columns_from(piece.first_row));
            e.run(dispatch);
        }
        Vec::new()
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId], _saved: &[ValueId]) {
        let Some(dy) = e.grad(y[0]) else { return };
        let pieces = e.pieces(self.weight);
        let grad = Operand::value(e, dy);
        if let Some(target) = e.grad_target(x[0]) {
            let dx = Operand::value(e, target.value);
            for (i, piece) in pieces.iter().enumerate() {
                let dy = grad.columns_from(piece.first_row);
                for dispatch in matmul::backward_input(e, dy, self.weight, piece, None, dx, target.accumulate || i > 0) {
                    e.run(dispatch);
                }
            }
        }
        let p = e.param(self.weight);
        if p.trainable {
            let mode = e.gradient_mode(self.weight);
            let input = Operand::value(e, x[0]);
            for piece in &pieces {
                let Some(dw) = piece.gradient else { continue };
                let dy = grad.columns_from(piece.first_row);
                for dispatch in matmul::backward_weight(e.profile, dy, input, piece.rows, p.shape.cols, dw, mode) {
                    e.run(dispatch);
                }
            }
        }
        if let Some(bias) = self.bias.filter(|b| e.param(*b).trainable) {
            let mode = e.gradient_mode(bias);
            if let Some(db) = e.piece(bias).gradient {
                column_sum(e, dy, db, mode);
            }
        }
    }
}
