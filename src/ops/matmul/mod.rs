//! The three orientations of a matrix product, for `linear` and the LM head: the kernel that the device's tuning names, its tiles and its workgroups.
//!
//! Shapes: x (M, K) inputs, W (N, K) weight, y (M, N) outputs. Forward y = x·Wᵀ, input gradient dx = dy·W, weight gradient dW = dyᵀ·x.
//! The weight may be a row range of a larger one (a [`Piece`]): y and dy are then column ranges, which start at a multiple of four.
//! `docs/performance.md` says how the variants of the kernels work and what they reach.

use crate::graph::{Emit, ParamId, Piece, ValueId, WeightType};
use crate::kernels::{
    Bind, Dispatch, Version, linear_backward_input_subgroup, linear_backward_weight_subgroup, linear_forward_subgroup,
    linear_forward_vector, linear_forward_vector_subgroup, workgroups,
};

#[macro_use]
mod kernel;
pub mod gated;
mod plain;
pub mod tiled;

use plain::Direction;
use tiled::{Output, Weights};

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

/// What a product does beside multiplying.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// Multiplies the products, not the bias.
    pub scale: f32,
    /// Added to each row; forward only.
    pub bias: Option<Bind>,
    /// A second product in the same sums.
    pub second: Option<Second>,
    /// Add to what the output holds instead of writing it.
    pub accumulate: bool,
}

impl Default for Product {
    fn default() -> Self {
        Product { scale: 1.0, bias: None, second: None, accumulate: false }
    }
}

/// Most steps of a contraction over n in one dispatch of the subgroup kernel. The rows of W that neighbouring workgroups share stay in the
/// processor's second-level cache; without this the head's dx reaches half the speed.
const CACHED_N: usize = 2048;

/// Most tokens that one dispatch of the weight gradient's subgroup kernel sums up, for the same reason ...
const CACHED_M: usize = 512;

/// ... or more, as long as x has at most so many floats.
const CACHED_X: usize = 512 * 576;

/// Time of a column of the subgroup kernels' narrowest tile, 8 columns wide: they are for products with the small factors of a LoRA layer.
const NARROW_TIME: usize = 33;

/// Columns of a tile of the subgroup kernel for the forward product, and the time a column.
const FORWARD_COLUMNS: &[(u32, usize)] = &[(64, 20), (32, 21), (16, 26), (8, NARROW_TIME)];

/// Columns of a tile of the subgroup kernels for the gradients, and the time a column.
const WIDE_OR_NARROW: &[(u32, usize)] = &[(64, 20), (32, 26), (8, NARROW_TIME)];

/// Rows of a workgroup of 8 lanes, and of most of the other kernels for processors.
const SUBGROUP_ROWS: u32 = 32;

/// y (= or +=) scale · (x·Wᵀ (+ x2·W2ᵀ)) (+ bias), with the rows of `piece` as W; the dispatches in the order in which they must run.
pub fn forward(e: &mut Emit<'_>, x: Operand, param: ParamId, piece: &Piece, product: Product, y: Operand) -> Vec<Dispatch> {
    let p = e.param(param);
    let (m, n) = (x.rows, piece.rows);
    if m > e.tuning.vector_rows && e.tuning.products == Version::Tiled {
        return tiled::forward(e, x, Weights::of(e, param, piece), &[Output { y, columns: n, second: product.second }], product);
    }
    if m > e.tuning.vector_rows && plain::decodes_first(e.tuning, p.weight_type, m, Direction::Forward) {
        return plain::forward(e, x, param, piece, product, y);
    }
    macro_rules! kernel {
        ($kernel:ident, $groups:expr, { $($constant:ident: $value:expr),* }) => {{
            let w = (piece.weight, p.weight_type.row_stride(p.shape.cols));
            forward_kernel!($kernel, p.weight_type.into(), w, (x, n, p.shape.stride4(), product, y), $groups, { $($constant: $value),* })
        }};
    }
    let streams = m == 1 && e.tuning.products == Version::Subgroup;
    let dispatch = if streams && (p.weight_type == WeightType::F32 || p.shape.stride4().is_multiple_of(2)) {
        use linear_forward_vector_subgroup::GROUPS;
        let lanes = e.tuning.product_lanes;
        let fours = n.div_ceil(4).div_ceil(lanes as usize);
        let groups = [fours.div_ceil(fours.div_ceil(GROUPS as usize)) as u32, 1, 1];
        kernel!(linear_forward_vector_subgroup, groups, { LANES: lanes })
    } else if m <= e.tuning.vector_rows {
        let rows = m.next_power_of_two() as u32;
        // As many lanes as have four steps each; a lane alone needs no workgroup memory.
        let lanes = (1 << (p.shape.stride4() / 4).max(1).ilog2()).min(e.tuning.vector_lanes);
        let threads = e.tuning.long_threads.max(lanes);
        let [x, y, _] = workgroups(n.div_ceil(4).div_ceil((threads / lanes) as usize));
        let parts = if lanes == 1 { 1 } else { threads };
        kernel!(linear_forward_vector, [x, y, 1], { THREADS: threads, LANES: lanes, ROWS: rows, PARTS: parts })
    } else {
        let (lanes, rows) = subgroup_rows(e);
        let columns = columns(m, n, rows, FORWARD_COLUMNS);
        kernel!(linear_forward_subgroup, tiles(n, columns, m, rows, 1), { LANES: lanes, COLUMNS: columns })
    };
    let k = p.shape.cols + product.second.map_or(0, |s| s.rank);
    vec![dispatch.flops(2 * (m * n * k) as u64).shape(m, n, k)]
}

