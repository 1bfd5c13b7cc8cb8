// Q4_0: two of a GGUF file's blocks of 32 weights in 9 words: their scales as f16, then 4 bits each, from -8 (src/quant/ggml.rs packs them).
// use: shared/in_turn.wgsl
// use: shared/half.wgsl
// use: shared/nibbles.wgsl

/// An element of an array of weights: a word.
alias Weight = u32;

/// Fours of weights that `weight8` brings.
const WIDE: u32 = 2u;

/// The scale of weight 4 k of the two blocks that begin at this element.
fn scale_of(block: u32, k: u32) -> f32 {
    return half(w[block] >> (k / 8u % 2u * 16u));
}

/// The four weights of the low half of this word over their scale.
fn four(codes: u32) -> vec4<f32> {
    return vec4<f32>(nibbles(codes)) - 8.0;
}

/// The weights 4 k to 4 k + 3 of the row that begins at this element.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    let block = row + k / 16u * 9u;
    return scale_of(block, k) * four(w[block + 1u + k % 16u / 2u] >> (k % 2u * 16u));
}

/// The weights 4 k to 4 k + 7, k even.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    let block = row + k / 16u * 9u;
    let codes = w[block + 1u + k % 16u / 2u];
    return scale_of(block, k) * mat2x4<f32>(four(codes), four(codes >> 16u));
}
