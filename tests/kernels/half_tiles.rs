//! Products whose tiles are in f16: the twins round what goes into a tile and sum in f64, so that what is left is what f32 loses in sums.

use rootstock::gpu::{Gpu, Profile};
use rootstock::graph::{Graph, Shape, WeightType};
use rootstock::kernels::{Activation, Half, StepValues};

use super::gpu;
use super::matmul::{TwoProducts, cut_gpus, decoded};
use super::single::{Case, Matrix, assert_close};
use crate::reference::{Random, activation, linear};

/// As for products in f32 (matmul.rs): products of two halves are exact in f32.
const TOLERANCE: f64 = 1e-5;

/// Where what is rounded was itself summed in f32, a few numbers are rounded the other way: by 2^-11 of themselves.
const ROUNDED: f64 = 1e-3;

/// M, N, K, more rows than the vector kernel takes: every tile cut by its edges, exactly filled and just exceeded, long contractions.
const SHAPES: [(usize, usize, usize); 7] =
    [(9, 16, 12), (17, 30, 31), (33, 65, 66), (64, 128, 64), (100, 577, 40), (20, 5000, 24), (1300, 40, 24)];

/// Targets over which a loss is averaged: one, and so many that its gradients would vanish in f16.
const TARGETS: [u32; 2] = [1, 100_000];

/// Each way in which tiles are cut, in f16.
fn half_profiles(gpu: &Gpu) -> Vec<Profile> {
    assert!(gpu.profile().shader_f16, "the driver of the tests computes in f16");
    let mut list = cut_gpus(gpu);
    list.iter_mut().for_each(|profile| profile.tuning.product_half = true);
    list
}

/// Numbers as a tile holds them.
fn rounded(x: &[f64]) -> Vec<f64> {
    x.iter().map(|v| half::f16::from_f32(*v as f32).to_f64()).collect()
}

/// Gradients as a tile holds them, for the mean over so many targets: 16 times as large as if there were one, but for less than a factor of two.
fn rounded_gradients(dy: &[f64], targets: u32) -> Vec<f64> {
    let scale = 16.0 * f64::from(targets.next_power_of_two());
    let scaled: Vec<f64> = dy.iter().map(|v| v * scale).collect();
    rounded(&scaled).iter().map(|v| v / scale).collect()
}

/// Gradients of a mean: the more targets the smaller.
fn gradients(random: &mut Random, n: usize, targets: u32) -> Vec<f64> {
    random.vector(n).iter().map(|v| f64::from((v / f64::from(targets)) as f32)).collect()
}

fn step(targets: u32) -> StepValues {
    StepValues { loss_scale: 1.0 / targets as f32, ..StepValues::default() }
}

fn assert_half(what: &str, kernels: &[&str], name: &str) {
    let products: Vec<&&str> = kernels.iter().filter(|kernel| kernel.contains("linear_") && kernel.contains(name)).collect();
    assert!(!products.is_empty() && products.iter().all(|kernel| kernel.ends_with(".tile_f16")), "{what}: {kernels:?}");
}

#[test]
fn products_of_halves_are_summed_in_f32() {
    let gpu = gpu();
    let mut random = Random::new(71);
    for profile in half_profiles(&gpu) {
        for (m, n, k) in SHAPES {
            for targets in TARGETS {
                let (x, w, dy) = (random.vector(m * k), random.vector(n * k), gradients(&mut random, m * n, targets));
                let case = Case {
                    tokens: m,
                    inputs: vec![Matrix::new(k, x.clone())],
                    weights: vec![Matrix::new(k, w.clone())],
                    gradients: vec![Matrix::new(n, dy.clone())],
                    kept: Some(Half::F16),
                    step: step(targets),
                    micro_steps: 2,
                    ..Case::default()
                };
                let out = case.run(&gpu, &profile, |g, x, w| vec![g.linear(x[0], w[0], None)]);
                let what = format!("of ({m}, {n}, {k}), {targets} targets, on {:?}", profile.tuning);
                assert_half(&what, &out.kernels, ".tiled");
                let (x, w, dy) = (rounded(&x), rounded(&w), rounded_gradients(&dy, targets));
                let (dx, dw, _) = linear::backward(&dy, &x, &w, k);
                assert_close(&format!("y {what}"), &out.outputs[0], &linear::forward(&x, &w, None, k), TOLERANCE);
                assert_close(&format!("dx {what}"), &out.inputs[0], &dx, TOLERANCE);
                let twice: Vec<f64> = dw.iter().map(|v| 2.0 * v).collect();
                assert_close(&format!("dw {what}"), &out.weights[0], &twice, TOLERANCE);
            }
        }
    }
}

#[test]
fn frozen_weights_are_decoded_into_halves() {
    let gpu = gpu();
    let mut random = Random::new(72);
    let (m, n, k) = (70, 200, 192);
    for profile in half_profiles(&gpu) {
        for weight_type in [WeightType::Bf16, WeightType::F16, WeightType::Nf4 { double: true }, WeightType::Int8] {
            let (x, dy) = (random.vector(m * k), gradients(&mut random, m * n, 1000));
            let w: Vec<f64> = random.vector(n * k).iter().map(|v| (v * 8.0).round().clamp(-16.0, 16.0) / 8.0).collect();
            let case = Case {
                tokens: m,
                inputs: vec![Matrix::new(k, x.clone())],
                weights: vec![Matrix::new(k, w.clone())],
                frozen: Some(weight_type),
                gradients: vec![Matrix::new(n, dy.clone())],
                kept: Some(Half::F16),
                step: step(1000),
                ..Case::default()
            };
            let out = case.run(&gpu, &profile, |g, x, w| vec![g.linear(x[0], w[0], None)]);
            let w = rounded(&if weight_type.is_packed() { decoded(weight_type, k, &w) } else { w });
            let what = format!("with {weight_type:?} on {:?}", profile.tuning);
            assert_half(&what, &out.kernels, ".tiled");
            assert_close(&format!("y {what}"), &out.outputs[0], &linear::forward(&rounded(&x), &w, None, k), TOLERANCE);
            let dx = linear::backward(&rounded_gradients(&dy, 1000), &x, &w, k).0;
            assert_close(&format!("dx {what}"), &out.inputs[0], &dx, TOLERANCE);
        }
    }
}

