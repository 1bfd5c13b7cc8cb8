//! The three matrix products in all versions: tiles cut by every edge, weights of every type, a second product, matrices in pieces.

use std::rc::Rc;

use rootstock::gpu::{Gpu, Profile};
use rootstock::graph::{Emit, Graph, Op, ParamId, Piece, Shape, ValueId, WeightType};
use rootstock::kernels::{Bind, Family, GgmlType, Tuning, Version};
use rootstock::ops::matmul::{self, Operand, Product, Second};
use rootstock::quant::{BLOCK, DoubleScales, Packer, ggml, unpack_row};

use super::single::{Case, Matrix, assert_close};
use super::{gpu, profiles};
use crate::quant::ggml::random_blocks;
use crate::reference::{Random, linear};

/// Sums of up to 5000 products in f32, in units of the result's root mean square. Measured on lavapipe: 2e-6 and a little more at the longest.
const TOLERANCE: f64 = 1e-5;

/// M, N, K: single elements, every tile (16, 32, 64 and 8 x 8) cut, exactly filled and just exceeded, few rows (the vector
/// kernel), long contractions (cut into ranges).
const SHAPES: [(usize, usize, usize); 13] = [
    (1, 1, 1),
    (1, 130, 70),
    (1, 1000, 20),
    (3, 5, 7),
    (8, 64, 64),
    (9, 16, 12),
    (17, 30, 31),
    (33, 65, 66),
    (64, 128, 64),
    (255, 63, 129),
    (100, 577, 40),
    (20, 5000, 24),
    (1300, 40, 24),
];

/// What every kernel test runs on, and each way in which a GPU's tiles may be cut: the largest tiles, the middle ones, the smallest; one part
/// and several; with every loop that a tuning can choose. By default the shapes here get the smallest tiles and short parts.
fn cut_profiles(gpu: &Gpu) -> Vec<Profile> {
    profiles(gpu).into_iter().chain(cut_gpus(gpu)).collect()
}

/// The ways in which a GPU's tiles may be cut alone.
pub(super) fn cut_gpus(gpu: &Gpu) -> Vec<Profile> {
    let mut list = Vec::new();
    let as_gpu = |change: &dyn Fn(&mut Tuning)| {
        let mut profile = gpu.profile().clone().as_if(Family::UnknownGpu, None);
        change(&mut profile.tuning);
        profile
    };
    // 64 x 64 in one part.
    list.push(as_gpu(&|t| t.product_workgroups_least = 1));
    // 64 x 64 in parts as short as they get.
    list.push(as_gpu(&|t| {
        (t.product_unsplit, t.product_prefetch) = (0, true);
        (t.product_workgroups, t.product_workgroups_least, t.product_part) = (1 << 16, 30, 16);
    }));
    // 32 x 64 for the shapes with more than half so many workgroups.
    list.push(as_gpu(&|t| (t.product_workgroups_least, t.product_unroll) = (4, true)));
    list.push(as_gpu(&|t| (t.product_workgroups_least, t.product_steps, t.product_prefetch) = (1, 8, true)));
    list
}

#[test]
fn linear_with_trained_weights() {
    let gpu = gpu();
    let mut random = Random::new(21);
    for profile in cut_profiles(&gpu) {
        for shape in SHAPES {
            one_product(&gpu, &profile, &mut random, shape);
        }
    }
}

/// Few shapes and the small tiles only: Mesa needs seconds to compile a kernel of quads, and minutes for the largest tiles.
#[test]
fn products_by_quads() {
    let gpu = gpu();
    let mut random = Random::new(25);
    // A quad is four lanes of any subgroup.
    let mut profile = gpu.profile().clone().as_if(Family::OtherProcessor, gpu.profile().subgroups);
    (profile.tuning.products, profile.tuning.product_large) = (Version::Quads, usize::MAX);
    for shape in [(9, 14, 21), (45, 186, 186)] {
        one_product(&gpu, &profile, &mut random, shape);
    }
    two_products(&gpu, &profile, &mut random, (45, 186, 100, 6));
}

