/// Four consecutive bf16 weights in one storage element, the first in the low half of x.
alias Weight4 = vec2<u32>;

/// The four weights of one element, as f32: bf16 is the upper half of an f32.
fn weight4(w: Weight4) -> vec4<f32> {
    return vec4<f32>(
        bitcast<f32>(w.x << 16u), bitcast<f32>(w.x & 0xffff0000u),
        bitcast<f32>(w.y << 16u), bitcast<f32>(w.y & 0xffff0000u));
}
