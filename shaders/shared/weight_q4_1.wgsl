// Q4_1: two of a GGUF file's blocks of 32 weights in 10 words: scale and minimum of each as f16, then 4 bits each (src/quant/ggml.rs packs them).
// use: shared/in_turn.wgsl
// use: shared/half.wgsl
// use: shared/nibbles.wgsl

/// An element of an array of weights: a word.
alias Weight = u32;

/// Fours of weights that `weight8` brings.
const WIDE: u32 = 2u;

/// The four weights of the low half of this word, `scales` being their scale and, above it, their minimum.
fn four(scales: u32, codes: u32) -> vec4<f32> {
    return half(scales) * vec4<f32>(nibbles(codes)) + half(scales >> 16u);
}

/// The weights 4 k to 4 k + 3 of the row that begins at this element.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    let block = row + k / 16u * 10u;
    return four(w[block + k / 8u % 2u], w[block + 2u + k % 16u / 2u] >> (k % 2u * 16u));
}

/// The weights 4 k to 4 k + 7, k even.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    let block = row + k / 16u * 10u;
    let scales = w[block + k / 8u % 2u];
    let codes = w[block + 2u + k % 16u / 2u];
    return mat2x4<f32>(four(scales, codes), four(scales, codes >> 16u));
}