fn one_product(gpu: &Rc<Gpu>, profile: &Profile, random: &mut Random, (m, n, k): (usize, usize, usize)) {
    let (x, w, b, dy) = (random.vector(m * k), random.vector(n * k), random.vector(n), random.vector(m * n));
    let (dx, dw, db) = linear::backward(&dy, &x, &w, k);
    let twice = |v: &[f64]| v.iter().map(|v| 2.0 * v).collect::<Vec<_>>();
    for biased in [false, true] {
        let mut weights = vec![Matrix::new(k, w.clone())];
        if biased {
            weights.push(Matrix::new(n, b.clone()));
        }
        let case = Case {
            tokens: m,
            inputs: vec![Matrix::new(k, x.clone())],
            weights,
            gradients: vec![Matrix::new(n, dy.clone())],
            micro_steps: 2,
            ..Case::default()
        };
        let out = case.run(gpu, profile, |g, x, w| vec![g.linear(x[0], w[0], w.get(1).copied())]);
        let what = format!("of ({m}, {n}, {k}), bias {biased}, on {:?} {:?}", profile.class, profile.subgroups);
        assert_close(&format!("y {what}"), &out.outputs[0], &linear::forward(&x, &w, biased.then_some(&b), k), TOLERANCE);
        assert_close(&format!("dx {what}"), &out.inputs[0], &dx, TOLERANCE);
        // Two micro-steps: the second is added to the first.
        assert_close(&format!("dw {what}"), &out.weights[0], &twice(&dw), TOLERANCE);
        if biased {
            assert_close(&format!("db {what}"), &out.weights[1], &twice(&db), TOLERANCE);
        }
    }
}

/// Maps of one x whose weights (and biases) lie one below the other: on GPUs one product in each direction, split or not.
#[test]
fn linear_maps_side_by_side() {
    let gpu = gpu();
    let mut random = Random::new(24);
    for profile in cut_profiles(&gpu) {
        for (m, k, widths) in [(70, 64, vec![128, 64, 40]), (33, 100, vec![64, 192]), (600, 64, vec![64, 64, 64]), (40, 66, vec![60, 64])] {
            let x = random.vector(m * k);
            let ws: Vec<Vec<f64>> = widths.iter().map(|n| random.vector(n * k)).collect();
            let bs: Vec<Vec<f64>> = widths.iter().map(|n| random.vector(*n)).collect();
            let dys: Vec<Vec<f64>> = widths.iter().map(|n| random.vector(m * n)).collect();
            let twice = |v: &[f64]| v.iter().map(|v| 2.0 * v).collect::<Vec<_>>();
            for biased in [false, true] {
                let mut weights: Vec<Matrix> = ws.iter().map(|w| Matrix::new(k, w.clone())).collect();
                if biased {
                    weights.extend(widths.iter().zip(&bs).map(|(n, b)| Matrix::new(*n, b.clone())));
                }
                let case = Case {
                    tokens: m,
                    inputs: vec![Matrix::new(k, x.clone())],
                    weights,
                    gradients: widths.iter().zip(&dys).map(|(n, dy)| Matrix::new(*n, dy.clone())).collect(),
                    micro_steps: 2,
                    ..Case::default()
                };
                let count = widths.len();
                let out = case.run(&gpu, &profile, |g, x, w| {
                    let maps: Vec<_> = (0..count).map(|i| (w[i], biased.then(|| w[count + i]))).collect();
                    g.linears(x[0], &maps)
                });
                let what = format!("of ({m}, {widths:?}, {k}), bias {biased}, on {:?} {:?}", profile.class, profile.tuning);
                let mut dx = vec![0.0; m * k];
                for i in 0..count {
                    let (part, dw, db) = linear::backward(&dys[i], &x, &ws[i], k);
                    linear::add(&mut dx, &part);
                    let y = linear::forward(&x, &ws[i], biased.then_some(&bs[i]), k);
                    assert_close(&format!("y {i} {what}"), &out.outputs[i], &y, TOLERANCE);
                    assert_close(&format!("dw {i} {what}"), &out.weights[i], &twice(&dw), TOLERANCE);
                    if biased {
                        assert_close(&format!("db {i} {what}"), &out.weights[count + i], &twice(&db), TOLERANCE);
                    }
                }
                assert_close(&format!("dx {what}"), &out.inputs[0], &dx, TOLERANCE);
            }
        }
    }
}

