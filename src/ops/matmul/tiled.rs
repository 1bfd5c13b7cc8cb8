//! The products of GPUs: tiles in workgroup memory. Where a product has few tiles they become smaller, and the contraction is split into parts
//! whose sums a second pass adds up, so that there are workgroups enough. Up to three matrices that lie side by side make one product.

use super::{Product, Second};
use crate::graph::{Emit, ValueId};
use crate::kernels::{
    Bind, Dispatch, Tuning, WeightType, linear_backward_input_tiled, linear_backward_weight_tiled, linear_forward_tiled, sum_parts,
    workgroups,
};

use super::Operand;

/// Most matrices of one product.
pub const SIDES: usize = 3;

/// Columns at which the matrices of one product may begin: a multiple of every tile, and 256 bytes.
pub const SIDE_COLUMNS: usize = 64;

/// Threads of a workgroup across rows and columns.
const THREADS: u32 = 8;

/// Fewest steps of a part where even the smallest tiles are too few.
const SHORTEST_PART: usize = 64;

/// How a product is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    /// Blocks of four rows and of four columns a thread.
    blocks: [u32; 2],
    /// Parts of the contraction, and the steps of each but the last.
    parts: usize,
    part: usize,
}

impl Cut {
    /// How to cut a product of this many rows and columns over `steps`.
    fn of(tuning: &Tuning, rows: usize, columns: usize, steps: usize) -> Cut {
        let bytes = rows * columns.next_multiple_of(4) * 4;
        let fitting = (tuning.product_part_bytes / bytes.max(1)).max(1);
        let tiles = |[r, c]: [u32; 2]| rows.div_ceil((4 * THREADS * r) as usize) * columns.div_ceil((4 * THREADS * c) as usize);
        if steps < tuning.product_unsplit {
            let enough = [[2, 2], [1, 2], [1, 1]].into_iter().find(|blocks| tiles(*blocks) >= tuning.product_workgroups_least);
            if let Some(blocks) = enough {
                return Cut::into_parts(blocks, 1, steps);
            }
        }
        for blocks in [[2, 2], [1, 2], [1, 1]] {
            let wanted = if tiles(blocks) < tuning.product_workgroups_least { tuning.product_workgroups / tiles(blocks) } else { 1 };
            let parts = wanted.min(steps / tuning.product_part.max(1)).min(fitting);
            let cut = Cut::into_parts(blocks, parts, steps);
            if tiles(blocks) * cut.parts >= tuning.product_workgroups_least {
                return cut;
            }
        }
        let parts = tuning.product_workgroups_least.div_ceil(tiles([1, 1])).min(steps / SHORTEST_PART).min(fitting);
        Cut::into_parts([1, 1], parts, steps)
    }

    fn into_parts(blocks: [u32; 2], parts: usize, steps: usize) -> Cut {
        let part = steps.div_ceil(parts.max(1)).next_multiple_of(16);
        Cut { blocks, parts: steps.div_ceil(part).max(1), part }
    }

    fn tile_rows(&self) -> u32 {
        4 * THREADS * self.blocks[0]
    }

    fn tile_columns(&self) -> u32 {
        4 * THREADS * self.blocks[1]
    }
}

/// Matrices that are one below the other or side by side in a product, each an operand and its columns.
struct Sides {
    /// What holds all of them.
    bind: Bind,
    /// Where the second and the third begin, in elements of four floats.
    cuts: [u32; SIDES - 1],
    /// What to add to row · stride + column of the whole, modulo 2^32, and the stride.
    places: [(u32, u32); SIDES],
}

impl Sides {
    fn of(matrices: &[(Operand, usize)]) -> Sides {
        debug_assert!((1..=SIDES).contains(&matrices.len()));
        let bind = union(matrices.iter().map(|(o, _)| o.bind)).unwrap_or(matrices[0].0.bind);
        let mut sides = Sides { bind, cuts: [u32::MAX; SIDES - 1], places: [(0, 0); SIDES] };
        let mut column4 = 0;
        for (i, (operand, columns)) in matrices.iter().enumerate() {
            if i > 0 {
                debug_assert_eq!(column4 % (SIDE_COLUMNS as u32 / 4), 0, "no tile is in two matrices");
                sides.cuts[i - 1] = column4;
            }
            let first = elements_between(bind, operand.bind) + operand.column4;
            sides.places[i] = (first.wrapping_sub(column4), operand.stride4);
            column4 += columns.div_ceil(4) as u32;
        }
        sides
    }
}

