//! Activations, gated and plain, far out on both sides too.

use rootstock::kernels::Activation;

use super::single::{Case, Matrix};
use super::{error, gpu, profiles};
use crate::reference::{Random, activation};

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