#[test]
fn linear_with_frozen_half_precision_weights() {
    let gpu = gpu();
    let mut random = Random::new(22);
    for profile in profiles(&gpu) {
        for (m, n, k) in [(1, 66, 70), (1, 40, 33), (1, 900, 264), (5, 40, 33), (40, 66, 70), (70, 200, 130)] {
            for weight_type in [WeightType::Bf16, WeightType::F16] {
                let (x, dy) = (random.vector(m * k), random.vector(m * n));
                // Eighths up to 2 are exact in both types.
                let w: Vec<f64> = random.vector(n * k).iter().map(|v| (v * 8.0).round().clamp(-16.0, 16.0) / 8.0).collect();
                let case = Case {
                    tokens: m,
                    inputs: vec![Matrix::new(k, x.clone())],
                    weights: vec![Matrix::new(k, w.clone())],
                    frozen: Some(weight_type),
                    gradients: vec![Matrix::new(n, dy.clone())],
                    ..Case::default()
                };
                let out = case.run(&gpu, &profile, |g, x, w| vec![g.linear(x[0], w[0], None)]);
                let what = format!("of ({m}, {n}, {k}) with {weight_type:?} on {:?} {:?}", profile.class, profile.subgroups);
                assert_close(&format!("y {what}"), &out.outputs[0], &linear::forward(&x, &w, None, k), TOLERANCE);
                assert_close(&format!("dx {what}"), &out.inputs[0], &linear::backward(&dy, &x, &w, k).0, TOLERANCE);
            }
        }
    }
}

/// The types in blocks.
const PACKED: [WeightType; 5] = [
    WeightType::Nf4 { double: false },
    WeightType::Nf4 { double: true },
    WeightType::Fp4 { double: false },
    WeightType::Fp4 { double: true },
    WeightType::Int8,
];

#[test]
fn linear_with_frozen_weights_in_blocks() {
    let gpu = gpu();
    let mut random = Random::new(24);
    for profile in profiles(&gpu) {
        for (m, n, k) in [(1, 66, 64), (1, 900, 192), (5, 40, 128), (40, 66, 64), (70, 200, 192)] {
            for weight_type in PACKED {
                let (x, dy) = (random.vector(m * k), random.vector(m * n));
                let w = random.vector(n * k);
                let case = Case {
                    tokens: m,
                    inputs: vec![Matrix::new(k, x.clone())],
                    weights: vec![Matrix::new(k, w.clone())],
                    frozen: Some(weight_type),
                    gradients: vec![Matrix::new(n, dy.clone())],
                    ..Case::default()
                };
                let out = case.run(&gpu, &profile, |g, x, w| vec![g.linear(x[0], w[0], None)]);
                let w = decoded(weight_type, k, &w);
                let what = format!("of ({m}, {n}, {k}) with {weight_type:?} on {:?} {:?}", profile.class, profile.tuning);
                assert_close(&format!("y {what}"), &out.outputs[0], &linear::forward(&x, &w, None, k), TOLERANCE);
                assert_close(&format!("dx {what}"), &out.inputs[0], &linear::backward(&dy, &x, &w, k).0, TOLERANCE);
            }
        }
    }
}

/// Every code of a scale in 8 bits, decoded by each kernel: the numbers of the map to the bit. Nothing is added to them here, since a device may add in the same
/// instruction and then rounds once.
#[test]
fn scales_in_eight_bits_decode_to_the_bit() {
    let gpu = gpu();
    let (rows, blocks, weight_type) = (8, 32, WeightType::Nf4 { double: true });
    let k = blocks * BLOCK;
    let scales = DoubleScales { codes: (0..=255).collect(), groups: vec![0.37], offset: 0.0 };
    let (mut packed, mut values) = (Vec::new(), Vec::new());
    for first in (0..rows * blocks).step_by(blocks) {
        // Each number is the scale itself.
        scales.append_row(first, &scales.codes[first..first + blocks], &vec![0xff; k / 2], &mut packed);
    }
    packed.chunks(weight_type.row_bytes(k)).for_each(|row| unpack_row(weight_type, row, k, &mut values));
    for profile in profiles(&gpu) {
        for tokens in [blocks, 1] {
            // Token t takes the first number of block t.
            let mut x = vec![0.0; tokens * k];
            (0..tokens).for_each(|t| x[t * k + t * BLOCK] = 1.0);
            let case = Case {
                tokens,
                inputs: vec![Matrix::new(k, x)],
                weights: vec![Matrix { packed: Some(packed.clone()), ..Matrix::new(k, vec![0.0; rows * k]) }],
                frozen: Some(weight_type),
                gradients: vec![Matrix::new(rows, vec![0.0; tokens * rows])],
                ..Case::default()
            };
            let out = case.run(&gpu, &profile, |g, x, w| vec![g.linear(x[0], w[0], None)]);
            let wanted: Vec<f32> = (0..tokens * rows).map(|at| values[at % rows * k + at / rows * BLOCK]).collect();
            assert_eq!(out.outputs[0], wanted, "{tokens} tokens on {:?} {:?}", profile.class, profile.subgroups);
        }
    }
}