/// The range that covers several of the same resource.
pub fn union(binds: impl Iterator<Item = Bind>) -> Option<Bind> {
    binds.map(Some).reduce(|a, b| {
        let (a, b) = (a?, b?);
        let offset = a.offset.min(b.offset);
        let size = (a.offset + a.size).max(b.offset + b.size) - offset;
        (a.resource == b.resource).then_some(Bind { offset, size, ..a })
    })?
}

/// Elements of four floats from the start of one range to that of another within it.
fn elements_between(whole: Bind, part: Bind) -> u32 {
    ((part.offset - whole.offset) / 16) as u32
}

/// A second product as the kernels read it: its width, and for x and W what to add to row · stride + column, and the stride.
#[derive(Clone, Copy, Default)]
struct Narrow {
    width: u32,
    x: (u32, u32),
    w: (u32, u32),
}

/// The second products' operands: what holds them, and where each is.
struct Seconds {
    x: Bind,
    w: Bind,
    each: [Narrow; SIDES],
}

impl Seconds {
    /// `first_rows` are the rows of the whole at which each W2 begins, where its rows are counted through.
    fn of(seconds: &[Option<Second>], first_rows: &[u32], otherwise: Bind) -> Seconds {
        let known = || seconds.iter().flatten();
        let x = union(known().map(|s| s.x.bind)).unwrap_or(otherwise);
        let w = union(known().map(|s| s.weight)).unwrap_or(otherwise);
        let mut each = [Narrow::default(); SIDES];
        for ((to, second), first_row) in each.iter_mut().zip(seconds).zip(first_rows) {
            let Some(s) = second else { continue };
            let w_first = elements_between(w, s.weight).wrapping_sub(first_row * s.stride4);
            let x_first = elements_between(x, s.x.bind) + s.x.column4;
            *to = Narrow { width: s.rank as u32, x: (x_first, s.x.stride4), w: (w_first, s.stride4) };
        }
        Seconds { x, w, each }
    }
}

/// A matrix as the sum of matrices that lie one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Addend {
    /// All of them.
    pub bind: Bind,
    /// How many.
    pub parts: u32,
    /// From one to the next in elements of four floats.
    pub part_stride: u32,
}

impl Addend {
    /// A matrix of one part.
    pub fn whole(bind: Bind) -> Addend {
        Addend { bind, parts: 1, part_stride: 0 }
    }

    /// The parts of `made`, as [`take_parts`] has them, or the whole.
    pub fn taken_or_whole(e: &mut Emit<'_>, made: ValueId) -> Addend {
        take_parts(e, made).unwrap_or_else(|| Addend::whole(e.bind(made)))
    }
}

/// The parts of a product, if the pass that adds them up into `made` was emitted last and no other op reads that: the pass is taken back, and the caller
/// adds the parts up in their order.
fn take_parts(e: &mut Emit<'_>, made: ValueId) -> Option<Addend> {
    let pass = e.last(&sum_parts::SHADER, made)?;
    let sum: sum_parts::Params = bytemuck::pod_read_unaligned(&pass.params);
    let biased = pass.constants.iter().any(|(name, value)| *name == "BIAS" && *value != 0.0);
    let plain = sum.accumulate == 0 && !biased && sum.cut1 == u32::MAX && sum.y_first == 0 && sum.y_stride == sum.width;
    if !plain || !e.has_one_reader(made) {
        return None;
    }
    let pass = e.take_last(&sum_parts::SHADER, made)?;
    Some(Addend { bind: pass.binds[0], parts: sum.parts, part_stride: sum.part_stride })
}

/// The constants that all three kernels share.
macro_rules! constants {
    ($kernel:ident, $tuning:expr, $cut:expr, { $($constant:ident: $value:expr),* }) => {{
        let steps = $tuning.product_steps;
        $kernel::Constants {
            THREADS_X: THREADS,
            THREADS_Y: THREADS,
            ROW_BLOCKS: $cut.blocks[0],
            COLUMN_BLOCKS: $cut.blocks[1],
            STEPS: steps,
            UNROLL: $tuning.product_unroll,
            PREFETCH: $tuning.product_prefetch,
            ROW_MEMORY: steps * $cut.blocks[0] * THREADS,
            COLUMN_MEMORY: steps * $cut.blocks[1] * THREADS,
            $($constant: $value),*
        }
    }};
}

