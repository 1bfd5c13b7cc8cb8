/// Four numbers in bf16, the upper half of an f32, rounded to the nearest and halves to even; the first in the low half of x.
fn packed(x: vec4<f32>) -> vec2<u32> {
    let bits = bitcast<vec4<u32>>(x);
    let rounded = bits + 0x7fffu + ((bits >> vec4<u32>(16u)) & vec4<u32>(1u));
    // Rounding would carry what is no number over into zero.
    let upper = select(rounded, bits | vec4<u32>(0x400000u), (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u)) >> vec4<u32>(16u);
    return vec2<u32>(upper.x | (upper.y << 16u), upper.z | (upper.w << 16u));
}

/// The four numbers.
fn unpacked(four: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(
        bitcast<f32>(four.x << 16u), bitcast<f32>(four.x & 0xffff0000u),
        bitcast<f32>(four.y << 16u), bitcast<f32>(four.y & 0xffff0000u));
}
