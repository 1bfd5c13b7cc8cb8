//! RMSNorm and LayerNorm at widths of one vec4, with padding, and wide; also as norms of heads.

use super::single::{Case, Matrix, assert_close};
use super::{gpu, profiles_by_lanes};
use crate::reference::{Random, layer_norm, rms_norm};

/// Sums of 307 terms of f32 and a reciprocal root. Measured on lavapipe: up to 5e-6.
const TOLERANCE: f64 = 2e-5;

/// Rows and columns: no multiple of anything, one of each, more rows than a block of the sum over rows has.
const SHAPES: [(usize, usize); 7] = [(7, 1), (1, 3), (255, 50), (7, 307), (3, 64), (1100, 6), (37, 4400)];

/// An eps far from any default, so that a wrong one shows.
const EPS: f32 = 0.03;

#[test]
fn rms_norm_of_rows() {
    let gpu = gpu();
    let mut random = Random::new(11);
    for profile in profiles_by_lanes(&gpu) {
        for (tokens, cols) in SHAPES {
            for offset in [0.0, 1.0] {
                rms_norm_case(&gpu, &profile, &mut random, tokens, 1, cols, offset);
            }
        }
        rms_norm_case(&gpu, &profile, &mut random, 13, 3, 20, 1.0);
        rms_norm_case(&gpu, &profile, &mut random, 70, 5, 64, 0.0);
    }
}

fn rms_norm_case(
    gpu: &std::rc::Rc<rootstock::gpu::Gpu>,
    profile: &rootstock::gpu::Profile,
    random: &mut Random,
    tokens: usize,
    groups: usize,
    cols: usize,
    offset: f32,
) {
    let (x, w, dy) = (random.vector(tokens * groups * cols), random.vector(cols), random.vector(tokens * groups * cols));
    let case = Case {
        tokens,
        inputs: vec![Matrix::new(groups * cols, x.clone())],
        weights: vec![Matrix::new(cols, w.clone())],
        gradients: vec![Matrix::new(groups * cols, dy.clone())],
        micro_steps: 2,
        ..Case::default()
    };
    let out = case.run(gpu, profile, |g, x, w| vec![g.rms_norm(x[0], w[0], EPS, offset)]);
    let what = format!("({tokens}, {groups} x {cols}) on {:?} {:?}", profile.class, profile.subgroups);
    let by_subgroups = out.kernels.contains(&"rms_norm_forward.lanes");
    let (lanes, _) = profile.tuning.lanes(cols.div_ceil(4) as u32);
    let can = profile.subgroups.is_some_and(|sizes| sizes.can_share(lanes));
    assert_eq!(by_subgroups, profile.tuning.sums_in_subgroups && can, "{what}: {:?}", out.kernels);
    let (y, _) = rms_norm::forward(&x, &w, f64::from(offset), f64::from(EPS));
    let (dx, dw) = rms_norm::backward(&dy, &x, &w, f64::from(offset), f64::from(EPS));
    assert_close(&format!("y {what}"), &out.outputs[0], &y, TOLERANCE);
    assert_close(&format!("dx {what}"), &out.inputs[0], &dx, TOLERANCE);
    // Two micro-steps: the second is added to the first.
    assert_close(&format!("dw {what}"), &out.weights[0], &dw.iter().map(|v| 2.0 * v).collect::<Vec<_>>(), TOLERANCE);
}

#[test]
fn layer_norm_of_rows() {
    let gpu = gpu();
    let mut random = Random::new(12);
    for profile in profiles_by_lanes(&gpu) {
        // With one column y is the bias, and the gradients of x and w are zero.
        for (tokens, cols) in SHAPES.into_iter().filter(|(_, cols)| *cols > 1) {
            // A mean larger than the deviation: E[x²] − E[x]² would lose digits.
            let x: Vec<f64> = random.vector(tokens * cols).iter().map(|v| f64::from((v + 5.0) as f32)).collect();
            let (w, b, dy) = (random.vector(cols), random.vector(cols), random.vector(tokens * cols));
            let case = Case {
                tokens,
                inputs: vec![Matrix::new(cols, x.clone())],
                weights: vec![Matrix::new(cols, w.clone()), Matrix::new(cols, b.clone())],
                gradients: vec![Matrix::new(cols, dy.clone())],
                micro_steps: 2,
                ..Case::default()
            };
            let out = case.run(&gpu, &profile, |g, x, w| vec![g.layer_norm(x[0], w[0], w[1], EPS)]);
            let what = format!("({tokens}, {cols}) on {:?}", profile.class);
            let (y, _, _) = layer_norm::forward(&x, &w, &b, f64::from(EPS));
            let (dx, dw, db) = layer_norm::backward(&dy, &x, &w, f64::from(EPS));
            let twice = |g: &[f64]| g.iter().map(|v| 2.0 * v).collect::<Vec<_>>();
            assert_close(&format!("y {what}"), &out.outputs[0], &y, TOLERANCE);
            assert_close(&format!("dx {what}"), &out.inputs[0], &dx, TOLERANCE);
            assert_close(&format!("dw {what}"), &out.weights[0], &twice(&dw), TOLERANCE);
            assert_close(&format!("db {what}"), &out.weights[1], &twice(&db), TOLERANCE);
        }
    }
}

