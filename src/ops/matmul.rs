//! The three orientations of a matrix product, for `linear` and the LM head: which kernel an adapter gets, and its workgroups.
//!
//! Shapes: x (M, K) inputs, W (N, K) weight, y (M, N) outputs. Forward y = x·Wᵀ, input gradient dx = dy·W, weight gradient dW = dyᵀ·x.
//! The weight may be a row range of a larger one (a [`Piece`]): y and dy are then column ranges, which start at a multiple of four.

use crate::graph::{ParamId, ValueId, WeightType};
use crate::plan::kernels::{self, linear_backward_input_subgroup, linear_backward_weight_subgroup, linear_forward_subgroup};
use crate::plan::{Bind, Dispatch, Emit, Piece};

/// A matrix of activations, or a range of its columns.
#[derive(Debug, Clone, Copy)]
pub struct Operand {
    /// Its rows as a binding.
    pub bind: Bind,
    /// Rows.
    pub rows: usize,
    /// Elements of four floats from row to row.
    pub stride4: u32,
    /// First column, in elements of four floats.
    pub column4: u32,
}

impl Operand {
    /// A whole value.
    pub fn value(e: &Emit<'_>, value: ValueId) -> Operand {
        let shape = e.shape(value);
        Operand { bind: e.bind(value), rows: shape.rows, stride4: shape.stride4(), column4: 0 }
    }

    /// The columns from `first` on, a multiple of four.
    pub fn columns_from(self, first: usize) -> Operand {
        debug_assert_eq!(first % 4, 0, "column ranges start at a multiple of four");
        Operand { column4: self.column4 + first as u32 / 4, ..self }
    }
}

/// A second product that is added in the same pass: the low-rank part of a LoRA linear.
#[derive(Debug, Clone, Copy)]
pub struct Second {
    /// (M, r): the scaled x·Aᵀ in the forward, the scaled dy·B in the backward.
    pub x: Operand,
    /// B (N, r) in the forward, A (r, K) in the backward; f32.
    pub weight: Bind,
    /// Its row stride in elements of four floats.
    pub stride4: u32,
    /// r.
    pub rank: usize,
}

fn version(weight_type: WeightType) -> kernels::Weight {
    match weight_type {
        WeightType::F32 => kernels::Weight::F32,
        WeightType::Bf16 => kernels::Weight::Bf16,
        WeightType::F16 => kernels::Weight::F16,
    }
}

/// y = x·Wᵀ (+ bias) (+ x2·W2ᵀ), with the rows of `piece` as W.
pub fn forward(
    e: &Emit<'_>,
    x: Operand,
    param: ParamId,
    piece: &Piece,
    bias: Option<Bind>,
    second: Option<Second>,
    y: Operand,
) -> Dispatch {
    let p = e.param(param);
    let (m, n, k4) = (x.rows, piece.rows, p.shape.stride4());
    let params = linear_forward_subgroup::Params {
        m: m as u32,
        n: n as u32,
        k4,
        second4: second.map_or(0, |s| s.rank.div_ceil(4) as u32),
        x_stride: x.stride4,
        w_stride: p.shape.stride4(),
        x2_stride: second.map_or(0, |s| s.x.stride4),
        w2_stride: second.map_or(0, |s| s.stride4),
        y_stride: y.stride4,
        x_column: x.column4,
        y_column: y.column4,
        accumulate: 0,
    };
    let mut constants = linear_forward_subgroup::Constants { BIAS: bias.is_some(), SECOND: second.is_some(), ..Default::default() };
    constants.COLUMNS = columns(m, n);
    let bindings = linear_forward_subgroup::Bindings {
        x: x.bind,
        w: piece.weight,
        bias: bias.unwrap_or(x.bind),
        x2: second.map_or(x.bind, |s| s.x.bind),
        w2: second.map_or(x.bind, |s| s.weight),
        y: y.bind,
    };
    let groups = [n.div_ceil(constants.COLUMNS as usize) as u32, m.div_ceil(32) as u32, 1];
    let k = p.shape.cols + second.map_or(0, |s| s.rank);
    linear_forward_subgroup::dispatch(version(p.weight_type), params, constants, bindings, groups).flops(2 * (m * n * k) as u64)
}

/// dx (= or +=) dy·W (+ x2·W2), with the rows of `piece` as W.
pub fn backward_input(
    e: &Emit<'_>,
    dy: Operand,
    param: ParamId,
    piece: &Piece,
    second: Option<Second>,
    dx: Operand,
    accumulate: bool,
) -> Dispatch {
    let p = e.param(param);
    let (m, n, k) = (dy.rows, piece.rows, p.shape.cols);
    let params = linear_backward_input_subgroup::Params {
        m: m as u32,
        n: n as u32,
        k4: p.shape.stride4(),
        second: second.map_or(0, |s| s.rank as u32),
        dy_stride: dy.stride4,
        w_stride: p.shape.stride4(),
        x2_stride: second.map_or(0, |s| s.x.stride4),
        w2_stride: second.map_or(0, |s| s.stride4),
        dx_stride: dx.stride4,
        dy_column: dy.column4,
        dx_column: dx.column4,
        accumulate: accumulate.into(),
    };
    let constants = linear_backward_input_subgroup::Constants { SECOND: second.is_some(), COLUMNS: columns(m, k).max(32), ..Default::default() };
    let bindings = linear_backward_input_subgroup::Bindings {
        dy: dy.bind,
        w: piece.weight,
        x2: second.map_or(dy.bind, |s| s.x.bind),
        w2: second.map_or(dy.bind, |s| s.weight),
        dx: dx.bind,
    };
    let groups = [k.div_ceil(constants.COLUMNS as usize) as u32, m.div_ceil(32) as u32, 1];
    let inner = n + second.map_or(0, |s| s.rank);
    linear_backward_input_subgroup::dispatch(version(p.weight_type), params, constants, bindings, groups).flops(2 * (m * k * inner) as u64)
}

/// dW (= or +=, by `mode`: 0 write, 1 add, 2 as the step says) dyᵀ·x into a gradient of N rows and K columns.
pub fn backward_weight(dy: Operand, x: Operand, n: usize, k: usize, dw: Bind, mode: u32) -> Dispatch {
    let m = dy.rows;
    let stride4 = k.div_ceil(4) as u32;
    let params = linear_backward_weight_subgroup::Params {
        m: m as u32,
        n: n as u32,
        k4: stride4,
        dy_stride: dy.stride4,
        x_stride: x.stride4,
        dw_stride: stride4,
        dy_column: dy.column4,
        x_column: x.column4,
        accumulate: mode,
        ..Default::default()
    };
    let constants = linear_backward_weight_subgroup::Constants { COLUMNS: columns(n, k).max(32), ..Default::default() };
    let bindings = linear_backward_weight_subgroup::Bindings { dy: dy.bind, x: x.bind, dw };
    let groups = [k.div_ceil(constants.COLUMNS as usize) as u32, n.div_ceil(32) as u32, 1];
    linear_backward_weight_subgroup::dispatch(params, constants, bindings, groups).flops(2 * (m * n * k) as u64)
}

/// Columns of a tile: fewer where the matrix would otherwise give too few workgroups for the cores.
fn columns(rows: usize, cols: usize) -> u32 {
    let tiles = rows.div_ceil(32) * cols.div_ceil(64);
    if tiles < 8 && cols > 32 { 32 } else { 64 }
}