/// dx (= or +=) scale · (dy·W (+ x2·W2)), with the rows of `piece` as W; the dispatches in the order in which they must run.
pub fn backward_input(e: &mut Emit<'_>, dy: Operand, param: ParamId, piece: &Piece, product: Product, dx: Operand) -> Vec<Dispatch> {
    let p = e.param(param);
    match e.tuning.products {
        Version::Tiled => {
            let gradients = [Output { y: dy, columns: piece.rows, second: product.second }];
            return tiled::backward_input(e, &gradients, Weights::of(e, param, piece), product, dx);
        }
        _ if plain::decodes_first(e.tuning, p.weight_type, dy.rows, Direction::BackwardInput) => {
            return plain::backward_input(e, dy, param, piece, product, dx);
        }
        _ => {}
    }
    let (lanes, rows) = subgroup_rows(e);
    let ranges = split(piece.rows, CACHED_N);
    let dispatch = |(first, n): (usize, usize)| {
        let (m, k, dy) = (dy.rows, p.shape.cols, dy.columns_from(first));
        let second = product.second.filter(|_| first == 0);
        let product = Product { second, accumulate: product.accumulate || first > 0, ..product };
        let w = (piece.weight, p.weight_type.row_stride(k), first as u32);
        // Tiles are numbered down the rows first: neighbours then share columns of W, the larger factor.
        let columns = columns(m, k, rows, WIDE_OR_NARROW);
        let groups = tiles(m, rows, k, columns, 1);
        let with = (dy, n, p.shape.stride4(), product, dx);
        let dispatch =
            input_kernel!(linear_backward_input_subgroup, p.weight_type.into(), w, with, groups, { LANES: lanes, COLUMNS: columns });
        let inner = n + second.map_or(0, |s| s.rank);
        let dispatch = dispatch.flops(2 * (m * k * inner) as u64).shape(m, k, inner);
        if n == piece.rows {
            return dispatch;
        }
        let bytes = dispatch.bytes() - piece.weight.size - dy.bind.size;
        dispatch.touching(bytes + piece.weight.size / piece.rows as u64 * n as u64 + 4 * (m * n) as u64)
    };
    ranges.into_iter().map(dispatch).collect()
}

