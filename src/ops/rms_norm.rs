//! RMSNorm: y = x / sqrt(mean(x²) + eps) · w, over whole rows or over each head of a row (the norms of queries and keys).

use super::matmul::tiled::Addend;
use super::residual;
use crate::graph::{Emit, Graph, Op, ParamId, ValueId};
use crate::kernels::{
    rms_norm_backward, rms_norm_backward_input, rms_norm_backward_weight, rms_norm_forward, rms_norm_forward_sum, row_groups,
};

#[derive(Debug)]
struct RmsNorm {
    weight: ParamId,
    eps: f32,
    /// 0 where the weight is the factor, 1 where it is the factor's distance from one (Gemma).
    weight_offset: f32,
}

impl Graph {
    /// x (M, G · N) → y of the same shape, each group of N columns normalised by itself, with a weight of N kept in f32.
    /// The factor is `weight_offset` + w: 0 for Llama, 1 for Gemma.
    ///
    /// With several groups N must be a multiple of 4. A residual sum that was just made is made along with its norm.
    pub fn rms_norm(&mut self, x: ValueId, weight: ParamId, eps: f32, weight_offset: f32) -> ValueId {
        let shape = self.shape(x);
        let cols = self.param(weight).shape.cols;
        debug_assert!(
            shape.cols == cols || (cols.is_multiple_of(4) && shape.cols.is_multiple_of(cols)),
            "groups of {cols} in {} columns",
            shape.cols
        );
        self.push_one(RmsNorm { weight, eps, weight_offset }, &[x], shape)
    }
}

impl Op for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn params(&self) -> Vec<ParamId> {
        vec![self.weight]
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        let shape = e.shape(x[0]);
        let cols = e.param(self.weight).shape.cols;
        let groups = shape.cols / cols;
        let rstd = e.vector(shape.rows * groups);
        let (lanes, per_group) = e.tuning.lanes(cols.div_ceil(4) as u32);
        let weight = e.piece(self.weight).weight;
        let row_groups = row_groups(shape.rows * groups, per_group);
        if let Some((a, b)) = (groups == 1).then(|| residual::take_sum_of_parts(e, x[0])).flatten() {
            let params = rms_norm_forward_sum::Params {
                rows: shape.rows as u32,
                cols: cols as u32,
                stride: shape.stride4(),
                weight_offset: self.weight_offset,
                eps: self.eps,
                parts: b.parts,
                part_stride: b.part_stride,
            };
            let constants = rms_norm_forward_sum::Constants { LANES: lanes, ROWS: per_group, IN_PARTS: b.parts > 1 };
            let bindings = rms_norm_forward_sum::Bindings { a, b: b.bind, weight, x: e.bind(x[0]), y: e.bind(y[0]), rstd: e.bind(rstd) };
            e.run(rms_norm_forward_sum::dispatch(params, constants, bindings, row_groups));
            return vec![rstd];
        }
        let params = rms_norm_forward::Params {
            rows: shape.rows as u32,
            groups: groups as u32,
            cols: cols as u32,
            x_stride: shape.stride4(),
            y_stride: shape.stride4(),
            weight_offset: self.weight_offset,
            eps: self.eps,
        };
        let constants = rms_norm_forward::Constants { LANES: lanes, ROWS: per_group };
        let bindings = rms_norm_forward::Bindings { x: e.bind(x[0]), weight, y: e.bind(y[0]), rstd: e.bind(rstd) };
        e.run(rms_norm_forward::dispatch(params, constants, bindings, row_groups));
        vec![rstd]
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId], saved: &[ValueId]) {
        let Some(dy) = e.grad(y[0]) else { return };
        if self.backward_together(e, dy, x[0], saved[0]) {
            return;
        }
        // The weight first: its gradient reads dy, which the input's may be added to where both are one residual gradient.
        if e.param(self.weight).trainable {
            self.backward_weight(e, dy, x[0], saved[0]);
        }
        let Some(target) = e.grad_target(x[0]) else { return };
        let shape = e.shape(x[0]);
        let cols = e.param(self.weight).shape.cols;
        let groups = shape.cols / cols;
        let (lanes, per_group) = e.tuning.lanes(cols.div_ceil(4) as u32);
        let dy = Addend::taken_or_whole(e, dy);
        let params = rms_norm_backward_input::Params {
            rows: shape.rows as u32,
            groups: groups as u32,
            cols: cols as u32,
            x_stride: shape.stride4(),
            dy_stride: shape.stride4(),
            dx_stride: shape.stride4(),
            weight_offset: self.weight_offset,
            accumulate: u32::from(target.accumulate),
            parts: dy.parts,
            part_stride: dy.part_stride,
        };
        let constants = rms_norm_backward_input::Constants { LANES: lanes, ROWS: per_group, IN_PARTS: dy.parts > 1 };
        let weight = e.piece(self.weight).weight;
        let bindings =
            rms_norm_backward_input::Bindings { dy: dy.bind, x: e.bind(x[0]), weight, rstd: e.bind(saved[0]), dx: e.bind(target.value) };
        e.run(rms_norm_backward_input::dispatch(params, constants, bindings, row_groups(shape.rows * groups, per_group)));
    }
}

