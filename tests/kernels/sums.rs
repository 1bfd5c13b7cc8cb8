//! Residual sums, scaling, splitting, dropout.

use rootstock::kernels::StepValues;

use super::single::{Case, Matrix, assert_close};
use super::{gpu, profiles};
use crate::reference::Random;

/// One addition.
const TOLERANCE: f64 = 1e-6;

/// a is used twice and b once: their gradients meet.
#[test]
fn a_sum_hands_its_gradient_to_both_sides() {
    let gpu = gpu();
    let mut random = Random::new(51);
    for profile in profiles(&gpu) {
        for (tokens, cols) in [(1, 1), (7, 307), (255, 50)] {
            let (a, b, dy) = (random.vector(tokens * cols), random.vector(tokens * cols), random.vector(tokens * cols));
            let case = Case {
                tokens,
                inputs: vec![Matrix::new(cols, a.clone()), Matrix::new(cols, b.clone())],
                gradients: vec![Matrix::new(cols, dy.clone())],
                ..Case::default()
            };
            let out = case.run(&gpu, &profile, |g, x, _| {
                let once = g.add(x[0], x[1]);
                vec![g.add(once, x[0])]
            });
            let y: Vec<f64> = a.iter().zip(&b).map(|(a, b)| 2.0 * a + b).collect();
            assert_close("y", &out.outputs[0], &y, TOLERANCE);
            assert_close("da", &out.inputs[0], &dy.iter().map(|d| 2.0 * d).collect::<Vec<_>>(), TOLERANCE);
            assert_close("db", &out.inputs[1], &dy, TOLERANCE);
        }
    }
}

/// x is used scaled, and as it is after and before that, so that its gradient is written in one place and added to in another.
#[test]
fn scales_forwards_and_backwards() {
    let gpu = gpu();
    let mut random = Random::new(54);
    const FACTOR: f32 = -0.375;
    for profile in profiles(&gpu) {
        for (tokens, cols) in [(1, 1), (7, 307), (255, 50)] {
            let (x, dy) = (random.vector(tokens * cols), random.vector(tokens * cols));
            let case = Case {
                tokens,
                inputs: vec![Matrix::new(cols, x.clone())],
                gradients: vec![Matrix::new(cols, dy.clone())],
                ..Case::default()
            };
            let times = |v: &[f64], factor: f64| v.iter().map(|v| factor * v).collect::<Vec<f64>>();
            let alone = case.run(&gpu, &profile, |g, x, _| vec![g.scale(x[0], FACTOR)]);
            assert_close("y", &alone.outputs[0], &times(&x, -0.375), TOLERANCE);
            assert_close("dx", &alone.inputs[0], &times(&dy, -0.375), TOLERANCE);
            for first in [true, false] {
                let both = case.run(&gpu, &profile, |g, x, _| {
                    let scaled = g.scale(x[0], FACTOR);
                    vec![if first { g.add(scaled, x[0]) } else { g.add(x[0], scaled) }]
                });
                assert_close("x + y", &both.outputs[0], &times(&x, 0.625), TOLERANCE);
                assert_close("dx of both", &both.inputs[0], &times(&dy, 0.625), TOLERANCE);
            }
        }
    }
}

#[test]
fn splits_at_any_column() {
    let gpu = gpu();
    let mut random = Random::new(52);
    for profile in profiles(&gpu) {
        for widths in [vec![8, 4, 4], vec![3, 5, 1], vec![1], vec![6, 6, 6], vec![30, 2, 275]] {
            let (tokens, cols) = (7, widths.iter().sum::<usize>());
            let x = random.vector(tokens * cols);
            let gradients: Vec<Matrix> = widths.iter().map(|w| Matrix::new(*w, random.vector(tokens * w))).collect();
            let case = Case { tokens, inputs: vec![Matrix::new(cols, x.clone())], gradients: gradients.clone(), ..Case::default() };
            let out = case.run(&gpu, &profile, |g, x, _| g.split(x[0], &widths));
            let mut first = 0;
            for (part, width) in widths.iter().enumerate() {
                let y: Vec<f64> = x.chunks(cols).flat_map(|row| row[first..first + width].to_vec()).collect();
                assert_close("part", &out.outputs[part], &y, TOLERANCE);
                first += width;
            }
            let dx: Vec<f64> =
                (0..tokens).flat_map(|i| gradients.iter().flat_map(move |g| g.data[i * g.cols..(i + 1) * g.cols].to_vec())).collect();
            assert_close("dx", &out.inputs[0], &dx, TOLERANCE);
        }
    }
}

#[test]
fn dropout_drops_as_many_as_it_says_and_the_same_in_the_backward_pass() {
    let gpu = gpu();
    const P: f32 = 0.3;
    let (tokens, cols) = (250, 200);
    let ones = vec![1.0; tokens * cols];
    let run = |seed: u32| {
        let case = Case {
            tokens,
            inputs: vec![Matrix::new(cols, ones.clone())],
            gradients: vec![Matrix::new(cols, ones.clone()), Matrix::new(cols, vec![0.0; ones.len()])],
            step: StepValues { seed, ..StepValues::default() },
            ..Case::default()
        };
        case.run(&gpu, gpu.profile(), |g, x, _| vec![g.dropout(x[0], P), g.dropout(x[0], P)])
    };
    let out = run(1);
    let kept_as = 1.0 / (1.0 - P);
    let kept = |y: &[f32]| y.iter().filter(|v| **v != 0.0).count() as f64 / y.len() as f64;
    for y in &out.outputs {
        assert!(y.iter().all(|v| *v == 0.0 || (*v - kept_as).abs() < 1e-6));
        // 50,000 draws: a standard deviation is 0.002.
        assert!((kept(y) - 0.7).abs() < 0.008, "{} are kept", kept(y));
    }
    assert_eq!(out.inputs[0], out.outputs[0], "the backward pass has the same mask");
    // Two dropouts, and two seeds, agree as often as chance has it: 0.7² + 0.3² = 0.58.
    for other in [&out.outputs[1], &run(2).outputs[0]] {
        let same = out.outputs[0].iter().zip(other).filter(|(a, b)| a == b).count() as f64 / ones.len() as f64;
        assert!((same - 0.58).abs() < 0.01, "{same} are alike");
    }
    assert_eq!(run(1).outputs, out.outputs, "the same seed drops the same");
}
