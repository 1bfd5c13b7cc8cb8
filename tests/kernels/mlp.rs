//! Activations, gated and plain, far out on both sides too.

use rootstock::graph::WeightType;
use rootstock::kernels::{Activation, Family};

use super::single::{Case, LowRankCase, Matrix, assert_close};
use super::{error, gpu, profiles};
use crate::reference::low_rank::Layer;
use crate::reference::{Random, activation, linear};

/// exp and tanh of lavapipe are good to a few units in the last place; erf by a fit of 1.2e-7. Measured: up to 3e-6 (tanh-GELU's derivative).
const TOLERANCE: f64 = 1e-5;

const KINDS: [(Activation, activation::Activation); 4] = [
    (Activation::Silu, activation::Activation::Silu),
    (Activation::GeluTanh, activation::Activation::GeluTanh),
    (Activation::Gelu, activation::Activation::Gelu),
    (Activation::Relu, activation::Activation::Relu),
];

/// Tokens and columns: one vec4 with padding, and more than a workgroup.
const SHAPES: [(usize, usize); 3] = [(5, 3), (7, 307), (1, 1)];

/// Numbers around zero, and some that overflow a careless exp.
fn numbers(random: &mut Random, n: usize) -> Vec<f64> {
    let mut x: Vec<f64> = random.vector(n).iter().map(|v| v * 4.0).collect();
    for (to, far) in x.iter_mut().zip([-1e4, 100.0, -100.0, 0.0, 20.0, -20.0, 88.8, -88.8, 1e4]) {
        *to = f64::from(far as f32);
    }
    x
}

#[test]
fn gated() {
    let gpu = gpu();
    let mut random = Random::new(31);
    for profile in profiles(&gpu) {
        for (tokens, cols) in SHAPES {
            for (kind, twin) in KINDS {
                let (gate, up, dh) = (numbers(&mut random, tokens * cols), random.vector(tokens * cols), random.vector(tokens * cols));
                let case = Case {
                    tokens,
                    inputs: vec![Matrix::new(cols, gate.clone()), Matrix::new(cols, up.clone())],
                    gradients: vec![Matrix::new(cols, dh.clone())],
                    ..Case::default()
                };
                let out = case.run(&gpu, &profile, |g, x, _| vec![g.gated(x[0], x[1], kind)]);
                let (dgate, dup) = activation::gated_backward(twin, &dh, &gate, &up);
                assert_near(&format!("h {kind:?}"), &out.outputs[0], &activation::gated_forward(twin, &gate, &up), &gate);
                assert_near(&format!("dgate {kind:?}"), &out.inputs[0], &dgate, &up);
                assert_near(&format!("dup {kind:?}"), &out.inputs[1], &dup, &gate);
            }
        }
    }
}

