//! Products of plain numbers on processors. Packed weights are decoded first, some rows at a time.
//!
//! The kernels of quads and of registers read nothing else: decoding within such a product would be compiled once for each of the weights that an iteration
//! loads, and the code would then come from memory at every turn. Those of subgroups decode as well, once for each tile of rows of x; where that takes long,
//! [`decodes_first`] says so.

use super::{CACHED_N, FORWARD_COLUMNS, Operand, Product, SUBGROUP_ROWS, Second, WIDE_OR_NARROW, columns, subgroup_rows, tiles};
use crate::graph::{Emit, ParamId, Piece, WeightType};
use crate::kernels::{
    Bind, Dispatch, GgmlType, Numbers, Plain, Tuning, Version, linear_backward_input_quads_subgroup, linear_backward_input_registers,
    linear_backward_input_subgroup, linear_backward_weight_quads_subgroup, linear_backward_weight_registers, linear_forward_quads_subgroup,
    linear_forward_registers, linear_forward_subgroup, unpack_forward, workgroups,
};

/// Most floats of a range of decoded rows. Each range is read once more from memory, so that longer ones save nothing.
const DECODED: usize = 4 << 20;

/// Rows of x from which decoding a weight once costs a subgroup's kernel less than decoding it for each of its tiles.
const DECODING_PAYS: usize = 65;

/// Threads of a workgroup of the register kernels.
const BLOCK_THREADS: u32 = 8;

/// Columns that a thread of the register kernels makes, and the time a column.
const BLOCK_COLUMNS: &[(u32, usize)] = &[(16, 10), (4, 20)];

/// Columns of a workgroup of the quads' kernels, and the time a column.
const QUAD_COLUMNS: &[(u32, usize)] = &[(64, 20), (32, 23), (16, 27)];

/// Which product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    BackwardInput,
}

/// Whether weights of this type are decoded before a product of so many rows. Kernels of subgroups read the simpler types about as fast as bf16, forwards or in
/// both directions (`rootstock bench --only products`); what the others' scales are made of takes more loads than their weights.
pub(super) fn decodes_first(tuning: &Tuning, weight_type: WeightType, rows: usize, direction: Direction) -> bool {
    let slow = match weight_type {
        WeightType::F32 | WeightType::Bf16 | WeightType::F16 | WeightType::Int8 | WeightType::Ggml(GgmlType::Q8_0) => false,
        WeightType::Nf4 { double } | WeightType::Fp4 { double } => double,
        WeightType::Ggml(GgmlType::Q4_0 | GgmlType::Q4_1) => direction == Direction::Forward,
        WeightType::Ggml(_) => true,
    };
    tuning.products != Version::Subgroup || slow && rows >= DECODING_PAYS
}

/// y (= or +=) scale · (x·Wᵀ (+ x2·W2ᵀ)) (+ bias), with the rows of `piece` as W.
pub(super) fn forward(e: &mut Emit<'_>, x: Operand, param: ParamId, piece: &Piece, product: Product, y: Operand) -> Vec<Dispatch> {
    let mut dispatches = Vec::new();
    let shape = e.param(param).shape;
    for rows in Rows::of(e, param, piece) {
        let (first, m, n) = (rows.first, x.rows, rows.count);
        let second = product.second.map(|s| Second { weight: s.weight.after(first as u64 * u64::from(s.stride4) * 16), ..s });
        let product = Product { bias: product.bias.map(|bias| bias.after(first as u64 * 4)), second, ..product };
        let (w, with) = ((rows.bind, rows.stride), (x, n, shape.stride4(), product, y.columns_from(first)));
        let dispatch = if e.tuning.products == Version::Subgroup {
            let (lanes, tile_rows) = subgroup_rows(e);
            let columns = columns(m, n, tile_rows, FORWARD_COLUMNS);
            let groups = tiles(n, columns, m, tile_rows, 1);
            forward_kernel!(linear_forward_subgroup, rows.numbers.into(), w, with, groups, { LANES: lanes, COLUMNS: columns })
        } else if e.tuning.products == Version::Quads {
            let tile = QuadTile::of(e.tuning, m, n, shape.cols);
            let groups = tiles(n, tile.columns, m, tile.rows(), 1);
            forward_kernel!(linear_forward_quads_subgroup, rows.numbers, w, with, groups, {
                ROW_BLOCKS: tile.row_blocks, COLUMNS: tile.columns, STEPS: tile.steps
            })
        } else {
            let columns = columns(m, n, SUBGROUP_ROWS, BLOCK_COLUMNS);
            let [across, down] = block_threads(n, columns);
            let groups = tiles(n, across * columns, m, down * linear_forward_registers::THREAD_ROWS, 1);
            forward_kernel!(linear_forward_registers, rows.numbers, w, with, groups, {
                THREADS_X: across, THREADS_Y: down, COLUMNS: columns
            })
        };
        let k = shape.cols + second.map_or(0, |s| s.rank);
        dispatches.extend(rows.decoding);
        dispatches.push(dispatch.flops(2 * (m * n * k) as u64).shape(m, n, k));
    }
    dispatches
}

