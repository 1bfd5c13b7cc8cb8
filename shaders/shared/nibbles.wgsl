/// The four whole numbers of 4 bits in the low half of a word, the first in the lowest bits.
fn nibbles(codes: u32) -> vec4<u32> {
    return vec4<u32>(codes, codes >> 4u, codes >> 8u, codes >> 12u) & vec4<u32>(15u);
}
