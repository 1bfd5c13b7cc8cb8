/// The IEEE half-precision number in the low half of a word. Many scales of blocks are subnormal halves, which `unpack2x16float` may take for zero; here
/// no number on the way is subnormal.
fn half(bits: u32) -> f32 {
    let next = bitcast<f32>(((bits & 0x7fffu) << 13u) + 0x38000000u);
    let magnitude = select(next, 2.0 * next - 6.103515625e-5, (bits & 0x7c00u) == 0u);
    return select(magnitude, -magnitude, (bits & 0x8000u) != 0u);
}
