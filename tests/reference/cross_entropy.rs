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

/// The same where a share of the target is spread over all logits, and where the loss is weighed by its probability, a constant.
pub(crate) fn changed(logits: &[f64], label: usize, cap: Option<f64>, scale: f64, smoothing: f64, weighed: bool) -> (f64, Vec<f64>) {
    let z = capped(logits, cap);
    let mean = z.iter().sum::<f64>() / z.len() as f64;
    let loss = forward(logits, label, cap) + smoothing * (z[label] - mean);
    let weight = if weighed { (-loss).exp() } else { 1.0 };
    let plain = backward(logits, label, cap, scale * weight);
    let gradient = plain.into_iter().zip(&z).enumerate().map(|(i, (d, z))| {
        let through_cap = cap.map_or(1.0, |cap| 1.0 - (z / cap).powi(2));
        d + smoothing * (f64::from(u8::from(i == label)) - 1.0 / logits.len() as f64) * scale * weight * through_cap
    });
    (loss * weight, gradient.collect())
}

#[test]
fn the_changed_loss_has_its_derivative() {
    let mut random = super::Random::new(6);
    let logits = random.vector(9);
    for (smoothing, weighed) in [(0.2, false), (0.0, true)] {
        // The weight is a constant: it is taken out of the difference quotient.
        let weight = if weighed { (-forward(&logits, 4, Some(2.0))).exp() } else { 1.0 };
        let (_, gradient) = changed(&logits, 4, Some(2.0), 0.4, smoothing, weighed);
        super::assert_gradient("logits", &logits, &gradient, |l| 0.4 * weight * changed(l, 4, Some(2.0), 1.0, smoothing, false).0);
    }
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
