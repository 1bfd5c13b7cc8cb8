//! Adafactor (Shazeer and Stern 2018, arXiv 1804.04235) as `transformers.Adafactor` does it with what Trainer sets: no relative steps, no scaling by the
//! size of the parameter, no first moment. Of a matrix the second moments are kept as a factor for each row and one for each column.

use super::alike::Alike;
use super::{Trained, stats};
use crate::graph::{State, StateEncoding};
use crate::kernels::{
    Bind, Dispatch, Resource, adafactor, adafactor_column_factors, adafactor_columns, adafactor_rows, adafactor_squares, adafactor_sum,
    adafactor_vector, row_groups, workgroups,
};

/// Hyperparameters that do not change during a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adafactor {
    /// Weight decay of the parameters that decay.
    pub weight_decay: f64,
}

impl Adafactor {
    /// What step `t`, counted from 1, gives to the running means of squares: t^-0.8.
    pub fn factor_rate(t: u32) -> f64 {
        f64::from(t).powf(-0.8)
    }
}

/// ε₁, added to every square.
const EPSILON: f32 = 1e-30;
/// The root mean square above which an update is clipped.
const THRESHOLD: f32 = 1.0;

/// The factors of a matrix, and the second moments of a vector, by transformers' names.
pub(super) const FACTORS: &[State] =
    &[State { name: "exp_avg_sq_row", encoding: StateEncoding::Rows }, State { name: "exp_avg_sq_col", encoding: StateEncoding::Columns }];
pub(super) const WHOLE: &[State] = &[State { name: "exp_avg_sq", encoding: StateEncoding::F32 }];

/// Lanes that share a row, and rows of a workgroup.
const LANES: u32 = 64;
const ROWS: u32 = 4;
/// Where the sums of rows begin in the scratch memory of a matrix: after the sum of the rows' factors and the factor of the update.
const SUMS: usize = 4;
/// Fewest rows of a block in the sums of columns, and most blocks. They depend on the matrix alone, so that the bits do.
const BLOCK_ROWS: usize = 256;
const BLOCKS: usize = 64;

/// The step of some matrices or vectors.
pub(super) fn dispatches(arena: &Trained, matrices: &Alike<'_>, hyper: &Adafactor) -> Vec<Dispatch> {
    if arena.states == WHOLE { vec![vectors(arena, matrices, hyper)] } else { factored(arena, matrices, hyper) }
}

fn vectors(arena: &Trained, vectors: &Alike<'_>, hyper: &Adafactor) -> Dispatch {
    let params = adafactor_vector::Params {
        count: (vectors.pieces()[0].bytes / 16) as u32,
        inverse: 1.0 / vectors.cols as f32,
        eps: EPSILON,
        threshold: THRESHOLD,
        weight_decay: arena.weight_decay(hyper.weight_decay),
        lr_scale: arena.lr_scale,
        apart: vectors.apart(),
    };
    let bindings = adafactor_vector::Bindings {
        stats: stats(),
        gradient: vectors.gradient(0),
        parameter: vectors.weights(0),
        second_moment: vectors.state(0, 0),
    };
    adafactor_vector::dispatch(params, adafactor_vector::Constants::default(), bindings, [1, 1, vectors.count()])
}

/// Where the numbers of a matrix lie in the scratch memory, in floats: [`SUMS`], the sums of rows, and for each block of rows the sums of its columns.
struct Scratch {
    block_rows: usize,
    blocks: usize,
    columns: usize,
    /// From one matrix's to the next's.
    apart: usize,
}

impl Scratch {
    fn of(matrices: &Alike<'_>) -> Scratch {
        let block_rows = matrices.rows.div_ceil(BLOCKS).max(BLOCK_ROWS);
        // A piece begins with a block of its own.
        let blocks = matrices.pieces().iter().map(|piece| piece.rows.len().div_ceil(block_rows)).sum();
        let columns = (SUMS + matrices.rows).next_multiple_of(4);
        Scratch { block_rows, blocks, columns, apart: columns + blocks * 4 * matrices.stride4() as usize }
    }
}