/// A matrix of random blocks of a GGUF file, with what they decode to.
pub(super) fn stored_blocks(random: &mut Random, blocks: GgmlType, rows: usize, cols: usize) -> Matrix {
    let file = random_blocks(random, blocks, rows * cols / blocks.block());
    let (mut packed, mut values) = (Vec::new(), Vec::new());
    for row in file.chunks(cols / blocks.block() * ggml::block_bytes(blocks)) {
        ggml::pack_row(blocks, row, &mut packed);
    }
    let weight_type = WeightType::Ggml(blocks);
    packed.chunks(weight_type.row_bytes(cols)).for_each(|row| unpack_row(weight_type, row, cols, &mut values));
    Matrix { packed: Some(packed), ..Matrix::new(cols, values.into_iter().map(f64::from).collect()) }
}

#[test]
fn linear_with_frozen_weights_in_blocks_of_gguf_files() {
    let gpu = gpu();
    let mut random = Random::new(26);
    for profile in profiles(&gpu) {
        for blocks in GgmlType::ALL {
            // Of 32 numbers also an odd number of blocks.
            let width = blocks.block();
            for (m, n, k) in [(1, 66, width), (1, 900, 3 * width), (5, 40, 256), (40, 66, 3 * width), (70, 200, 256)] {
                let (x, dy) = (random.vector(m * k), random.vector(m * n));
                let w = stored_blocks(&mut random, blocks, n, k);
                let case = Case {
                    tokens: m,
                    inputs: vec![Matrix::new(k, x.clone())],
                    weights: vec![w.clone()],
                    frozen: Some(WeightType::Ggml(blocks)),
                    gradients: vec![Matrix::new(n, dy.clone())],
                    ..Case::default()
                };
                let out = case.run(&gpu, &profile, |g, x, w| vec![g.linear(x[0], w[0], None)]);
                let what = format!("of ({m}, {n}, {k}) with {} on {:?} {:?}", blocks.name(), profile.class, profile.tuning);
                assert_close(&format!("y {what}"), &out.outputs[0], &linear::forward(&x, &w.data, None, k), TOLERANCE);
                assert_close(&format!("dx {what}"), &out.inputs[0], &linear::backward(&dy, &x, &w.data, k).0, TOLERANCE);
            }
        }
    }
}

/// What a matrix of `cols` columns is after it was packed.
pub(super) fn decoded(weight_type: WeightType, cols: usize, w: &[f64]) -> Vec<f64> {
    let mut packer = Packer::new(weight_type, w.len() / cols, cols);
    packer.push(&w.iter().map(|v| *v as f32).collect::<Vec<_>>());
    let mut values = Vec::new();
    packer.finish().chunks(weight_type.row_bytes(cols)).for_each(|row| unpack_row(weight_type, row, cols, &mut values));
    values.into_iter().map(f64::from).collect()
}

/// y = x·Wᵀ + s·Bᵀ, and backwards dx = dy·W + s·A: the second products of a LoRA layer, with W in pieces as a large matrix is.
#[derive(Debug)]
pub(super) struct TwoProducts {
    /// W (N, K), B (N, r), A (r, K).
    pub(super) weights: [ParamId; 3],
    /// Row at which W is cut in two.
    pub(super) cut: usize,
}

impl TwoProducts {
    fn pieces(&self, e: &Emit<'_>) -> [Piece; 2] {
        let whole = e.piece(self.weights[0]);
        let row = u64::from(e.param(self.weights[0]).shape.stride4()) * 16;
        let part =
            |bind: Bind, first: usize, rows: usize| Bind { offset: bind.offset + first as u64 * row, size: rows as u64 * row, ..bind };
        [(0, self.cut), (self.cut, whole.rows - self.cut)].map(|(first_row, rows)| Piece {
            first_row,
            rows,
            weight: part(whole.weight, first_row, rows),
            gradient: whole.gradient.map(|g| part(g, first_row, rows)),
        })
    }

    fn second(&self, e: &Emit<'_>, s: ValueId, weight: Bind, shape: Shape) -> Second {
        Second { x: Operand::value(e, s), weight, stride4: shape.stride4(), rank: e.shape(s).cols }
    }
}

