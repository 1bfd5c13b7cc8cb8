//! Muon (Jordan et al. 2024; Liu et al. 2025, arXiv 2502.16982) as LLaMA-Factory has it: of matrices in the layers the momentum, orthogonalised by a few
//! steps of a Newton-Schulz iteration, in f32; AdamW for embeddings, the output head, norms and biases. Weight decay is of all parameters.

use super::alike::Alike;
use super::{AdamW, Trained, stats};
use crate::graph::{State, StateEncoding};
use crate::kernels::{Bind, Dispatch, Resource, Tuning, muon, muon_direction, muon_normalise, muon_product, row_groups, workgroups};

/// Hyperparameters that do not change during a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Muon {
    /// For what is no matrix of a layer; its weight decay is that of all.
    pub adamw: AdamW,
    /// The decay of the momentum.
    pub momentum: f64,
    /// Whether the direction is a step ahead of the momentum (Nesterov), rather than the momentum itself.
    pub nesterov: bool,
    /// Steps of the iteration.
    pub steps: usize,
}

impl Muon {
    /// With LLaMA-Factory's defaults.
    pub fn new(adamw: AdamW) -> Muon {
        Muon { adamw, momentum: 0.95, nesterov: true, steps: 5 }
    }
}

/// The coefficients of the iteration.
const A: f32 = 3.4445;
const B: f32 = -4.7750;
const C: f32 = 2.0315;

/// The momentum, by its name in LLaMA-Factory's implementation.
pub(super) const BUFFER: &[State] = &[State { name: "momentum_buffer", encoding: StateEncoding::F32 }];

const LANES: u32 = 64;
const ROWS: u32 = 4;

/// Of a matrix with more rows than columns the reference takes the transposed one; the products here are turned instead.
fn is_tall(matrices: &Alike<'_>) -> bool {
    matrices.rows > matrices.cols
}

/// Rows of the product of a matrix with itself.
fn small(matrices: &Alike<'_>) -> usize {
    if is_tall(matrices) { matrices.cols.next_multiple_of(4) } else { matrices.rows }
}

/// Most bytes of the scratch memory, but for a single matrix that takes more.
const SCRATCH_BYTES: usize = 64 << 20;

/// Where the matrices of the iteration lie in the scratch memory of one matrix, in floats.
struct Scratch {
    sums: u32,
    /// The direction, and what becomes of it, in turn.
    x: [u32; 2],
    /// The product of the direction with itself, and the polynomial of it.
    square: u32,
    polynomial: u32,
    /// All of it: from one matrix's to the next's.
    apart: usize,
}

impl Scratch {
    fn of(matrices: &Alike<'_>) -> Scratch {
        let (rows, count, small) = (matrices.rows, matrices.rows * matrices.cols.next_multiple_of(4), small(matrices));
        let mut end = 0;
        let mut next = |floats: usize| {
            let start = end;
            end += floats.next_multiple_of(4);
            start as u32
        };
        let (sums, x, square, polynomial) = (next(rows), [next(count), next(count)], next(small * small), next(small * small));
        Scratch { sums, x, square, polynomial, apart: end }
    }
}

/// The step of some matrices: of as many at a time as make workgroups enough in every product, as far as the scratch memory reaches.
pub(super) fn dispatches(arena: &Trained, matrices: &Alike<'_>, hyper: &Muon, tuning: &Tuning) -> Vec<Dispatch> {
    let tiles = small(matrices).div_ceil(muon_product::TILE as usize).pow(2);
    let count = tuning.product_workgroups.div_ceil(tiles).min(SCRATCH_BYTES / (4 * Scratch::of(matrices).apart));
    matrices.at_most(count).flat_map(|some| step(arena, &some, hyper)).collect()
}

fn step(arena: &Trained, matrices: &Alike<'_>, hyper: &Muon) -> Vec<Dispatch> {
    let (rows, cols) = (matrices.rows, matrices.cols.next_multiple_of(4));
    let (tall, small) = (is_tall(matrices), small(matrices));
    let (stride, place) = (matrices.stride4(), Scratch::of(matrices));
    let (count, apart, scratch_apart) = (matrices.count(), matrices.apart(), place.apart as u32);
    // A grid for one matrix, for all of them.
    let for_all = |[x, y, _]: [u32; 3]| [x, y, count];
    let scratch = Bind { resource: Resource::Partials, offset: 0, size: (count as usize * place.apart * 4) as u64 };
    let mut list = Vec::new();
    let beta = hyper.momentum as f32;
    let (of_gradient, of_momentum) = if hyper.nesterov { (1.0, beta) } else { (0.0, 1.0) };
    for (piece, part) in matrices.pieces().iter().map(|piece| &piece.rows).enumerate() {
        let params = muon_direction::Params {
            rows: part.len() as u32,
            stride,
            beta,
            of_gradient,
            of_momentum,
            sums: place.sums + part.start as u32,
            direction: place.x[0] + (part.start * cols) as u32,
            apart,
            scratch_apart,
        };
        let bindings =
            muon_direction::Bindings { stats: stats(), gradient: matrices.gradient(piece), momentum: matrices.state(piece, 0), scratch };
        let constants = muon_direction::Constants { LANES, ROWS };
        list.push(muon_direction::dispatch(params, constants, bindings, for_all(row_groups(part.len(), ROWS))));
    }
    let params =
        muon_normalise::Params { rows: rows as u32, count: (rows * cols) as u32, sums: place.sums, matrix: place.x[0], scratch_apart };
    let constants = muon_normalise::Constants::default();
    let groups = workgroups((rows * cols / 4).div_ceil(constants.WORKGROUP as usize));
    list.push(muon_normalise::dispatch(params, constants, muon_normalise::Bindings { scratch }, for_all(groups)));
    let product = |sizes: [usize; 3], [left, right]: [(u32, bool); 2], factor: f32, (added_factor, added): (f32, u32), to: u32| {
        let [m, n, k] = sizes.map(|size| size as u32);
        let params = muon_product::Params { m, n, k, left: left.0, right: right.0, added, to, factor, added_factor, scratch_apart };
        let constants = muon_product::Constants { LEFT_TRANSPOSED: left.1, RIGHT_TRANSPOSED: right.1 };
        let groups = [n.div_ceil(muon_product::TILE), m.div_ceil(muon_product::TILE), count];
        muon_product::dispatch(params, constants, muon_product::Bindings { scratch }, groups)
    };
    let [mut x, mut next] = place.x;
    for _ in 0..hyper.steps {
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
    for (piece, part) in matrices.pieces().iter().map(|piece| &piece.rows).enumerate() {
        let params = muon::Params {
            count: part.len() as u32 * stride,
            direction: x + (part.start * cols) as u32,
            weight_decay: hyper.adamw.weight_decay as f32,
            lr_scale: arena.lr_scale,
            scale: 0.2 * (matrices.rows.max(matrices.cols) as f32).sqrt(),
            apart,
            scratch_apart,
        };
        let constants = muon::Constants::default();
        let bindings = muon::Bindings { stats: stats(), scratch, parameter: matrices.weights(piece) };
        let groups = workgroups((part.len() * stride as usize).div_ceil(constants.WORKGROUP as usize));
        list.push(muon::dispatch(params, constants, bindings, for_all(groups)));
    }
    list
}