/// dW (= or +=, by `mode`: 0 write, 1 add, 2 as the step says) dyᵀ·x into a gradient of N rows and K columns; the
/// dispatches in the order in which they must run.
pub fn backward_weight(e: &mut Emit<'_>, dy: Operand, x: Operand, n: usize, k: usize, dw: Bind, mode: u32) -> Vec<Dispatch> {
    match e.tuning.products {
        Version::Tiled => return tiled::backward_weight(e, &[(dy, n)], x, k, dw, mode),
        Version::Quads | Version::Registers => return vec![plain::backward_weight(e, dy, x, n, k, dw, mode)],
        Version::Subgroup => {}
    }
    let (lanes, tile_rows) = subgroup_rows(e);
    // A gradient of a few rows is made as that of a few columns and written transposed, where that is faster.
    let time = |rows: usize, width: usize, widths: &[(u32, usize)]| {
        let width = widths.iter().map(|(w, t)| width.next_multiple_of(*w as usize) * t).min().unwrap_or(0);
        width * rows.next_multiple_of(tile_rows as usize)
    };
    let transposed = time(k, n, &[(8, NARROW_TIME)]) < time(n, k, WIDE_OR_NARROW);
    let stride4 = k.div_ceil(4) as u32;
    let (dy, x, n, k) = if transposed { (x, dy, k, n) } else { (dy, x, n, k) };
    let dispatch = |(first, m): (usize, usize)| {
        let columns = if transposed { 8 } else { columns(n, k, tile_rows, WIDE_OR_NARROW) };
        let groups = tiles(k, columns, n, tile_rows, 1);
        let with = (dy, x, n, k, stride4, dw, if first > 0 { 1 } else { mode });
        let dispatch = weight_kernel!(linear_backward_weight_subgroup, with, (first, m), groups, {
            LANES: lanes, COLUMNS: columns, TRANSPOSED: transposed
        });
        let [rows, columns] = if transposed { [k, n] } else { [n, k] };
        dispatch.flops(2 * (m * n * k) as u64).shape(rows, columns, m)
    };
    split(dy.rows, CACHED_M.max(CACHED_X / k.max(1))).into_iter().map(dispatch).collect()
}

impl Weights {
    /// The rows of a piece.
    pub fn of(e: &Emit<'_>, param: ParamId, piece: &Piece) -> Weights {
        let p = e.param(param);
        Weights { bind: piece.weight, weight_type: p.weight_type, columns: p.shape.cols }
    }
}

/// Lanes of the subgroups that the subgroup kernels are for, and rows of their workgroups.
fn subgroup_rows(e: &Emit<'_>) -> (u32, u32) {
    (e.tuning.product_lanes, linear_forward_subgroup::ROWS * e.tuning.product_lanes)
}

/// Workgroups for `x` of `per_x` in the first direction, `y` of `per_y` in the second and `z` in the third.
fn tiles(x: usize, per_x: u32, y: usize, per_y: u32, z: usize) -> [u32; 3] {
    [x.div_ceil(per_x as usize) as u32, y.div_ceil(per_y as usize) as u32, z as u32]
}

/// Start and length of ranges that cover `0..whole`, each of at most 1.5 `step` and, but for the last one, of a multiple of four.
fn split(whole: usize, step: usize) -> Vec<(usize, usize)> {
    let count = ((whole + step / 2) / step.max(1)).max(1);
    let each = whole.div_ceil(count).next_multiple_of(4);
    (0..whole).step_by(each.max(4)).map(|first| (first, each.min(whole - first))).collect()
}

/// Columns of a tile or block, from (columns, time a column): the fastest for the width, and narrow where the matrix
/// would otherwise give too few workgroups for the cores.
fn columns(rows: usize, cols: usize, tile_rows: u32, widths: &[(u32, usize)]) -> u32 {
    let few = rows.div_ceil(tile_rows as usize) * cols.div_ceil(64) < 8;
    let widths = widths.iter().filter(|(width, _)| !few || *width <= 32);
    widths.min_by_key(|(width, time)| cols.next_multiple_of(*width as usize) * time).map_or(64, |(width, _)| *width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_once() {
        for (whole, step) in [(1, 512), (49_152, 2048), (577, 512), (1000, 512), (3071, 2048), (3073, 2048), (7, 7)] {
            let mut next = 0;
            for (first, len) in split(whole, step) {
                assert_eq!(first, next);
                assert_eq!(first % 4, 0);
                assert!(len > 0 && len <= step + step / 2 + 4, "{len} of {whole}");
                next = first + len;
            }
            assert_eq!(next, whole);
        }
    }

    #[test]
    fn narrow_matrices_get_narrow_tiles() {
        assert_eq!(columns(256, 576, SUBGROUP_ROWS, FORWARD_COLUMNS), 64);
        assert_eq!(columns(4096, 96, SUBGROUP_ROWS, FORWARD_COLUMNS), 32);
        assert_eq!(columns(4096, 16, SUBGROUP_ROWS, FORWARD_COLUMNS), 16);
        assert_eq!(columns(4096, 8, SUBGROUP_ROWS, FORWARD_COLUMNS), 8);
        assert_eq!(columns(32, 64, SUBGROUP_ROWS, FORWARD_COLUMNS), 32);
    }
}
