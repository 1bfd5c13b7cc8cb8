/// The fifth bits of four whole numbers, from the lowest bits of a word.
fn fifth_bits(bits: u32) -> vec4<u32> {
    return vec4<u32>(bits << 4u, bits << 3u, bits << 2u, bits << 1u) & vec4<u32>(16u);
}
