// use: shared/no_table.wgsl
// use: shared/whole_bytes.wgsl

/// An element of an array of weights: a word. A row is its largest magnitude as f32, then whole numbers of 8 bits, four a word, that count
/// 127ths of it (src/quant/int8.rs packs them).
alias Weight = u32;

/// Fours of weights that `weight8` brings.
const WIDE: u32 = 2u;

/// The weights 4 k to 4 k + 3 of the row that begins at this element.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    return bitcast<f32>(w[row]) * (1.0 / 127.0) * whole_bytes(w[row + 1u + k]);
}

/// The weights 4 k to 4 k + 7, k even.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    return bitcast<f32>(w[row]) * (1.0 / 127.0) * mat2x4<f32>(whole_bytes(w[row + 1u + k]), whole_bytes(w[row + 2u + k]));
}
