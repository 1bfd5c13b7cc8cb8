/// What kernels of subgroups and of tiles call first.
fn begin(thread: u32) {
    begin_values(thread);
}

/// An element of an array of weights: a word. Blocks of 64 weights in 9 words: the scale as f32, then 4 bits each, the first weight in the
/// high half of the first byte (src/quant/four_bit.rs packs them).
alias Weight = u32;

/// Fours of weights in a word.
const WIDE: u32 = 2u;

/// The four weights of the low half of this word over the block's scale.
fn four(codes: u32) -> vec4<f32> {
    return values(vec4<u32>(codes >> 4u, codes, codes >> 12u, codes >> 8u));
}

/// The weights 4 k to 4 k + 3 of the row that begins at this element.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    let block = row + k / 16u * 9u;
    return bitcast<f32>(w[block]) * four(w[block + 1u + k % 16u / 2u] >> (k % 2u * 16u));
}

/// The weights 4 k to 4 k + 7, k even.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    let block = row + k / 16u * 9u;
    let codes = w[block + 1u + k % 16u / 2u];
    return bitcast<f32>(w[block]) * mat2x4<f32>(four(codes), four(codes >> 16u));
}

/// Whether tiles store the weights before they load the inputs, rather than load both side by side: less speed in waiting, fewer registers.
const WEIGHTS_FIRST: bool = false;