/// dx (= or +=) scale · (dy·W (+ x2·W2)), with the rows of `piece` as W.
pub(super) fn backward_input(e: &mut Emit<'_>, dy: Operand, param: ParamId, piece: &Piece, product: Product, dx: Operand) -> Vec<Dispatch> {
    let mut dispatches = Vec::new();
    let shape = e.param(param).shape;
    for rows in Rows::of(e, param, piece) {
        let (first, m, n, k) = (rows.first, dy.rows, rows.count, shape.cols);
        let second = product.second.filter(|_| first == 0);
        let product = Product { second, accumulate: product.accumulate || first > 0, ..product };
        let (w, with) = ((rows.bind, rows.stride, 0), (dy.columns_from(first), n, shape.stride4(), product, dx));
        let dispatch = if e.tuning.products == Version::Subgroup {
            let (lanes, tile_rows) = subgroup_rows(e);
            let columns = columns(m, k, tile_rows, WIDE_OR_NARROW);
            let groups = tiles(m, tile_rows, k, columns, 1);
            input_kernel!(linear_backward_input_subgroup, rows.numbers.into(), w, with, groups, { LANES: lanes, COLUMNS: columns })
        } else if e.tuning.products == Version::Quads {
            let tile = QuadTile::of(e.tuning, m, k, n);
            // Tiles are numbered down the rows first: neighbours then share columns of W, the larger factor.
            let groups = tiles(m, tile.rows(), k, tile.columns, 1);
            input_kernel!(linear_backward_input_quads_subgroup, rows.numbers, w, with, groups, {
                ROW_BLOCKS: tile.row_blocks, COLUMNS: tile.columns, STEPS: tile.steps
            })
        } else {
            let columns = columns(m, k, SUBGROUP_ROWS, BLOCK_COLUMNS);
            let [across, down] = block_threads(k, columns);
            let groups = tiles(k, across * columns, m, down * linear_backward_input_registers::THREAD_ROWS, 1);
            input_kernel!(linear_backward_input_registers, rows.numbers, w, with, groups, {
                THREADS_X: across, THREADS_Y: down, COLUMNS: columns
            })
        };
        let inner = n + second.map_or(0, |s| s.rank);
        dispatches.extend(rows.decoding);
        dispatches.push(dispatch.flops(2 * (m * k * inner) as u64).shape(m, k, inner));
    }
    dispatches
}

/// dW (= or +=, by `mode`: 0 write, 1 add, 2 as the step says) dyᵀ·x into a gradient of N rows and K columns.
pub(super) fn backward_weight(e: &Emit<'_>, dy: Operand, x: Operand, n: usize, k: usize, dw: Bind, mode: u32) -> Dispatch {
    let m = dy.rows;
    let with = (dy, x, n, k, k.div_ceil(4) as u32, dw, mode);
    let dispatch = if e.tuning.products == Version::Quads {
        let tile = QuadTile::of(e.tuning, n, k, m);
        let groups = tiles(k, tile.columns, n, tile.rows(), 1);
        weight_kernel!(linear_backward_weight_quads_subgroup, with, (0, m), groups, {
            ROW_BLOCKS: tile.row_blocks, COLUMNS: tile.columns, STEPS: tile.steps
        })
    } else {
        let columns = columns(n, k, SUBGROUP_ROWS, BLOCK_COLUMNS);
        let [across, down] = block_threads(k, columns);
        let groups = tiles(k, across * columns, n, down * linear_backward_weight_registers::THREAD_ROWS, 1);
        weight_kernel!(linear_backward_weight_registers, with, (0, m), groups, { THREADS_X: across, THREADS_Y: down, COLUMNS: columns })
    };
    dispatch.flops(2 * (m * n * k) as u64).shape(n, k, m)
}