/// One output of a forward product: the matrix, its columns, and the second product that is added to it.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Where it is written.
    pub y: Operand,
    /// Its columns: rows of its weight.
    pub columns: usize,
    /// Its second product.
    pub second: Option<Second>,
}

/// A weight of one product: rows of it lie one below the other, those of the next matrix after those of the first.
#[derive(Debug, Clone, Copy)]
pub struct Weights {
    /// All of it.
    pub bind: Bind,
    /// How it is kept.
    pub weight_type: WeightType,
    /// Columns.
    pub columns: usize,
}

impl Weights {
    fn stride4(&self) -> u32 {
        self.columns.div_ceil(4) as u32
    }
}

/// The outputs (= or +=) scale · (x·Wᵀ (+ x2·W2ᵀ)) (+ bias).
pub fn forward(e: &mut Emit<'_>, x: Operand, weights: Weights, outputs: &[Output], product: Product) -> Vec<Dispatch> {
    let (m, n) = (x.rows, outputs.iter().map(|o| o.columns).sum::<usize>());
    let cut = Cut::of(e.tuning, m, n, weights.columns);
    let operands: Vec<(Operand, usize)> = outputs.iter().map(|o| (o.y, o.columns)).collect();
    let target = Target { sides: Sides::of(&operands), bias: product.bias, mode: product.accumulate.into() };
    let (parts, sides, bias, accumulate) = target.first_pass(e, &cut, m, n);
    // The kernel tells by the column which second product is added, also where the parts' sums of all outputs are one matrix.
    let cuts = target.sides.cuts;
    let places = if parts.is_some() { [sides.places[0]; SIDES] } else { sides.places };
    let first_rows: Vec<u32> = outputs
        .iter()
        .scan(0, |row, o| {
            let first = *row;
            *row += o.columns as u32;
            Some(first)
        })
        .collect();
    let seconds: Vec<Option<Second>> = outputs.iter().map(|o| o.second).collect();
    let Seconds { x: x2, w: w2, each } = Seconds::of(&seconds, &first_rows, x.bind);
    let width4 = |i: usize| each[i].width.div_ceil(4);
    let params = linear_forward_tiled::Params {
        m: m as u32,
        n: n as u32,
        k4: weights.stride4(),
        part4: cut.part as u32 / 4,
        part_stride: part_stride(m, n),
        x_stride: x.stride4,
        x_column: x.column4,
        w_stride: weights.weight_type.row_stride(weights.columns),
        accumulate,
        cut1: cuts[0],
        cut2: cuts[1],
        y_first: places[0].0,
        y_stride: places[0].1,
        y1_first: places[1].0,
        y1_stride: places[1].1,
        y2_first: places[2].0,
        y2_stride: places[2].1,
        second4: width4(0),
        x2_first: each[0].x.0,
        x2_stride: each[0].x.1,
        w2_first: each[0].w.0,
        w2_stride: each[0].w.1,
        second4_1: width4(1),
        x2_first_1: each[1].x.0,
        x2_stride_1: each[1].x.1,
        w2_first_1: each[1].w.0,
        w2_stride_1: each[1].w.1,
        second4_2: width4(2),
        x2_first_2: each[2].x.0,
        x2_stride_2: each[2].x.1,
        w2_first_2: each[2].w.0,
        w2_stride_2: each[2].w.1,
    };
    let constants = constants!(linear_forward_tiled, e.tuning, cut, {
        BIAS: bias.is_some(), SECOND: seconds.iter().any(Option::is_some), SCALE: product.scale
    });
    let bindings = linear_forward_tiled::Bindings { x: x.bind, w: weights.bind, bias: bias.unwrap_or(x.bind), x2, w2, y: sides.bind };
    let groups = super::tiles(n, cut.tile_columns(), m, cut.tile_rows(), cut.parts);
    let dispatch = linear_forward_tiled::dispatch(weights.weight_type.into(), e.tile, params, constants, bindings, groups);
    let second: usize = outputs.iter().map(|o| o.columns * o.second.map_or(0, |s| s.rank)).sum();
    let flops = 2 * (m * (n * weights.columns + second)) as u64;
    let dispatch = dispatch.flops(flops).shape(m, n, weights.columns + second / n.max(1));
    target.passes(e, dispatch, parts, &cut, m, n)
}

