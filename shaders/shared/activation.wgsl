/// x * sigmoid(x).
const SILU: u32 = 0u;
/// GELU with tanh (gelu_new, gelu_pytorch_tanh).
const GELU_TANH: u32 = 1u;
/// GELU with the error function.
const GELU: u32 = 2u;
/// max(x, 0).
const RELU: u32 = 3u;

/// Which activation is computed, one of the numbers above.
override ACTIVATION: u32 = 0u;

/// 1 / (1 + e^-x). The exponent is bounded because compilers may assume that nothing is infinite.
fn sigmoid(x: vec4<f32>) -> vec4<f32> {
    return 1.0 / (1.0 + exp(min(-x, vec4<f32>(87.0))));
}

/// tanh of the argument of the tanh-GELU. Bounded: tanh is 1 to f32 from 9.1 on, and some drivers make NaN of large arguments.
fn gelu_tanh(x: vec4<f32>) -> vec4<f32> {
    let inner = 0.7978845608028654 * (x + 0.044715 * x * x * x); // sqrt(2 / pi)
    return tanh(clamp(inner, vec4<f32>(-10.0), vec4<f32>(10.0)));
}

/// The normal distribution function, erfc(-x / sqrt 2) / 2. erfc is the Chebyshev fit `erfcc` of Press et al., Numerical
/// Recipes in C, 2nd ed., section 6.2: relative error below 1.2e-7 everywhere, so also in the tail.
fn normal_cdf(x: vec4<f32>) -> vec4<f32> {
    let z = min(abs(x) * 0.7071067811865476, vec4<f32>(9.0));
    let t = 1.0 / (1.0 + 0.5 * z);
    let series = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806
        + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
    let tail = 0.5 * t * exp(-z * z + series);
    return select(1.0 - tail, tail, x < vec4<f32>(0.0));
}

/// act(x)
fn activation(x: vec4<f32>) -> vec4<f32> {
    if (ACTIVATION == SILU) {
        return x * sigmoid(x);
    } else if (ACTIVATION == GELU_TANH) {
        return 0.5 * x * (1.0 + gelu_tanh(x));
    } else if (ACTIVATION == GELU) {
        return x * normal_cdf(x);
    }
    return max(x, vec4<f32>(0.0));
}

/// d act(x) / dx
fn activation_derivative(x: vec4<f32>) -> vec4<f32> {
    if (ACTIVATION == SILU) {
        let s = sigmoid(x);
        return s * (1.0 + x * (1.0 - s));
    } else if (ACTIVATION == GELU_TANH) {
        let t = gelu_tanh(x);
        let inner_slope = 0.7978845608028654 * (1.0 + 0.134145 * x * x);
        return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner_slope;
    } else if (ACTIVATION == GELU) {
        // 1 / sqrt(2 pi); past 13 the density is zero in f32.
        let bounded = clamp(x, vec4<f32>(-13.0), vec4<f32>(13.0));
        return normal_cdf(x) + x * 0.3989422804014327 * exp(-0.5 * bounded * bounded);
    }
    return select(vec4<f32>(0.0), vec4<f32>(1.0), x > vec4<f32>(0.0));
}
