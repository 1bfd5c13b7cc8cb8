//! Adafactor (Shazeer and Stern 2018, arXiv 1804.04235) as `transformers.Adafactor` does it with what Trainer sets: no relative steps, no scaling by the
//! size of the parameter, no first moment. Of a matrix the second moments are kept as a factor for each row and one for each column.

use super::{Matrix, Trained, stats};
use crate::graph::{State, StateEncoding};
use crate::kernels::{
    Bind, Dispatch, Resource, adafactor, adafactor_columns, adafactor_rows, adafactor_squares, adafactor_sum, adafactor_vector, row_groups,
    workgroups,
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
/// Where the sums of rows begin in the scratch memory: after the sum of the rows' factors and the factor of the update.
const SUMS: usize = 4;

/// The step of a matrix or a vector.
pub(super) fn dispatches(arena: &Trained, matrix: &Matrix<'_>, hyper: &Adafactor) -> Vec<Dispatch> {
    if arena.states == WHOLE { vec![vector(arena, matrix, hyper)] } else { factored(arena, matrix, hyper) }
}

fn vector(arena: &Trained, matrix: &Matrix<'_>, hyper: &Adafactor) -> Dispatch {
    let piece = &matrix.pieces[0];
    let params = adafactor_vector::Params {
        count: (piece.bytes / 16) as u32,
        inverse: 1.0 / matrix.cols as f32,
        eps: EPSILON,
        threshold: THRESHOLD,
        weight_decay: arena.weight_decay(hyper.weight_decay),
        lr_scale: arena.lr_scale,
    };
    let bindings = adafactor_vector::Bindings {
        stats: stats(),
        gradient: matrix.gradient(0),
        parameter: matrix.weights(0),
        second_moment: matrix.state(0, 0),
    };
    adafactor_vector::dispatch(params, adafactor_vector::Constants::default(), bindings, [1, 1, 1])
}

fn factored(arena: &Trained, matrix: &Matrix<'_>, hyper: &Adafactor) -> Vec<Dispatch> {
    let stride = matrix.stride4();
    let pieces = 0..matrix.pieces.len();
    let rows = |piece: usize| matrix.pieces[piece].rows.len() as u32;
    let scratch = Bind { resource: Resource::Partials, offset: 0, size: ((SUMS + matrix.rows) * 4).next_multiple_of(16) as u64 };
    let columns = matrix.state(0, 1);
    let mut list = Vec::new();
    for piece in pieces.clone() {
        let params = adafactor_rows::Params { rows: rows(piece), stride, inverse: 1.0 / matrix.cols as f32, eps: EPSILON };
        let constants = adafactor_rows::Constants { LANES, ROWS };
        let bindings = adafactor_rows::Bindings { stats: stats(), gradient: matrix.gradient(piece), row_factor: matrix.state(piece, 0) };
        list.push(adafactor_rows::dispatch(params, constants, bindings, row_groups(rows(piece) as usize, ROWS)));
        let inverse = 1.0 / matrix.rows as f32;
        let params = adafactor_columns::Params { rows: rows(piece), stride, inverse, eps: EPSILON, first: u32::from(piece == 0) };
        let bindings = adafactor_columns::Bindings { stats: stats(), gradient: matrix.gradient(piece), column_factor: columns };
        let groups = workgroups((stride as usize).div_ceil(adafactor_columns::COLUMNS as usize));
        list.push(adafactor_columns::dispatch(params, adafactor_columns::Constants::default(), bindings, groups));
    }
    let sum = |params: adafactor_sum::Params, own: bool, numbers: Bind| {
        let constants = adafactor_sum::Constants { OWN: own, ..adafactor_sum::Constants::default() };
        adafactor_sum::dispatch(params, constants, adafactor_sum::Bindings { numbers, scratch }, [1, 1, 1])
    };
    for piece in pieces.clone() {
        let (count, accumulate) = (rows(piece), u32::from(piece > 0));
        let params = adafactor_sum::Params { count, from_index: 0, to: 0, accumulate, clipped: 0.0, threshold: THRESHOLD };
        list.push(sum(params, false, matrix.state(piece, 0)));
    }
    let all_rows = matrix.rows as f32;
    for piece in pieces.clone() {
        let first = (SUMS + matrix.pieces[piece].rows.start) as u32;
        let params = adafactor_squares::Params { rows: rows(piece), stride, all_rows, first };
        let constants = adafactor_squares::Constants { LANES, ROWS };
        let bindings = adafactor_squares::Bindings {
            stats: stats(),
            gradient: matrix.gradient(piece),
            row_factor: matrix.state(piece, 0),
            column_factor: columns,
            scratch,
        };
        list.push(adafactor_squares::dispatch(params, constants, bindings, row_groups(rows(piece) as usize, ROWS)));
    }
    let clipped = matrix.rows as f32 * matrix.cols as f32;
    let params =
        adafactor_sum::Params { count: matrix.rows as u32, from_index: SUMS as u32, to: 1, accumulate: 0, clipped, threshold: THRESHOLD };
    list.push(sum(params, true, columns));
    for piece in pieces {
        let count = rows(piece) * stride;
        let (weight_decay, lr_scale) = (arena.weight_decay(hyper.weight_decay), arena.lr_scale);
        let params = adafactor::Params { count, stride, all_rows, weight_decay, lr_scale };
        let constants = adafactor::Constants::default();
        let bindings = adafactor::Bindings {
            stats: stats(),
            gradient: matrix.gradient(piece),
            row_factor: matrix.state(piece, 0),
            column_factor: columns,
            scratch,
            parameter: matrix.weights(piece),
        };
        list.push(adafactor::dispatch(params, constants, bindings, workgroups((count as usize).div_ceil(constants.WORKGROUP as usize))));
    }
    list
}
