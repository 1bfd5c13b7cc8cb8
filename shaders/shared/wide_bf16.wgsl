/// What one load brings (shared/linear_forward.wgsl has the name): eight consecutive bf16 weights, the first in the low half of x.
alias Weight4 = vec4<u32>;

/// Fours of weights in one load.
const WIDE: u32 = 2u;

/// The first four weights of a load, as f32: bf16 is the upper half of an f32.
fn first4(w: Weight4) -> vec4<f32> {
    return vec4<f32>(
        bitcast<f32>(w.x << 16u), bitcast<f32>(w.x & 0xffff0000u),
        bitcast<f32>(w.y << 16u), bitcast<f32>(w.y & 0xffff0000u));
}

/// The last four weights of a load, as f32.
fn last4(w: Weight4) -> vec4<f32> {
    return first4(w.zwxy);
}