/// A gated MLP on GPUs: gate, up and what becomes of them are made by one product, both their gradients by another. With and without adapters (of two
/// ranks) and biases, in tiles of both sizes that have columns of both.
#[test]
fn gated_within_its_products() {
    const SCALE: f32 = 1.75;
    let gpu = gpu();
    let mut random = Random::new(33);
    for (tokens, k, f, least) in [(70, 40, 64, 1), (300, 67, 192, 40), (33, 64, 128, 1)] {
        for (lora, biased) in [(false, true), (true, false), (true, true)] {
            let mut layer = |n: usize, k: usize, rank: usize, biased: bool| Layer {
                k,
                rank,
                w: random.vector(n * k).iter().map(|v| (v * 4.0).round().clamp(-16.0, 16.0) / 16.0).collect(),
                a: random.vector(rank * k),
                b: if lora { random.vector(n * rank).iter().map(|v| v / 8.0).collect() } else { vec![0.0; n * rank] },
                bias: biased.then(|| random.vector(n)),
                magnitude: None,
                scale: f64::from(SCALE),
                mask: vec![1.0; tokens * k],
            };
            let layers = [layer(f, k, 8, biased), layer(f, k, 5, biased), layer(k, f, 3, false)];
            let (x, dy) = (random.vector(tokens * k), random.vector(tokens * k));
            let inverse = layers.each_ref().map(Layer::inverse_norms);
            let (gate, up) = (layers[0].forward(&x, &inverse[0]), layers[1].forward(&x, &inverse[1]));
            for (kind, twin) in [KINDS[0], KINDS[1]] {
                let h = activation::gated_forward(twin, &gate, &up);
                let y = layers[2].forward(&h, &inverse[2]);
                let down = layers[2].backward(&dy, &h, &inverse[2]);
                let (dgate, dup) = activation::gated_backward(twin, &down.x, &gate, &up);
                let of_gate = layers[0].backward(&dgate, &x, &inverse[0]);
                let of_up = layers[1].backward(&dup, &x, &inverse[1]);
                let mut dx = of_gate.x.clone();
                linear::add(&mut dx, &of_up.x);
                let mut weights: Vec<Matrix> = layers.iter().map(|l| Matrix::new(l.k, l.w.clone())).collect();
                let mut wanted: Vec<(&str, Vec<f64>)> = Vec::new();
                if lora {
                    weights.extend(layers.iter().flat_map(|l| [Matrix::new(l.k, l.a.clone()), Matrix::new(l.rank, l.b.clone())]));
                    for gradients in [of_gate, of_up, down] {
                        wanted.extend([("dA", gradients.a), ("dB", gradients.b)]);
                    }
                } else {
                    for (dy, x, n) in [(&dgate, &x, f), (&dup, &x, f), (&dy, &h, k)] {
                        wanted.push(("dW", linear::transposed_times(dy, x, n)));
                    }
                }
                weights.extend(layers.iter().filter_map(|l| l.bias.as_ref()).map(|b| Matrix::new(f, b.clone())));
                let mut profile = gpu.profile().clone().as_if(Family::UnknownGpu, gpu.profile().subgroups);
                profile.tuning.product_workgroups_least = least;
                let case = Case {
                    tokens,
                    inputs: vec![Matrix::new(k, x.clone())],
                    weights,
                    frozen: lora.then_some(WeightType::Bf16),
                    low_rank: lora.then_some(LowRankCase { adapted: &[true; 3], scale: SCALE, dropout: 0.0, dora: false }),
                    gradients: vec![Matrix::new(k, dy.clone())],
                    ..Case::default()
                };
                let out = case.run(&gpu, &profile, |g, x, w| {
                    let bias = |i: usize| biased.then(|| w[w.len() - 2 + i]);
                    let both = g.linears(x[0], &[(w[0], bias(0)), (w[1], bias(1))]);
                    let h = g.gated(both[0], both[1], kind);
                    vec![g.linear(h, w[2], None)]
                });
                let what = format!("{kind:?}, {tokens} tokens, {k} and {f} columns, lora {lora}, biased {biased}");
                for kernel in ["gated_linear_forward.tiled.", "gated_linear_backward_input.tiled."] {
                    assert_eq!(
                        out.kernels.iter().filter(|name| name.starts_with(kernel)).count(),
                        1,
                        "{kernel}, {what}: {:?}",
                        out.kernels
                    );
                }
                assert_close(&format!("y, {what}"), &out.outputs[0], &y, 2e-5);
                assert_close(&format!("dx, {what}"), &out.inputs[0], &dx, 2e-5);
                for ((name, want), got) in wanted.iter().zip(&out.weights) {
                    assert_close(&format!("{name}, {what}"), got, want, 2e-5);
                }
            }
        }
    }
}

#[test]
fn plain() {
    let gpu = gpu();
    let mut random = Random::new(32);
    for profile in profiles(&gpu) {
        for (tokens, cols) in SHAPES {
            for (kind, twin) in KINDS {
                let (x, dy) = (numbers(&mut random, tokens * cols), random.vector(tokens * cols));
                let case = Case {
                    tokens,
                    inputs: vec![Matrix::new(cols, x.clone())],
                    gradients: vec![Matrix::new(cols, dy.clone())],
                    ..Case::default()
                };
                let out = case.run(&gpu, &profile, |g, x, _| vec![g.activation(x[0], kind)]);
                let y: Vec<f64> = x.iter().map(|x| activation::forward(twin, *x)).collect();
                let dx: Vec<f64> = x.iter().zip(&dy).map(|(x, dy)| dy * activation::derivative(twin, *x)).collect();
                assert_near(&format!("y {kind:?}"), &out.outputs[0], &y, &x);
                assert_near(&format!("dx {kind:?}"), &out.inputs[0], &dx, &dy);
            }
        }
    }
}

/// Element by element, in units of the larger of one and the factor it was multiplied with: the numbers span eight orders of magnitude.
fn assert_near(what: &str, got: &[f32], want: &[f64], factor: &[f64]) {
    let (mut scaled, mut expected) = (Vec::new(), Vec::new());
    for ((got, want), factor) in got.iter().zip(want).zip(factor) {
        let size = factor.abs().max(1.0);
        scaled.push((f64::from(*got) / size) as f32);
        expected.push(want / size);
    }
    let error = error(&scaled, &expected, 1.0);
    assert!(error < TOLERANCE, "{what}: off by {error:.2e}");
}
