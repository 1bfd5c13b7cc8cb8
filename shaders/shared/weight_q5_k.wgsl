// Q5_K: a GGUF file's block of 256 weights in 11 fours of words: scales and minima, the fifth bits, then the lower four (src/quant/ggml.rs packs them).
// use: shared/in_turn.wgsl
// use: shared/group_scales.wgsl
// use: shared/nibbles.wgsl
// use: shared/fifth_bits.wgsl

/// An element of an array of weights: four words.
alias Weight = vec4<u32>;

/// Fours of weights that `weight8` brings.
const WIDE: u32 = 2u;

/// The weights 4 k to 4 k + 3 of the row that begins at this element.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    let block = row + k / 64u * 11u;
    let group = k % 64u / 8u;
    let scales = scales_of(w[block], group);
    let low = nibbles(w[block + 3u + group][k % 8u / 2u] >> (k % 2u * 16u));
    let codes = low | fifth_bits(w[block + 1u + group / 4u][group % 4u] >> (k % 8u * 4u));
    return scales.x * vec4<f32>(codes) + scales.y;
}

/// The weights 4 k to 4 k + 7, k even.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    return mat2x4<f32>(weight4(row, k), weight4(row, k + 1u));
}
