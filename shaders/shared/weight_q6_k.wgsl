// Q6_K: a GGUF file's block of 256 weights in 53 words: the scale of all as f16, 16 scales of 8 bits, the two high bits of each weight, then the lower four, from -32 (src/quant/ggml.rs packs them).
// use: shared/in_turn.wgsl
// use: shared/half.wgsl
// use: shared/nibbles.wgsl

/// An element of an array of weights: a word.
alias Weight = u32;

/// Fours of weights that `weight8` brings.
const WIDE: u32 = 2u;

/// The weights 4 k to 4 k + 3 of the row that begins at this element.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    let block = row + k / 64u * 53u;
    let at = k % 64u;
    let scale = f32(bitcast<i32>(w[block + 1u + at / 16u] << (24u - at / 4u % 4u * 8u)) >> 24u);
    let bits = w[block + 5u + at / 4u] >> (at % 4u * 8u);
    let high = vec4<u32>(bits << 4u, bits << 2u, bits, bits >> 2u) & vec4<u32>(48u);
    let codes = nibbles(w[block + 21u + at / 2u] >> (at % 2u * 16u)) | high;
    return half(w[block]) * scale * (vec4<f32>(codes) - 32.0);
}

/// The weights 4 k to 4 k + 7, k even.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    return mat2x4<f32>(weight4(row, k), weight4(row, k + 1u));
}