#[test]
fn second_products_are_of_halves_too() {
    let gpu = gpu();
    let mut random = Random::new(73);
    for profile in half_profiles(&gpu) {
        for (m, n, k, r) in [(21, 70, 64, 3), (70, 133, 100, 16), (40, 2600, 64, 33)] {
            let targets = 300;
            let (x, s, dy) = (random.vector(m * k), random.vector(m * r), gradients(&mut random, m * n, targets));
            let (w, b, a) = (random.vector(n * k), random.vector(n * r), random.vector(r * k));
            let case = Case {
                tokens: m,
                inputs: vec![Matrix::new(k, x.clone()), Matrix::new(r, s.clone())],
                weights: vec![Matrix::new(k, w.clone()), Matrix::new(r, b.clone()), Matrix::new(k, a.clone())],
                gradients: vec![Matrix::new(n, dy.clone())],
                kept: Some(Half::F16),
                step: step(targets),
                ..Case::default()
            };
            let out = case.run(&gpu, &profile, |g: &mut Graph, x, w| {
                let op = TwoProducts { weights: [w[0], w[1], w[2]], cut: 64 };
                vec![g.push_one(op, x, Shape { rows: m, cols: n })]
            });
            let what = format!("of ({m}, {n}, {k}) and rank {r} on {:?}", profile.tuning);
            let (x, w, b, a) = (rounded(&x), rounded(&w), rounded(&b), rounded(&a));
            let mut y = linear::forward(&x, &w, None, k);
            linear::add(&mut y, &linear::times_transposed(&rounded(&s), &b, r));
            let (mut dx, dw, _) = linear::backward(&rounded_gradients(&dy, targets), &x, &w, k);
            // Backwards the second factor is a gradient: here one of a single target's size, though s was kept in f16 before.
            linear::add(&mut dx, &linear::times(&rounded_gradients(&rounded(&s), targets), &a, r));
            assert_close(&format!("y {what}"), &out.outputs[0], &y, TOLERANCE);
            assert_close(&format!("dx {what}"), &out.inputs[0], &dx, TOLERANCE);
            assert_close(&format!("dw {what}"), &out.weights[0], &dw, TOLERANCE);
        }
    }
}

/// A gated MLP whose middle is made within the products around it.
#[test]
fn gated_products_of_halves() {
    let gpu = gpu();
    let mut random = Random::new(74);
    let (kind, twin) = (Activation::Silu, activation::Activation::Silu);
    for (tokens, k, f, least) in [(70, 40, 64, 1), (300, 67, 192, 40)] {
        let targets = 500;
        let (x, dy) = (random.vector(tokens * k), gradients(&mut random, tokens * k, targets));
        let [wg, wu, wd] = [f * k, f * k, k * f].map(|n| random.vector(n).iter().map(|v| v / 4.0).collect::<Vec<f64>>());
        let case = Case {
            tokens,
            inputs: vec![Matrix::new(k, x.clone())],
            weights: vec![Matrix::new(k, wg.clone()), Matrix::new(k, wu.clone()), Matrix::new(f, wd.clone())],
            gradients: vec![Matrix::new(k, dy.clone())],
            kept: Some(Half::F16),
            step: step(targets),
            ..Case::default()
        };
        for mut profile in half_profiles(&gpu).into_iter().take(1) {
            profile.tuning.product_workgroups_least = least;
            let out = case.run(&gpu, &profile, |g, x, w| {
                let both = g.linears(x[0], &[(w[0], None), (w[1], None)]);
                let h = g.gated(both[0], both[1], kind);
                vec![g.linear(h, w[2], None)]
            });
            let what = format!("{tokens} tokens, {k} and {f} columns");
            assert_half(&what, &out.kernels, "gated_linear_forward.tiled");
            assert_half(&what, &out.kernels, "gated_linear_backward_input.tiled");
            let (x, wg, wu, wd) = (rounded(&x), rounded(&wg), rounded(&wu), rounded(&wd));
            let (gate, up) = (linear::forward(&x, &wg, None, k), linear::forward(&x, &wu, None, k));
            let h = rounded(&activation::gated_forward(twin, &gate, &up));
            let dy = rounded_gradients(&dy, targets);
            let (dh, dwd, _) = linear::backward(&dy, &h, &wd, f);
            // What the backward pass reads of both waited in f16.
            let (dgate, dup) = activation::gated_backward(twin, &dh, &rounded(&gate), &rounded(&up));
            let (dgate, dup) = (rounded_gradients(&dgate, targets), rounded_gradients(&dup, targets));
            let (mut dx, dwg, _) = linear::backward(&dgate, &x, &wg, k);
            let (more, dwu, _) = linear::backward(&dup, &x, &wu, k);
            linear::add(&mut dx, &more);
            assert_close(&format!("y, {what}"), &out.outputs[0], &linear::forward(&h, &wd, None, f), ROUNDED);
            assert_close(&format!("dx, {what}"), &out.inputs[0], &dx, ROUNDED);
            for (name, got, want) in [("gate", 0, dwg), ("up", 1, dwu), ("down", 2, dwd)] {
                assert_close(&format!("dW of {name}, {what}"), &out.weights[got], &want, ROUNDED);
            }
        }
    }
}
