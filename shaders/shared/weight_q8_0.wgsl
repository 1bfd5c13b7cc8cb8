// Q8_0: two of a GGUF file's blocks of 32 weights in 17 words: their scales as f16, then 8 bits each (src/quant/ggml.rs packs them).
// use: shared/in_turn.wgsl
// use: shared/half.wgsl
// use: shared/whole_bytes.wgsl

/// An element of an array of weights: a word.
alias Weight = u32;

/// Fours of weights that `weight8` brings.
const WIDE: u32 = 2u;

/// The weights 4 k to 4 k + 3 of the row that begins at this element.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    let block = row + k / 16u * 17u;
    return half(w[block] >> (k / 8u % 2u * 16u)) * whole_bytes(w[block + 1u + k % 16u]);
}

/// The weights 4 k to 4 k + 7, k even.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    let block = row + k / 16u * 17u;
    let at = block + 1u + k % 16u;
    return half(w[block] >> (k / 8u % 2u * 16u)) * mat2x4<f32>(whole_bytes(w[at]), whole_bytes(w[at + 1u]));
}
