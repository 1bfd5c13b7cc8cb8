//! Activations in f64 and the middle of a gated MLP, h = act(gate) · up.

/// What `ACTIVATION` counts in shaders/shared/activation.wgsl.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Activation {
    Silu,
    GeluTanh,
    Gelu,
    Relu,
}

pub(crate) const ALL: [Activation; 4] = [Activation::Silu, Activation::GeluTanh, Activation::Gelu, Activation::Relu];

/// erf by its Taylor series, and for large x by the continued fraction of erfc (Abramowitz and Stegun 7.1.5 and 7.1.14).
pub(crate) fn erf(x: f64) -> f64 {
    if x.abs() < 3.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / n as f64;
            sum += term / (2 * n + 1) as f64;
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    } else {
        let tail = (1..200).rev().fold(x.abs(), |f, n| x.abs() + n as f64 / 2.0 / f);
        x.signum() * (1.0 - (-x * x).exp() / (tail * std::f64::consts::PI.sqrt()))
    }
}

/// act(x)
pub(crate) fn forward(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh()),
        Activation::Gelu => 0.5 * x * (1.0 + erf(x / 2f64.sqrt())),
        Activation::Relu => x.max(0.0),
    }
}

/// act'(x)
pub(crate) fn derivative(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::Silu => {
            let s = 1.0 / (1.0 + (-x).exp());
            s + x * s * (1.0 - s)
        }
        Activation::GeluTanh => {
            let c = (2.0 / std::f64::consts::PI).sqrt();
            let t = (c * (x + 0.044715 * x.powi(3))).tanh();
            0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * c * (1.0 + 3.0 * 0.044715 * x * x)
        }
        Activation::Gelu => 0.5 * (1.0 + erf(x / 2f64.sqrt())) + x * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt(),
        Activation::Relu => f64::from(u8::from(x > 0.0)),
    }
}

/// h = act(gate) · up
pub(crate) fn gated_forward(kind: Activation, gate: &[f64], up: &[f64]) -> Vec<f64> {
    gate.iter().zip(up).map(|(g, u)| forward(kind, *g) * u).collect()
}

/// Gradients of gate and up.
pub(crate) fn gated_backward(kind: Activation, dh: &[f64], gate: &[f64], up: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let dgate = dh.iter().zip(gate.iter().zip(up)).map(|(d, (g, u))| d * u * derivative(kind, *g)).collect();
    let dup = dh.iter().zip(gate).map(|(d, g)| d * forward(kind, *g)).collect();
    (dgate, dup)
}

#[test]
fn erf_has_known_values() {
    for (x, y) in
        [(0.5, 0.520_499_877_813_046_5), (1.0, 0.842_700_792_949_714_9), (2.9, 0.999_958_902_121_900_5), (3.1, 0.999_988_351_342_632_8)]
    {
        assert!((erf(x) - y).abs() < 1e-13 && (erf(-x) + y).abs() < 1e-13, "erf({x}) = {}", erf(x));
    }
}

#[test]
fn backward_is_the_derivative_of_forward() {
    let mut random = super::Random::new(4);
    for kind in ALL {
        let (gate, up, dh) = (random.vector(20), random.vector(20), random.vector(20));
        let (dgate, dup) = gated_backward(kind, &dh, &gate, &up);
        super::assert_gradient("gate", &gate, &dgate, |gate| super::dot(&dh, &gated_forward(kind, gate, &up)));
        super::assert_gradient("up", &up, &dup, |up| super::dot(&dh, &gated_forward(kind, &gate, up)));
    }
}
