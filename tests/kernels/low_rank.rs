//! Adapters on a linear map in all versions of the kernels: LoRA, DoRA, with dropout and bias, on weights of every type; and on an
//! embedding.

use rootstock::graph::WeightType;
use rootstock::kernels::{DeviceClass, StepValues};

use super::embedding::{VOCABULARY, batch};
use super::single::{Case, LowRankCase, Matrix, assert_close};
use super::{gpu, profiles, profiles_by_lanes};
use crate::reference::low_rank::Layer;
use crate::reference::{Random, linear, rms_norm};

/// Sums of up to 600 products, twice one after the other. Measured on lavapipe: 3e-6.
const TOLERANCE: f64 = 2e-5;

/// M, N, K, r: one token (the vector kernel), ranks that are no multiple of four, every tile cut.
const SHAPES: [(usize, usize, usize, usize); 5] = [(1, 70, 66, 3), (5, 7, 9, 1), (33, 65, 66, 8), (100, 130, 577, 5), (70, 64, 64, 33)];
const SCALE: f32 = 1.75;
const DROPOUT: f32 = 0.25;

fn identity(n: usize) -> Vec<f64> {
    (0..n * n).map(|i| f64::from(u8::from(i % (n + 1) == 0))).collect()
}

/// What the kernels keep of x, read off a layer whose low-rank part is the identity.
fn mask(m: usize, k: usize, step: StepValues) -> Vec<f64> {
    let gpu = gpu();
    let case = Case {
        tokens: m,
        inputs: vec![Matrix::new(k, vec![1.0; m * k])],
        weights: vec![Matrix::new(k, vec![0.0; k * k]), Matrix::new(k, identity(k)), Matrix::new(k, identity(k))],
        low_rank: Some(LowRankCase { adapted: &[true], scale: 1.0, dropout: DROPOUT, dora: false }),
        gradients: vec![Matrix::new(k, vec![0.0; m * k])],
        step,
        ..Case::default()
    };
    let out = case.run(&gpu, gpu.profile(), |g, x, w| vec![g.linear(x[0], w[0], None)]);
    out.outputs[0].iter().map(|v| if *v == 0.0 { 0.0 } else { 1.0 / (1.0 - f64::from(DROPOUT)) }).collect()
}

#[test]
fn adapted_linear_maps() {
    let gpu = gpu();
    let mut random = Random::new(81);
    let step = StepValues { seed: 7, ..StepValues::default() };
    for (shape, (m, n, k, rank)) in SHAPES.into_iter().enumerate() {
        let dropped = mask(m, k, step);
        for (dora, dropout, biased) in [(false, false, true), (false, true, false), (true, false, false), (true, true, true)] {
            // Eighths up to 2 are exact in every type.
            let w = random.vector(n * k).iter().map(|v| (v * 8.0).round().clamp(-16.0, 16.0) / 8.0).collect();
            let layer = Layer {
                k,
                rank,
                w,
                a: random.vector(rank * k),
                b: random.vector(n * rank),
                bias: biased.then(|| random.vector(n)),
                magnitude: dora.then(|| random.vector(n)),
                scale: f64::from(SCALE),
                mask: if dropout { dropped.clone() } else { vec![1.0; m * k] },
            };
            let (x, dy) = (random.vector(m * k), random.vector(m * n));
            let inverse = layer.inverse_norms();
            let (y, want) = (layer.forward(&x, &inverse), layer.backward(&dy, &x, &inverse));
            let mut weights = vec![Matrix::new(k, layer.w.clone()), Matrix::new(k, layer.a.clone()), Matrix::new(rank, layer.b.clone())];
            if let Some(magnitude) = &layer.magnitude {
                weights.push(Matrix::new(n, magnitude.clone()));
                weights.push(Matrix::new(n, vec![0.0; n]));
            }
            if let Some(bias) = &layer.bias {
                weights.push(Matrix::new(n, bias.clone()));
            }
            for profile in profiles(&gpu) {
                let weight_type = [WeightType::F32, WeightType::Bf16, WeightType::F16][shape % 3];
                let case = Case {
                    tokens: m,
                    inputs: vec![Matrix::new(k, x.clone())],
                    weights: weights.clone(),
                    frozen: Some(weight_type),
                    low_rank: Some(LowRankCase { adapted: &[true], scale: SCALE, dropout: if dropout { DROPOUT } else { 0.0 }, dora }),
                    gradients: vec![Matrix::new(n, dy.clone())],
                    step,
                    micro_steps: 2,
                    ..Case::default()
                };
                let out = case.run(&gpu, &profile, |g, x, w| vec![g.linear(x[0], w[0], biased.then(|| w[w.len() - 1]))]);
                let on = format!("{weight_type:?}, {:?} {:?}", profile.class, profile.subgroups);
                let what = format!("of ({m}, {n}, {k}), rank {rank}, dora {dora}, dropout {dropout}, on {on}");
                let twice = |v: &[f64]| v.iter().map(|v| 2.0 * v).collect::<Vec<_>>();
                assert_close(&format!("y {what}"), &out.outputs[0], &y, TOLERANCE);
                assert_close(&format!("dx {what}"), &out.inputs[0], &want.x, TOLERANCE);
                assert_close(&format!("dA {what}"), &out.weights[0], &twice(&want.a), TOLERANCE);
                assert_close(&format!("dB {what}"), &out.weights[1], &twice(&want.b), TOLERANCE);
                if let Some(magnitude) = &want.magnitude {
                    assert_close(&format!("dm {what}"), &out.weights[2], &twice(magnitude), TOLERANCE);
                }
            }
        }
    }
}