/// dx (= or +=) scale · (dy·W (+ x2·W2)), over the columns of all `gradients`, each a matrix, its columns and its second product.
pub fn backward_input(e: &mut Emit<'_>, gradients: &[Output], weights: Weights, product: Product, dx: Operand) -> Vec<Dispatch> {
    let (m, n, k) = (gradients[0].y.rows, gradients.iter().map(|g| g.columns).sum::<usize>(), weights.columns);
    let cut = Cut::of(e.tuning, m, k, n);
    let operands: Vec<(Operand, usize)> = gradients.iter().map(|g| (g.y, g.columns)).collect();
    let dy = Sides::of(&operands);
    let target = Target { sides: Sides::of(&[(dx, k)]), bias: None, mode: product.accumulate.into() };
    let (parts, sides, _, accumulate) = target.first_pass(e, &cut, m, k);
    let seconds: Vec<Option<Second>> = gradients.iter().map(|g| g.second).collect();
    let Seconds { x: x2, w: w2, each } = Seconds::of(&seconds, &[0; SIDES], dy.bind);
    let params = linear_backward_input_tiled::Params {
        m: m as u32,
        n: n as u32,
        k4: weights.stride4(),
        part: cut.part as u32,
        part_stride: part_stride(m, k),
        w_stride: weights.weight_type.row_stride(weights.columns),
        dx_first: sides.places[0].0,
        dx_stride: sides.places[0].1,
        accumulate,
        cut1: dy.cuts[0],
        cut2: dy.cuts[1],
        dy_first: dy.places[0].0,
        dy_stride: dy.places[0].1,
        dy1_first: dy.places[1].0,
        dy1_stride: dy.places[1].1,
        dy2_first: dy.places[2].0,
        dy2_stride: dy.places[2].1,
        second: each[0].width,
        x2_first: each[0].x.0,
        x2_stride: each[0].x.1,
        w2_first: each[0].w.0,
        w2_stride: each[0].w.1,
        second_1: each[1].width,
        x2_first_1: each[1].x.0,
        x2_stride_1: each[1].x.1,
        w2_first_1: each[1].w.0,
        w2_stride_1: each[1].w.1,
        second_2: each[2].width,
        x2_first_2: each[2].x.0,
        x2_stride_2: each[2].x.1,
        w2_first_2: each[2].w.0,
        w2_stride_2: each[2].w.1,
    };
    let second: usize = seconds.iter().flatten().map(|s| s.rank).sum();
    let constants = constants!(linear_backward_input_tiled, e.tuning, cut, { SECOND: second > 0, SCALE: product.scale });
    let bindings = linear_backward_input_tiled::Bindings { dy: dy.bind, w: weights.bind, x2, w2, dx: sides.bind };
    // Tiles are numbered down the rows first: neighbours then share columns of W, the larger factor.
    let groups = super::tiles(m, cut.tile_rows(), k, cut.tile_columns(), cut.parts);
    let dispatch = linear_backward_input_tiled::dispatch(weights.weight_type.into(), e.tile, params, constants, bindings, groups);
    let dispatch = dispatch.flops(2 * (m * k * (n + second)) as u64).shape(m, k, n + second);
    target.passes(e, dispatch, parts, &cut, m, k)
}

/// dW (= or +=, by `mode`) dyᵀ·x, the rows of all `gradients` one below the other, each a matrix and its columns.
pub fn backward_weight(e: &mut Emit<'_>, gradients: &[(Operand, usize)], x: Operand, k: usize, dw: Bind, mode: u32) -> Vec<Dispatch> {
    let (m, n) = (x.rows, gradients.iter().map(|(_, columns)| columns).sum::<usize>());
    let stride4 = k.div_ceil(4) as u32;
    let cut = Cut::of(e.tuning, n, k, m);
    let dy = Sides::of(gradients);
    let whole = Operand { bind: dw, rows: n, stride4, column4: 0 };
    let target = Target { sides: Sides::of(&[(whole, k)]), bias: None, mode };
    let (parts, sides, _, accumulate) = target.first_pass(e, &cut, n, k);
    let params = linear_backward_weight_tiled::Params {
        m: m as u32,
        n: n as u32,
        k4: stride4,
        part: cut.part as u32,
        part_stride: part_stride(n, k),
        x_stride: x.stride4,
        x_column: x.column4,
        dw_stride: sides.places[0].1,
        accumulate,
        cut1: dy.cuts[0],
        cut2: dy.cuts[1],
        dy_first: dy.places[0].0,
        dy_stride: dy.places[0].1,
        dy1_first: dy.places[1].0,
        dy1_stride: dy.places[1].1,
        dy2_first: dy.places[2].0,
        dy2_stride: dy.places[2].1,
    };
    let constants = constants!(linear_backward_weight_tiled, e.tuning, cut, {});
    let bindings = linear_backward_weight_tiled::Bindings { dy: dy.bind, x: x.bind, dw: sides.bind };
    let groups = super::tiles(k, cut.tile_columns(), n, cut.tile_rows(), cut.parts);
    let dispatch = linear_backward_weight_tiled::dispatch(e.tile, params, constants, bindings, groups);
    let dispatch = dispatch.flops(2 * (m * n * k) as u64).shape(n, k, m);
    target.passes(e, dispatch, parts, &cut, n, k)
}

