//! Muon (Jordan et al. 2024; Liu et al. 2025, arXiv 2502.16982) as LLaMA-Factory has it: of matrices in the layers the momentum, orthogonalised by five
//! steps of a Newton-Schulz iteration, in f32; AdamW for embeddings, the output head, norms and biases. Weight decay is of all parameters.

use super::{AdamW, Matrix, Trained, stats};
use crate::graph::{State, StateEncoding};
use crate::kernels::{Bind, Dispatch, Resource, muon, muon_direction, muon_normalise, muon_product, row_groups, workgroups};

/// Hyperparameters that do not change during a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Muon {
    /// For what is no matrix of a layer; its weight decay is that of all.
    pub adamw: AdamW,
}

/// The decay of the momentum.
const MOMENTUM: f32 = 0.95;
/// The coefficients of the iteration, and its steps.
const A: f32 = 3.4445;
const B: f32 = -4.7750;
const C: f32 = 2.0315;
const STEPS: usize = 5;

/// The momentum, by its name in LLaMA-Factory's implementation.
pub(super) const BUFFER: &[State] = &[State { name: "momentum_buffer", encoding: StateEncoding::F32 }];

const LANES: u32 = 64;
const ROWS: u32 = 4;

/// Where the matrices of the iteration lie in the scratch memory, in floats.
struct Scratch {
    sums: u32,
    /// The direction, and what becomes of it, in turn.
    x: [u32; 2],
    /// The product of the direction with itself, and the polynomial of it.
    square: u32,
    polynomial: u32,
    size: u64,
}

impl Scratch {
    /// Of a matrix whose product with itself has `small` rows.
    fn of(rows: usize, cols: usize, small: usize) -> Scratch {
        let count = rows * cols;
        let mut end = 0;
        let mut next = |floats: usize| {
            let start = end;
            end += floats.next_multiple_of(4);
            start as u32
        };
        let (sums, x, square, polynomial) = (next(rows), [next(count), next(count)], next(small * small), next(small * small));
        Scratch { sums, x, square, polynomial, size: end as u64 * 4 }
    }
}

/// The step of a matrix.
pub(super) fn dispatches(arena: &Trained, matrix: &Matrix<'_>, hyper: &Muon) -> Vec<Dispatch> {
    let (rows, cols) = (matrix.rows, matrix.cols.next_multiple_of(4));
    // Of a matrix with more rows than columns the reference takes the transposed one; the products here are turned instead.
    let tall = matrix.rows > matrix.cols;
    let small = if tall { cols } else { rows };
    let (stride, place) = (matrix.stride4(), Scratch::of(rows, cols, small));
    let scratch = Bind { resource: Resource::Partials, offset: 0, size: place.size };
    let mut list = Vec::new();
    for piece in 0..matrix.pieces.len() {
        let part = &matrix.pieces[piece].rows;
        let params = muon_direction::Params {
            rows: part.len() as u32,
            stride,
            beta: MOMENTUM,
            sums: place.sums + part.start as u32,
            direction: place.x[0] + (part.start * cols) as u32,
        };
        let bindings =
            muon_direction::Bindings { stats: stats(), gradient: matrix.gradient(piece), momentum: matrix.state(piece, 0), scratch };
        let constants = muon_direction::Constants { LANES, ROWS };
        list.push(muon_direction::dispatch(params, constants, bindings, row_groups(part.len(), ROWS)));
    }
    let params = muon_normalise::Params { rows: rows as u32, count: (rows * cols) as u32, sums: place.sums, matrix: place.x[0] };
    let constants = muon_normalise::Constants::default();
    let groups = workgroups((rows * cols / 4).div_ceil(constants.WORKGROUP as usize));
    list.push(muon_normalise::dispatch(params, constants, muon_normalise::Bindings { scratch }, groups));
    let product = |sizes: [usize; 3], [left, right]: [(u32, bool); 2], factor: f32, (added_factor, added): (f32, u32), to: u32| {
        let [m, n, k] = sizes.map(|size| size as u32);
        let params = muon_product::Params { m, n, k, left: left.0, right: right.0, added, to, factor, added_factor };
        let constants = muon_product::Constants { LEFT_TRANSPOSED: left.1, RIGHT_TRANSPOSED: right.1 };
        let groups = [n.div_ceil(muon_product::TILE), m.div_ceil(muon_product::TILE), 1];
        muon_product::dispatch(params, constants, muon_product::Bindings { scratch }, groups)
    };
    let [mut x, mut next] = place.x;
    for _ in 0..STEPS {
        list.push(match tall {
            false => product([small, small, cols], [(x, false), (x, true)], 1.0, (0.0, place.square), place.square),
            true => product([small, small, rows], [(x, true), (x, false)], 1.0, (0.0, place.square), place.square),
        });
        let squared = [(place.square, false); 2];
        list.push(product([small; 3], squared, C, (B, place.square), place.polynomial));
        list.push(match tall {
            false => product([rows, cols, small], [(place.polynomial, false), (x, false)], 1.0, (A, x), next),
            true => product([rows, cols, small], [(x, false), (place.polynomial, false)], 1.0, (A, x), next),
        });
        (x, next) = (next, x);
    }
    for piece in 0..matrix.pieces.len() {
        let part = &matrix.pieces[piece].rows;
        let params = muon::Params {
            count: part.len() as u32 * stride,
            direction: x + (part.start * cols) as u32,
            weight_decay: hyper.adamw.weight_decay as f32,
            lr_scale: arena.lr_scale,
            scale: 0.2 * (matrix.rows.max(matrix.cols) as f32).sqrt(),
        };
        let constants = muon::Constants::default();
        let bindings = muon::Bindings { stats: stats(), scratch, parameter: matrix.weights(piece) };
        let groups = workgroups((part.len() * stride as usize).div_ceil(constants.WORKGROUP as usize));
        list.push(muon::dispatch(params, constants, bindings, groups));
    }
    list
}
