/// What one load brings (shared/linear_forward.wgsl has the name): eight consecutive f16 weights, the first in the low half of x.
alias Weight4 = vec4<u32>;

/// Fours of weights in one load.
const WIDE: u32 = 2u;

/// The first four weights of a load, as f32.
fn first4(w: Weight4) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
}

/// The last four weights of a load, as f32.
fn last4(w: Weight4) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(w.z), unpack2x16float(w.w));
}