/// Query, key and value, of which the key's weight is not adapted: on GPUs one product, and one for all narrow ones of a kind.
#[test]
fn adapted_linear_maps_side_by_side() {
    let gpu = gpu();
    let mut random = Random::new(83);
    for (m, k, widths, ranks) in [(70, 64, [128, 64, 40], [8, 5]), (300, 128, [64, 64, 64], [4, 33]), (5, 64, [64, 64, 7], [3, 8])] {
        let x = random.vector(m * k);
        let dys = widths.map(|n| random.vector(m * n));
        let ranks = [Some(ranks[0]), None, Some(ranks[1])];
        let layers: Vec<Layer> = widths
            .iter()
            .zip(ranks)
            .map(|(&n, rank)| Layer {
                k,
                rank: rank.unwrap_or(1),
                w: random.vector(n * k).iter().map(|v| (v * 8.0).round().clamp(-16.0, 16.0) / 8.0).collect(),
                a: random.vector(rank.unwrap_or(1) * k),
                b: rank.map_or(vec![0.0; n], |rank| random.vector(n * rank)),
                bias: None,
                magnitude: None,
                scale: f64::from(SCALE),
                mask: vec![1.0; m * k],
            })
            .collect();
        let mut weights: Vec<Matrix> = layers.iter().map(|l| Matrix::new(k, l.w.clone())).collect();
        for (layer, _) in layers.iter().zip(ranks).filter(|(_, rank)| rank.is_some()) {
            weights.extend([Matrix::new(k, layer.a.clone()), Matrix::new(layer.rank, layer.b.clone())]);
        }
        let mut dx = vec![0.0; m * k];
        let (mut ys, mut factors) = (Vec::new(), Vec::new());
        for ((layer, dy), rank) in layers.iter().zip(&dys).zip(ranks) {
            let inverse = layer.inverse_norms();
            let want = layer.backward(dy, &x, &inverse);
            linear::add(&mut dx, &want.x);
            ys.push(layer.forward(&x, &inverse));
            if rank.is_some() {
                factors.extend([want.a, want.b]);
            }
        }
        for profile in profiles_by_lanes(&gpu) {
            let case = Case {
                tokens: m,
                inputs: vec![Matrix::new(k, x.clone())],
                weights: weights.clone(),
                frozen: Some(WeightType::Bf16),
                low_rank: Some(LowRankCase { adapted: &[true, false, true], scale: SCALE, dropout: 0.0, dora: false }),
                gradients: widths.iter().zip(&dys).map(|(n, dy)| Matrix::new(*n, dy.clone())).collect(),
                micro_steps: 2,
                ..Case::default()
            };
            let out = case.run(&gpu, &profile, |g, x, w| g.linears(x[0], &[(w[0], None), (w[1], None), (w[2], None)]));
            let what = format!("of ({m}, {widths:?}, {k}), ranks {ranks:?}, on {:?} {:?}", profile.class, profile.subgroups);
            for (i, y) in ys.iter().enumerate() {
                assert_close(&format!("y {i} {what}"), &out.outputs[i], y, TOLERANCE);
            }
            assert_close(&format!("dx {what}"), &out.inputs[0], &dx, TOLERANCE);
            for (i, factor) in factors.iter().enumerate() {
                let twice: Vec<f64> = factor.iter().map(|v| 2.0 * v).collect();
                assert_close(&format!("factor {i} {what}"), &out.weights[i], &twice, TOLERANCE);
            }
        }
    }
}