/// Rows of a weight as plain numbers.
struct Rows {
    /// The first of them, counted from the first of the piece.
    first: usize,
    /// How many.
    count: usize,
    /// Where they are.
    bind: Bind,
    /// From one to the next in elements of the kernels' arrays.
    stride: u32,
    /// What numbers they are.
    numbers: Plain,
    /// What brings them there.
    decoding: Option<Dispatch>,
}

impl Rows {
    /// Those of a piece: all at once where they are plain numbers, decoded ranges otherwise.
    fn of(e: &mut Emit<'_>, param: ParamId, piece: &Piece) -> Vec<Rows> {
        let p = e.param(param);
        let (cols, stride) = (p.shape.cols, p.weight_type.row_stride(p.shape.cols));
        let packed = match Numbers::from(p.weight_type) {
            Numbers::Plain(numbers) => {
                return vec![Rows { first: 0, count: piece.rows, bind: piece.weight, stride, numbers, decoding: None }];
            }
            Numbers::Packed(packed) => packed,
        };
        let width = cols.div_ceil(4);
        // Biases and second weights are bound from the first row of a range on, which begins at a multiple of 256 bytes there.
        let most = if e.tuning.products == Version::Subgroup { CACHED_N } else { usize::MAX };
        let step = (DECODED / (4 * width) / 64 * 64).clamp(64, most);
        let decoded = |(first, count): (usize, usize)| {
            let scratch = e.matrix(count, cols);
            let bind = e.bind(scratch);
            let params = unpack_forward::Params { rows: count as u32, width: width as u32, first_row: first as u32, w_stride: stride };
            let constants = unpack_forward::Constants::default();
            let runs = count * width.div_ceil(unpack_forward::FOURS as usize);
            let groups = workgroups(runs.div_ceil(constants.WORKGROUP as usize));
            let bindings = unpack_forward::Bindings { w: piece.weight, y: bind };
            let bytes = piece.weight.size / piece.rows as u64 * count as u64 + bind.size;
            let decoding = unpack_forward::dispatch(packed, params, constants, bindings, groups).touching(bytes);
            Rows { first, count, bind, stride: width as u32, numbers: Plain::F32, decoding: Some(decoding) }
        };
        (0..piece.rows).step_by(step).map(|first| (first, step.min(piece.rows - first))).map(decoded).collect()
    }
}

/// The tile of a quad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct QuadTile {
    row_blocks: u32,
    columns: u32,
    steps: u32,
}

impl QuadTile {
    /// For a result of so many rows and columns, and a contraction of this length.
    fn of(tuning: &Tuning, rows: usize, cols: usize, length: usize) -> QuadTile {
        let large = rows * cols * length >= tuning.product_large;
        let widths = QUAD_COLUMNS.iter().filter(|(width, _)| large || *width <= 32);
        let width = widths.min_by_key(|(width, time)| cols.next_multiple_of(*width as usize) * time).map_or(16, |(width, _)| *width);
        let row_blocks = if rows <= linear_forward_quads_subgroup::BLOCK_ROWS as usize { 1 } else { 2 };
        QuadTile { row_blocks, columns: width, steps: if large { 2 } else { 1 } }
    }

    fn rows(self) -> u32 {
        self.row_blocks * linear_forward_quads_subgroup::BLOCK_ROWS
    }
}

/// Threads of a register kernel's workgroup across columns and rows, for outputs that are this wide: none stands beside a narrow one.
fn block_threads(width: usize, columns: u32) -> [u32; 2] {
    let x = (width.div_ceil(columns as usize).next_power_of_two() as u32).min(BLOCK_THREADS);
    [x, BLOCK_THREADS / x]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Family, Subgroups};

    #[test]
    fn narrow_matrices_get_narrow_blocks() {
        assert_eq!(block_threads(8, 4), [2, 4]);
        assert_eq!(block_threads(576, 16), [8, 1]);
    }

    #[test]
    fn large_products_get_large_tiles() {
        let tuning = Tuning::of(Family::OtherProcessor, Some(Subgroups::of(4)));
        let tile = |rows, cols, length| {
            let tile = QuadTile::of(&tuning, rows, cols, length);
            (tile.rows(), tile.columns, tile.steps)
        };
        assert_eq!(tile(2048, 384, 128), (32, 64, 2));
        assert_eq!(tile(2048, 96, 128), (32, 32, 2));
        assert_eq!(tile(128, 384, 128), (32, 32, 1));
        assert_eq!(tile(128, 8, 128), (32, 16, 1));
        assert_eq!(tile(9, 128, 128), (16, 32, 1));
    }
}