fn factored(arena: &Trained, matrices: &Alike<'_>, hyper: &Adafactor) -> Vec<Dispatch> {
    let (stride, count) = (matrices.stride4(), matrices.count());
    let pieces = || matrices.pieces().iter().map(|piece| piece.rows.len() as u32).enumerate();
    let place = Scratch::of(matrices);
    let scratch = Bind { resource: Resource::Partials, offset: 0, size: (count as usize * place.apart * 4) as u64 };
    let scratch_apart = place.apart as u32;
    let (apart, rows_apart, columns_apart) = (matrices.apart(), matrices.state_apart(0, 4), matrices.state_apart(1, 16));
    let columns = matrices.state(0, 1);
    // A grid for one matrix, for all of them.
    let for_all = |[x, y, _]: [u32; 3]| [x, y, count];
    let mut list = Vec::new();
    let mut block = 0;
    for (piece, rows) in pieces() {
        let params = adafactor_rows::Params { rows, stride, inverse: 1.0 / matrices.cols as f32, eps: EPSILON, apart, rows_apart };
        let constants = adafactor_rows::Constants { LANES, ROWS };
        let bindings =
            adafactor_rows::Bindings { stats: stats(), gradient: matrices.gradient(piece), row_factor: matrices.state(piece, 0) };
        list.push(adafactor_rows::dispatch(params, constants, bindings, for_all(row_groups(rows as usize, ROWS))));
        let params = adafactor_columns::Params {
            rows,
            stride,
            block_rows: place.block_rows as u32,
            apart,
            to: (place.columns / 4) as u32 + block * stride,
            scratch_apart: scratch_apart / 4,
        };
        let blocks = rows.div_ceil(place.block_rows as u32);
        let bindings = adafactor_columns::Bindings { stats: stats(), gradient: matrices.gradient(piece), scratch };
        let groups = [stride.div_ceil(adafactor_columns::COLUMNS), blocks, count];
        list.push(adafactor_columns::dispatch(params, adafactor_columns::Constants {}, bindings, groups));
        block += blocks;
    }
    let params = adafactor_column_factors::Params {
        blocks: place.blocks as u32,
        stride,
        inverse: 1.0 / matrices.rows as f32,
        eps: EPSILON,
        from_index: (place.columns / 4) as u32,
        scratch_apart: scratch_apart / 4,
        columns_apart,
    };
    let bindings = adafactor_column_factors::Bindings { stats: stats(), scratch, column_factor: columns };
    let groups = [stride.div_ceil(adafactor_column_factors::COLUMNS), 1, count];
    list.push(adafactor_column_factors::dispatch(params, adafactor_column_factors::Constants {}, bindings, groups));
    let sum = |params: adafactor_sum::Params, own: bool, numbers: Bind| {
        let constants = adafactor_sum::Constants { OWN: own, ..adafactor_sum::Constants::default() };
        adafactor_sum::dispatch(params, constants, adafactor_sum::Bindings { numbers, scratch }, [1, 1, count])
    };
    for (piece, rows) in pieces() {
        let params = adafactor_sum::Params {
            count: rows,
            from_index: 0,
            numbers_apart: rows_apart,
            to: 0,
            scratch_apart,
            accumulate: u32::from(piece > 0),
            clipped: 0.0,
            threshold: THRESHOLD,
        };
        list.push(sum(params, false, matrices.state(piece, 0)));
    }
    let all_rows = matrices.rows as f32;
    for (piece, rows) in pieces() {
        let first = (SUMS + matrices.pieces()[piece].rows.start) as u32;
        let params = adafactor_squares::Params { rows, stride, all_rows, first, apart, rows_apart, columns_apart, scratch_apart };
        let constants = adafactor_squares::Constants { LANES, ROWS };
        let bindings = adafactor_squares::Bindings {
            stats: stats(),
            gradient: matrices.gradient(piece),
            row_factor: matrices.state(piece, 0),
            column_factor: columns,
            scratch,
        };
        list.push(adafactor_squares::dispatch(params, constants, bindings, for_all(row_groups(rows as usize, ROWS))));
    }
    let params = adafactor_sum::Params {
        count: matrices.rows as u32,
        from_index: SUMS as u32,
        numbers_apart: scratch_apart,
        to: 1,
        scratch_apart,
        accumulate: 0,
        clipped: matrices.rows as f32 * matrices.cols as f32,
        threshold: THRESHOLD,
    };
    list.push(sum(params, true, columns));
    for (piece, rows) in pieces() {
        let (weight_decay, lr_scale) = (arena.weight_decay(hyper.weight_decay), arena.lr_scale);
        let params = adafactor::Params {
            count: rows * stride,
            stride,
            all_rows,
            weight_decay,
            lr_scale,
            apart,
            rows_apart,
            columns_apart,
            scratch_apart,
        };
        let constants = adafactor::Constants::default();
        let bindings = adafactor::Bindings {
            stats: stats(),
            gradient: matrices.gradient(piece),
            row_factor: matrices.state(piece, 0),
            column_factor: columns,
            scratch,
            parameter: matrices.weights(piece),
        };
        let groups = workgroups(params.count.div_ceil(constants.WORKGROUP) as usize);
        list.push(adafactor::dispatch(params, constants, bindings, for_all(groups)));
    }
    list
}
