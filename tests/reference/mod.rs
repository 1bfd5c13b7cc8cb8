//! Twins of the ops in f64: plain maths without a thought for speed, each backward compared with finite differences of its forward.
//! The kernels are compared with these.

pub(crate) mod activation;
pub(crate) mod adamw;
pub(crate) mod attention;
pub(crate) mod cross_entropy;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod low_rank;
pub(crate) mod preference;
pub(crate) mod rms_norm;
pub(crate) mod rope;

/// Finite differences of f64 with a step of 1e-5 are good to about 1e-9; a wrong derivative is off by far more.
const FINITE_DIFFERENCE_TOLERANCE: f64 = 1e-7;

/// Numbers that look random and are the same in every run (an LCG with the top bits used).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Uniform in -1 .. 1.
    pub(crate) fn number(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// Roughly normal, exactly representable in f32.
    pub(crate) fn vector(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| f64::from((self.number() + self.number() + self.number()) as f32)).collect()
    }
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Compares a gradient with central differences of `loss`.
pub(crate) fn assert_gradient(what: &str, at: &[f64], gradient: &[f64], loss: impl Fn(&[f64]) -> f64) {
    const STEP: f64 = 1e-5;
    assert_eq!(at.len(), gradient.len());
    for i in 0..at.len() {
        let mut moved = at.to_vec();
        moved[i] = at[i] + STEP;
        let up = loss(&moved);
        moved[i] = at[i] - STEP;
        let difference = (up - loss(&moved)) / (2.0 * STEP);
        let error = (difference - gradient[i]).abs() / gradient[i].abs().max(1.0);
        assert!(error < FINITE_DIFFERENCE_TOLERANCE, "d{what}[{i}]: {} by the formula, {difference} by differences", gradient[i]);
    }
}
