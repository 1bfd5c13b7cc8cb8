// Q5_1: two of a GGUF file's blocks of 32 weights in 12 words: scale and minimum of each as f16, the fifth bits of each, then the lower four (src/quant/ggml.rs packs them).
// use: shared/in_turn.wgsl
// use: shared/half.wgsl
// use: shared/nibbles.wgsl
// use: shared/fifth_bits.wgsl

/// An element of an array of weights: a word.
alias Weight = u32;

/// Fours of weights that `weight8` brings.
const WIDE: u32 = 2u;

/// The weights 4 k to 4 k + 3 of the row that begins at this element.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    let block = row + k / 16u * 12u;
    let which = k / 8u % 2u;
    let scales = w[block + which];
    let codes = nibbles(w[block + 4u + k % 16u / 2u] >> (k % 2u * 16u)) | fifth_bits(w[block + 2u + which] >> (k % 8u * 4u));
    return half(scales) * vec4<f32>(codes) + half(scales >> 16u);
}

/// The weights 4 k to 4 k + 7, k even.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    return mat2x4<f32>(weight4(row, k), weight4(row, k + 1u));
}
