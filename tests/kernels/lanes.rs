//! Sums across lanes: as trees, by shuffles, by the device's own operation, in subgroups of one size and in those that may have several.

use std::collections::BTreeSet;

use rootstock::graph::WeightType;

use super::single::{Case, Matrix, assert_close};
use super::{gpu, profiles_by_lanes};
use crate::reference::{Random, linear};

/// As of other products.
const TOLERANCE: f64 = 2e-5;

/// Products of a few rows, as a token or a few of them are: every number of rows that a thread may take, contractions from one lane's to many rounds of all.
#[test]
fn few_rows_of_a_product() {
    let gpu = gpu();
    let mut random = Random::new(91);
    let mut kernels = BTreeSet::new();
    for profile in profiles_by_lanes(&gpu) {
        for (m, n, k) in [(1, 66, 70), (1, 9, 3), (2, 40, 33), (3, 70, 264), (8, 5, 1100), (1, 900, 4100)] {
            for weight_type in [WeightType::F32, WeightType::Bf16] {
                let x = random.vector(m * k);
                // Eighths up to 2 are exact in both types.
                let w: Vec<f64> = random.vector(n * k).iter().map(|v| (v * 8.0).round().clamp(-16.0, 16.0) / 8.0).collect();
                let case = Case {
                    tokens: m,
                    inputs: vec![Matrix::new(k, x.clone())],
                    weights: vec![Matrix::new(k, w.clone())],
                    frozen: Some(weight_type),
                    gradients: vec![Matrix::new(n, vec![0.0; m * n])],
                    ..Case::default()
                };
                let run = || case.run(&gpu, &profile, |g, x, w| vec![g.linear(x[0], w[0], None)]);
                let out = run();
                let what = format!("y of ({m}, {n}, {k}) with {weight_type:?} on {:?} {:?}", profile.class, profile.subgroups);
                assert_close(&what, &out.outputs[0], &linear::forward(&x, &w, None, k), TOLERANCE);
                assert_eq!(run().outputs[0], out.outputs[0], "{what}: the same bits every run");
                kernels.extend(out.kernels);
            }
        }
    }
    let ran = |kernel: &str| kernels.contains(&kernel);
    assert!(ran("linear_forward.vector.bf16"), "{kernels:?}");
    assert_eq!(ran("linear_forward.vector.lanes.bf16"), gpu.profile().subgroups.is_some(), "{kernels:?}");
}
