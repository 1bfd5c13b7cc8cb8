/// Four consecutive f16 weights in one storage element, the first in the low half of x.
alias Weight4 = vec2<u32>;

/// The four weights of one element, as f32.
fn weight4(w: Weight4) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
}
