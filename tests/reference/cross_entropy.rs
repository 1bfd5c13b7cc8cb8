//! Cross-entropy of a row of logits in f64, with an optional softcap.

/// logsumexp(z) − z[label] with z = cap · tanh(l / cap).
pub(crate) fn forward(logits: &[f64], label: usize, cap: Option<f64>) -> f64 {
    let z = capped(logits, cap);
    let max = z.iter().copied().fold(f64::MIN, f64::max);
    max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln() - z[label]
}

/// Gradient of the logits for a loss gradient of `scale`.
pub(crate) fn backward(logits: &[f64], label: usize, cap: Option<f64>, scale: f64) -> Vec<f64> {
    let z = capped(logits, cap);
    let max = z.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = z.iter().map(|z| (z - max).exp()).sum();
    z.iter()
        .enumerate()
        .map(|(i, z)| {
            let through_cap = cap.map_or(1.0, |cap| 1.0 - (z / cap).powi(2));
            ((z - max).exp() / sum - f64::from(u8::from(i == label))) * scale * through_cap
        })
        .collect()
}

fn capped(logits: &[f64], cap: Option<f64>) -> Vec<f64> {
    logits.iter().map(|l| cap.map_or(*l, |cap| cap * (l / cap).tanh())).collect()
}

#[test]
fn backward_is_the_derivative_of_forward() {
    let mut random = super::Random::new(5);
    for cap in [None, Some(1.5)] {
        let logits = random.vector(7);
        let gradient = backward(&logits, 3, cap, 0.4);
        super::assert_gradient("logits", &logits, &gradient, |l| 0.4 * forward(l, 3, cap));
    }
}
