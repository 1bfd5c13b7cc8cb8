//! One AdamW step in f64, as PyTorch does it: decoupled decay first.

/// What a step needs besides the vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) rate: f64,
    pub(crate) weight_decay: f64,
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) eps: f64,
}

/// Step number `t` (from 1) on p with moments m and v.
pub(crate) fn step(s: Settings, t: i32, g: &[f64], p: &mut [f64], m: &mut [f64], v: &mut [f64]) {
    for i in 0..p.len() {
        p[i] *= 1.0 - s.rate * s.weight_decay;
        m[i] = s.beta1 * m[i] + (1.0 - s.beta1) * g[i];
        v[i] = s.beta2 * v[i] + (1.0 - s.beta2) * g[i] * g[i];
        let mhat = m[i] / (1.0 - s.beta1.powi(t));
        let vhat = v[i] / (1.0 - s.beta2.powi(t));
        p[i] -= s.rate * mhat / (vhat.sqrt() + s.eps);
    }
}