/// Elements of four floats of a part's sums.
fn part_stride(rows: usize, columns: usize) -> u32 {
    (rows * columns.div_ceil(4)) as u32
}

/// Where a product goes in the end.
struct Target {
    sides: Sides,
    bias: Option<Bind>,
    /// 0 write, 1 add, 2 as the step says.
    mode: u32,
}

impl Target {
    /// What the tiles write: the output itself, or room for the parts' sums, to which neither the bias nor what the output holds is added.
    fn first_pass(&self, e: &mut Emit<'_>, cut: &Cut, rows: usize, columns: usize) -> (Option<ValueId>, Sides, Option<Bind>, u32) {
        if cut.parts == 1 {
            let Sides { bind, cuts, places } = self.sides;
            return (None, Sides { bind, cuts, places }, self.bias, self.mode);
        }
        let parts = e.matrix(cut.parts * rows, columns);
        let whole = Operand::value(e, parts);
        (Some(parts), Sides::of(&[(whole, columns)]), None, 0)
    }

    /// The product, and the pass that adds its parts up where there are several.
    fn passes(&self, e: &Emit<'_>, product: Dispatch, parts: Option<ValueId>, cut: &Cut, rows: usize, columns: usize) -> Vec<Dispatch> {
        let Some(parts) = parts else { return vec![product] };
        let Sides { bind, cuts, places } = &self.sides;
        let params = sum_parts::Params {
            rows: rows as u32,
            width: columns.div_ceil(4) as u32,
            parts: cut.parts as u32,
            part_stride: part_stride(rows, columns),
            accumulate: self.mode,
            cut1: cuts[0],
            cut2: cuts[1],
            y_first: places[0].0,
            y_stride: places[0].1,
            y1_first: places[1].0,
            y1_stride: places[1].1,
            y2_first: places[2].0,
            y2_stride: places[2].1,
        };
        let constants = sum_parts::Constants { BIAS: self.bias.is_some(), ..Default::default() };
        let x = e.bind(parts);
        let bindings = sum_parts::Bindings { x, bias: self.bias.unwrap_or(x), y: *bind };
        let groups = workgroups(part_stride(rows, columns).div_ceil(constants.WORKGROUP) as usize);
        vec![product, sum_parts::dispatch(params, constants, bindings, groups)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Family;

    #[test]
    fn parts_cover_the_contraction_in_whole_tiles() {
        let tuning = Tuning::of(Family::UnknownGpu, None);
        for (rows, columns, steps) in
            [(256, 576, 49_152), (256, 960, 576), (7, 5, 3), (64, 896, 151_936), (100, 40, 577), (2048, 576, 1536)]
        {
            let cut = Cut::of(&tuning, rows, columns, steps);
            assert_eq!(cut.part % 16, 0);
            assert!(cut.parts * cut.part >= steps && (cut.parts - 1) * cut.part < steps, "{cut:?} of {steps}");
            assert!(cut.parts == 1 || cut.parts * rows * columns * 4 <= tuning.product_part_bytes, "{cut:?}");
        }
    }

    #[test]
    fn large_products_are_not_split_and_small_ones_get_small_tiles() {
        let tuning = Tuning::of(Family::UnknownGpu, None);
        assert_eq!(Cut::of(&tuning, 2048, 1536, 576), Cut { blocks: [2, 2], parts: 1, part: 576 });
        let head = Cut::of(&tuning, 256, 576, 49_152);
        assert_eq!((head.blocks, head.parts), ([2, 2], 14));
        assert_eq!(Cut::of(&tuning, 256, 576, 576).blocks, [1, 1]);
    }
}
