//! LayerNorm: y = (x − mean) / sqrt(variance + eps) · w + b over each row.

use super::residual;
use crate::graph::{Emit, Graph, Op, ParamId, ValueId};
use crate::kernels::{layer_norm_backward_input, layer_norm_backward_weight, layer_norm_forward, layer_norm_forward_sum, row_groups};

#[derive(Debug)]
struct LayerNorm {
    weight: ParamId,
    bias: ParamId,
    eps: f32,
}

impl Graph {
    /// x (M, N) → y (M, N) with a weight and a bias of N, both kept in f32.
    pub fn layer_norm(&mut self, x: ValueId, weight: ParamId, bias: ParamId, eps: f32) -> ValueId {
        let shape = self.shape(x);
        self.push_one(LayerNorm { weight, bias, eps }, &[x], shape)
    }
}

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn params(&self) -> Vec<ParamId> {
        vec![self.weight, self.bias]
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        let shape = e.shape(x[0]);
        let (mean, rstd) = (e.vector(shape.rows), e.vector(shape.rows));
        let (lanes, per_group) = e.tuning.lanes(shape.stride4());
        let (weight, bias) = (e.piece(self.weight).weight, e.piece(self.bias).weight);
        let groups = row_groups(shape.rows, per_group);
        let (means, rstds) = (e.bind(mean), e.bind(rstd));
        if let Some((a, b)) = residual::take_sum(e, x[0]) {
            let (rows, cols, stride) = (shape.rows as u32, shape.cols as u32, shape.stride4());
            let params = layer_norm_forward_sum::Params { rows, cols, stride, eps: self.eps };
            let constants = layer_norm_forward_sum::Constants { LANES: lanes, ROWS: per_group };
            let (x, y) = (e.bind(x[0]), e.bind(y[0]));
            let bindings = layer_norm_forward_sum::Bindings { a, b, weight, bias, x, y, mean: means, rstd: rstds };
            e.run(layer_norm_forward_sum::dispatch(params, constants, bindings, groups));
            return vec![mean, rstd];
        }
        let params = layer_norm_forward::Params {
            rows: shape.rows as u32,
            cols: shape.cols as u32,
            x_stride: shape.stride4(),
            y_stride: shape.stride4(),
            eps: self.eps,
        };
        let constants = layer_norm_forward::Constants { LANES: lanes, ROWS: per_group };
        let bindings = layer_norm_forward::Bindings { x: e.bind(x[0]), weight, bias, y: e.bind(y[0]), mean: means, rstd: rstds };
        e.run(layer_norm_forward::dispatch(params, constants, bindings, groups));
        vec![mean, rstd]
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId], saved: &[ValueId]) {
        let Some(dy) = e.grad(y[0]) else { return };
        if e.param(self.weight).trainable || e.param(self.bias).trainable {
            self.backward_weight(e, dy, x[0], saved);
        }
        let Some(target) = e.grad_target(x[0]) else { return };
        let shape = e.shape(x[0]);
        let (lanes, per_group) = e.tuning.lanes(shape.stride4());
        let params = layer_norm_backward_input::Params {
            rows: shape.rows as u32,
            cols: shape.cols as u32,
            x_stride: shape.stride4(),
            dy_stride: shape.stride4(),
            dx_stride: shape.stride4(),
            accumulate: u32::from(target.accumulate),
        };
        let constants = layer_norm_backward_input::Constants { LANES: lanes, ROWS: per_group };
        let bindings = layer_norm_backward_input::Bindings {
            dy: e.bind(dy),
            x: e.bind(x[0]),
            weight: e.piece(self.weight).weight,
            mean: e.bind(saved[0]),
            rstd: e.bind(saved[1]),
            dx: e.bind(target.value),
        };
        e.run(layer_norm_backward_input::dispatch(params, constants, bindings, row_groups(shape.rows, per_group)));
    }
}

impl LayerNorm {
    /// Both gradients come from one kernel into temporaries, from which the second stage adds up what is trainable: weight and
    /// bias may lie in one buffer, which a dispatch must not bind twice for writing.
    fn backward_weight(&self, e: &mut Emit<'_>, dy: ValueId, x: ValueId, saved: &[ValueId]) {
        let shape = e.shape(x);
        let block = e.tuning.block_rows(shape.rows).min(shape.rows);
        let blocks = shape.rows.div_ceil(block);
        let (dw, db) = (e.matrix(blocks, shape.cols), e.matrix(blocks, shape.cols));
        let params = layer_norm_backward_weight::Params {
            rows: shape.rows as u32,
            cols: shape.cols as u32,
            x_stride: shape.stride4(),
            dy_stride: shape.stride4(),
            dw_stride: shape.stride4(),
            block_rows: block as u32,
        };
        let constants = layer_norm_backward_weight::Constants::default();
        let bindings = layer_norm_backward_weight::Bindings {
            dy: e.bind(dy),
            x: e.bind(x),
            mean: e.bind(saved[0]),
            rstd: e.bind(saved[1]),
            dw: e.bind(dw),
            db: e.bind(db),
        };
        let groups = [shape.stride4().div_ceil(constants.WORKGROUP), blocks as u32, 1];
        e.run(layer_norm_backward_weight::dispatch(params, constants, bindings, groups));
        for (param, partials) in [(self.weight, dw), (self.bias, db)] {
            if let Some(gradient) = e.piece(param).gradient {
                let mode = e.gradient_mode(param);
                e.sum_later(partials, gradient, mode);
            }
        }
    }
}