/// x + norm(x): the sum hands one gradient to both sides, and the norm adds its own to x's.
#[test]
fn a_norm_beside_a_residual() {
    let gpu = gpu();
    let mut random = Random::new(13);
    let (tokens, cols) = (9, 50);
    let (x, w, dy) = (random.vector(tokens * cols), random.vector(cols), random.vector(tokens * cols));
    for profile in profiles_by_lanes(&gpu) {
        let case = Case {
            tokens,
            inputs: vec![Matrix::new(cols, x.clone())],
            weights: vec![Matrix::new(cols, w.clone())],
            gradients: vec![Matrix::new(cols, dy.clone())],
            ..Case::default()
        };
        let out = case.run(&gpu, &profile, |g, x, w| {
            let normed = g.rms_norm(x[0], w[0], EPS, 0.0);
            vec![g.add(x[0], normed)]
        });
        let (y, _) = rms_norm::forward(&x, &w, 0.0, f64::from(EPS));
        let (dx, dw) = rms_norm::backward(&dy, &x, &w, 0.0, f64::from(EPS));
        let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<_>>();
        assert_close("y", &out.outputs[0], &sum(&x, &y), TOLERANCE);
        assert_close("dx", &out.inputs[0], &sum(&dy, &dx), TOLERANCE);
        assert_close("dw", &out.weights[0], &dw, TOLERANCE);
    }
}

/// a + b and its norm, which one kernel makes: the sum is an output of its own, whose gradient joins the norm's.
#[test]
fn a_residual_sum_with_its_norm() {
    let gpu = gpu();
    let mut random = Random::new(14);
    let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<_>>();
    for profile in profiles_by_lanes(&gpu) {
        for (tokens, cols) in SHAPES.into_iter().filter(|(_, cols)| *cols > 1) {
            let [a, b, dx, dy] = [(); 4].map(|()| random.vector(tokens * cols).iter().map(|v| f64::from(*v as f32)).collect::<Vec<_>>());
            let [w, bias] = [(); 2].map(|()| random.vector(cols));
            let x = sum(&a, &b);
            for rms in [true, false] {
                let case = Case {
                    tokens,
                    inputs: vec![Matrix::new(cols, a.clone()), Matrix::new(cols, b.clone())],
                    weights: vec![Matrix::new(cols, w.clone()), Matrix::new(cols, bias.clone())],
                    gradients: vec![Matrix::new(cols, dx.clone()), Matrix::new(cols, dy.clone())],
                    ..Case::default()
                };
                let out = case.run(&gpu, &profile, |g, x, w| {
                    let sum = g.add(x[0], x[1]);
                    vec![sum, if rms { g.rms_norm(sum, w[0], EPS, 1.0) } else { g.layer_norm(sum, w[0], w[1], EPS) }]
                });
                let (y, through, dw) = if rms {
                    let (through, dw) = rms_norm::backward(&dy, &x, &w, 1.0, f64::from(EPS));
                    (rms_norm::forward(&x, &w, 1.0, f64::from(EPS)).0, through, dw)
                } else {
                    let (through, dw, _) = layer_norm::backward(&dy, &x, &w, f64::from(EPS));
                    (layer_norm::forward(&x, &w, &bias, f64::from(EPS)).0, through, dw)
                };
                let what = format!("({tokens}, {cols}), rms {rms}, on {:?}", profile.class);
                assert_close(&format!("x {what}"), &out.outputs[0], &x, TOLERANCE);
                assert_close(&format!("y {what}"), &out.outputs[1], &y, TOLERANCE);
                let whole = sum(&dx, &through);
                assert_close(&format!("da {what}"), &out.inputs[0], &whole, TOLERANCE);
                assert_close(&format!("db {what}"), &out.inputs[1], &whole, TOLERANCE);
                assert_close(&format!("dw {what}"), &out.weights[0], &dw, TOLERANCE);
            }
        }
    }
}