impl RmsNorm {
    /// Both gradients by one kernel, on GPUs, where a lane can keep the sums of its columns: whether it was done.
    fn backward_together(&self, e: &mut Emit<'_>, dy: ValueId, x: ValueId, rstd: ValueId) -> bool {
        let shape = e.shape(x);
        let (lanes, per_group) = e.tuning.lanes(shape.stride4());
        let one_group = e.param(self.weight).shape.cols == shape.cols;
        if e.tuning.row_lanes.is_some() || !one_group || shape.stride4() > 4 * lanes || !e.needs_grad(x) {
            return false;
        }
        let Some(gradient) = e.piece(self.weight).gradient.filter(|_| e.param(self.weight).trainable) else { return false };
        let Some(target) = e.grad_target(x) else { return false };
        let mode = e.gradient_mode(self.weight);
        let dy = Addend::taken_or_whole(e, dy);
        // At most 64 blocks, or adding them up becomes the long part; two rows of each slot, or their sums are half as long as x.
        let slot_rows = shape.rows.div_ceil(64 * per_group as usize).max(2);
        let block = slot_rows * per_group as usize;
        let partials = e.matrix(shape.rows.div_ceil(block), shape.cols);
        let params = rms_norm_backward::Params {
            rows: shape.rows as u32,
            cols: shape.cols as u32,
            x_stride: shape.stride4(),
            dy_stride: shape.stride4(),
            dx_stride: shape.stride4(),
            dw_stride: shape.stride4(),
            block_rows: block as u32,
            weight_offset: self.weight_offset,
            accumulate: u32::from(target.accumulate),
            parts: dy.parts,
            part_stride: dy.part_stride,
        };
        let constants = rms_norm_backward::Constants { LANES: lanes, ROWS: per_group, IN_PARTS: dy.parts > 1 };
        let weight = e.piece(self.weight).weight;
        let (dx, dw) = (e.bind(target.value), e.bind(partials));
        let bindings = rms_norm_backward::Bindings { dy: dy.bind, x: e.bind(x), weight, rstd: e.bind(rstd), dx, dw };
        e.run(rms_norm_backward::dispatch(params, constants, bindings, row_groups(shape.rows, block as u32)));
        e.sum_later(partials, gradient, mode);
        true
    }

    fn backward_weight(&self, e: &mut Emit<'_>, dy: ValueId, x: ValueId, rstd: ValueId) {
        let Some(gradient) = e.piece(self.weight).gradient else { return };
        let mode = e.gradient_mode(self.weight);
        let shape = e.shape(x);
        let cols = e.param(self.weight).shape.cols;
        let block = e.tuning.block_rows(shape.rows).min(shape.rows);
        let blocks = shape.rows.div_ceil(block);
        let partials = (blocks > 1).then(|| e.matrix(blocks, cols));
        let params = rms_norm_backward_weight::Params {
            rows: shape.rows as u32,
            groups: (shape.cols / cols) as u32,
            cols: cols as u32,
            x_stride: shape.stride4(),
            dy_stride: shape.stride4(),
            dw_stride: cols.div_ceil(4) as u32,
            block_rows: block as u32,
            accumulate: if partials.is_some() { 0 } else { mode },
        };
        let constants = rms_norm_backward_weight::Constants::default();
        let dw = partials.map_or(gradient, |p| e.bind(p));
        let bindings = rms_norm_backward_weight::Bindings { dy: e.bind(dy), x: e.bind(x), rstd: e.bind(rstd), dw };
        let groups = [(cols.div_ceil(4) as u32).div_ceil(constants.WORKGROUP), blocks as u32, 1];
        e.run(rms_norm_backward_weight::dispatch(params, constants, bindings, groups));
        if let Some(partials) = partials {
            e.sum_later(partials, gradient, mode);
        }
    }
}