impl Op for TwoProducts {
    fn name(&self) -> &'static str {
        "two_products"
    }

    fn params(&self) -> Vec<ParamId> {
        self.weights.to_vec()
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        let b = self.weights[1];
        let shape = e.param(b).shape;
        for piece in self.pieces(e) {
            let whole = e.piece(b).weight;
            let before = piece.first_row as u64 * u64::from(shape.stride4()) * 16;
            let rows = Bind { offset: whole.offset + before, size: whole.size - before, ..whole };
            let second = self.second(e, x[1], rows, shape);
            let y = Operand::value(e, y[0]).columns_from(piece.first_row);
            let (x, product) = (Operand::value(e, x[0]), Product { second: Some(second), ..Product::default() });
            for dispatch in matmul::forward(e, x, self.weights[0], &piece, product, y) {
                e.run(dispatch);
            }
        }
        Vec::new()
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId], _saved: &[ValueId]) {
        let dy = e.grad(y[0]).expect("the test seeds it");
        let dy = Operand::value(e, dy);
        let target = e.grad_target(x[0]).expect("inputs are trained");
        let dx = Operand::value(e, target.value);
        let a = self.weights[2];
        let second = self.second(e, x[1], e.piece(a).weight, e.param(a).shape);
        let mode = e.gradient_mode(self.weights[0]);
        for (i, piece) in self.pieces(e).into_iter().enumerate() {
            let second = (i == 0).then_some(second);
            let dy = dy.columns_from(piece.first_row);
            for dispatch in matmul::backward_input(
                e,
                dy,
                self.weights[0],
                &piece,
                Product { second, accumulate: target.accumulate || i > 0, ..Product::default() },
                dx,
            ) {
                e.run(dispatch);
            }
            let (k, dw) = (e.param(self.weights[0]).shape.cols, piece.gradient.expect("weights are trained"));
            for dispatch in matmul::backward_weight(e, dy, Operand::value(e, x[0]), piece.rows, k, dw, mode) {
                e.run(dispatch);
            }
        }
        for p in &self.weights[1..] {
            e.zero_gradient(*p);
        }
    }
}

#[test]
fn second_products_and_weights_in_pieces() {
    let gpu = gpu();
    let mut random = Random::new(23);
    for profile in cut_profiles(&gpu) {
        // K = 64 and 100 floats: with the cut at 64 rows, each piece starts at a multiple of 256 bytes.
        for (m, n, k, r) in [(1, 70, 64, 8), (4, 200, 100, 5), (21, 70, 64, 3), (70, 133, 100, 16), (40, 2600, 64, 33)] {
            two_products(&gpu, &profile, &mut random, (m, n, k, r));
        }
    }
}

fn two_products(gpu: &Rc<Gpu>, profile: &Profile, random: &mut Random, (m, n, k, r): (usize, usize, usize, usize)) {
    let (x, s, dy) = (random.vector(m * k), random.vector(m * r), random.vector(m * n));
    let (w, b, a) = (random.vector(n * k), random.vector(n * r), random.vector(r * k));
    let case = Case {
        tokens: m,
        inputs: vec![Matrix::new(k, x.clone()), Matrix::new(r, s.clone())],
        weights: vec![Matrix::new(k, w.clone()), Matrix::new(r, b.clone()), Matrix::new(k, a.clone())],
        gradients: vec![Matrix::new(n, dy.clone())],
        ..Case::default()
    };
    let out = case.run(gpu, profile, |g: &mut Graph, x, w| {
        let op = TwoProducts { weights: [w[0], w[1], w[2]], cut: 64 };
        vec![g.push_one(op, x, Shape { rows: m, cols: n })]
    });
    let what = format!("of ({m}, {n}, {k}) and rank {r} on {:?} {:?}", profile.class, profile.subgroups);
    let mut y = linear::forward(&x, &w, None, k);
    linear::add(&mut y, &linear::times_transposed(&s, &b, r));
    let (mut dx, dw, _) = linear::backward(&dy, &x, &w, k);
    linear::add(&mut dx, &linear::times(&s, &a, r));
    assert_close(&format!("y {what}"), &out.outputs[0], &y, TOLERANCE);
    assert_close(&format!("dx {what}"), &out.inputs[0], &dx, TOLERANCE);
    assert_close(&format!("dw {what}"), &out.weights[0], &dw, TOLERANCE);
}