/// A norm after an adapted map: on GPUs it makes dy·B of the map along with its own gradient, where B is narrow enough.
#[test]
fn an_adapted_map_before_a_norm() {
    const EPS: f64 = 1e-5;
    let gpu = gpu();
    let mut random = Random::new(84);
    for (m, n, k, rank) in [(70, 577, 64, 8), (9, 65, 66, 3), (33, 1030, 33, 5), (40, 12, 30, 1), (20, 64, 64, 9)] {
        let eighths = |v: Vec<f64>| v.iter().map(|v| (v * 8.0).round().clamp(-16.0, 16.0) / 8.0).collect::<Vec<_>>();
        let layer = Layer {
            k,
            rank,
            w: eighths(random.vector(n * k)),
            a: random.vector(rank * k),
            b: random.vector(n * rank),
            bias: None,
            magnitude: None,
            scale: f64::from(SCALE),
            mask: vec![1.0; m * k],
        };
        let (x, dz, w) = (random.vector(m * k), random.vector(m * n), eighths(random.vector(n)));
        let inverse = layer.inverse_norms();
        let y = layer.forward(&x, &inverse);
        let (z, _) = rms_norm::forward(&y, &w, 0.0, EPS);
        let (dy, _) = rms_norm::backward(&dz, &y, &w, 0.0, EPS);
        let want = layer.backward(&dy, &x, &inverse);
        let factors = [Matrix::new(k, layer.a.clone()), Matrix::new(rank, layer.b.clone())];
        for profile in profiles_by_lanes(&gpu) {
            let case = Case {
                tokens: m,
                inputs: vec![Matrix::new(k, x.clone())],
                weights: [vec![Matrix::new(k, layer.w.clone()), Matrix::new(n, w.clone())], factors.to_vec()].concat(),
                frozen: Some(WeightType::F32),
                low_rank: Some(LowRankCase { adapted: &[true, false], scale: SCALE, dropout: 0.0, dora: false }),
                gradients: vec![Matrix::new(n, dz.clone())],
                ..Case::default()
            };
            let out = case.run(&gpu, &profile, |g, x, w| {
                let y = g.linear(x[0], w[0], None);
                vec![g.rms_norm(y, w[1], EPS as f32, 0.0)]
            });
            let what = format!("of ({m}, {n}, {k}), rank {rank}, on {:?} {:?}", profile.class, profile.subgroups);
            let along = out.kernels.iter().any(|kernel| kernel.starts_with("rms_norm_backward_input.narrow"));
            assert_eq!(along, profile.class == DeviceClass::Gpu && rank <= 8, "{what}");
            assert_close(&format!("z {what}"), &out.outputs[0], &z, TOLERANCE);
            assert_close(&format!("dx {what}"), &out.inputs[0], &want.x, TOLERANCE);
            assert_close(&format!("dA {what}"), &out.weights[0], &want.a, TOLERANCE);
            assert_close(&format!("dB {what}"), &out.weights[1], &want.b, TOLERANCE);
        }
    }
}

/// x[i] = W[id]·scale + s·scale·A[id]·Bᵀ with A (V, r) and B (H, r).
#[test]
fn adapted_embeddings() {
    let gpu = gpu();
    let mut random = Random::new(82);
    const EMBEDDING_SCALE: f32 = 3.0;
    for (tokens, cols, rank) in [(1, 5, 1), (70, 50, 3), (33, 64, 8)] {
        let ids: Vec<usize> = (0..tokens).map(|i| (i * i + 3) % (VOCABULARY - 1)).collect();
        let (batch, step) = batch(&ids, &vec![0; tokens]);
        let (w, a, b) = (random.vector(VOCABULARY * cols), random.vector(VOCABULARY * rank), random.vector(cols * rank));
        let dx = random.vector(tokens * cols);
        let factor = f64::from(SCALE) * f64::from(EMBEDDING_SCALE);
        let narrow: Vec<f64> = ids.iter().flat_map(|id| a[id * rank..(id + 1) * rank].iter().map(|v| v * factor)).collect();
        let mut x: Vec<f64> =
            ids.iter().flat_map(|id| w[id * cols..(id + 1) * cols].iter().map(|v| v * f64::from(EMBEDDING_SCALE))).collect();
        linear::add(&mut x, &linear::times_transposed(&narrow, &b, rank));
        let db = linear::transposed_times(&dx, &narrow, cols);
        let t = linear::times(&dx, &b, cols);
        let mut da = vec![0.0; VOCABULARY * rank];
        for (id, t) in ids.iter().zip(t.chunks(rank)) {
            da[id * rank..(id + 1) * rank].iter_mut().zip(t).for_each(|(da, t)| *da += t * factor);
        }
        for profile in profiles(&gpu) {
            let case = Case {
                tokens,
                weights: vec![Matrix::new(cols, w.clone()), Matrix::new(rank, a.clone()), Matrix::new(rank, b.clone())],
                frozen: Some(WeightType::F32),
                low_rank: Some(LowRankCase { adapted: &[true], scale: SCALE, dropout: 0.0, dora: false }),
                gradients: vec![Matrix::new(cols, dx.clone())],
                batch: batch.clone(),
                step,
                ..Case::default()
            };
            let out = case.run(&gpu, &profile, |g, _, w| vec![g.embedding(w[0], EMBEDDING_SCALE, None, None)]);
            assert_close("x", &out.outputs[0], &x, TOLERANCE);
            assert_close("dA", &out.weights[0], &da, TOLERANCE);
            assert_close("dB", &out.weights[1], &db, TOLERANCE);
        }
    }
}
