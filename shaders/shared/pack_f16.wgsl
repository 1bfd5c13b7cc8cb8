// use: shared/half.wgsl

/// Four numbers in IEEE half precision, rounded to the nearest and halves to even; the first in the low half of x. Magnitudes above the largest, 65504, become that.
/// `pack2x16float` may round otherwise and take subnormal halves for zero.
fn packed(x: vec4<f32>) -> vec2<u32> {
    let bits = bitcast<vec4<u32>>(x);
    let magnitude = bits & vec4<u32>(0x7fffffffu);
    let held = min(magnitude, vec4<u32>(0x477fe000u));
    let normal = (held + 0xfffu + ((held >> vec4<u32>(13u)) & vec4<u32>(1u)) - 0x38000000u) >> vec4<u32>(13u);
    // The last bit of a number between a half and one is that of a subnormal half: adding a half rounds to it.
    let subnormal = bitcast<vec4<u32>>(bitcast<vec4<f32>>(held) + 0.5) - 0x3f000000u;
    let sized = select(select(normal, subnormal, held < vec4<u32>(0x38800000u)), vec4<u32>(0x7e00u), magnitude > vec4<u32>(0x7f800000u));
    let halves = sized | ((bits >> vec4<u32>(16u)) & vec4<u32>(0x8000u));
    return vec2<u32>(halves.x | (halves.y << 16u), halves.z | (halves.w << 16u));
}

/// The four numbers.
fn unpacked(four: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(half_or_nan(four.x), half_or_nan(four.x >> 16u), half_or_nan(four.y), half_or_nan(four.y >> 16u));
}

/// What is no number stays none; the largest exponent means nothing else here.
fn half_or_nan(bits: u32) -> f32 {
    return select(half(bits), bitcast<f32>(0x7f800000u | ((bits & 0x3ffu) << 13u)), (bits & 0x7c00u) == 0x7c00u);
}
