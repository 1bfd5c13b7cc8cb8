// Q4_K: a GGUF file's block of 256 weights in 9 fours of words: scales and minima, then 4 bits each (src/quant/ggml.rs packs them).
// use: shared/in_turn.wgsl
// use: shared/group_scales.wgsl
// use: shared/nibbles.wgsl

/// An element of an array of weights: four words.
alias Weight = vec4<u32>;

/// Fours of weights that `weight8` brings.
const WIDE: u32 = 2u;

/// The weights 4 k to 4 k + 3 of the row that begins at this element.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    let block = row + k / 64u * 9u;
    let scales = scales_of(w[block], k % 64u / 8u);
    let codes = w[block + 1u + k % 64u / 8u][k % 8u / 2u] >> (k % 2u * 16u);
    return scales.x * vec4<f32>(nibbles(codes)) + scales.y;
}

/// The weights 4 k to 4 k + 7, k even.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    let block = row + k / 64u * 9u;
    let scales = scales_of(w[block], k % 64u / 8u);
    let codes = w[block + 1u + k % 64u / 8u][k % 8u / 2u];
    return mat2x4<f32>(scales.x * vec4<f32>(nibbles(codes)) + scales.y, scales.x * vec4<f32>(nibbles(codes >> 16u)) + scales.y);
}
