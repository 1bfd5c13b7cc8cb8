// use: shared/no_table.wgsl

/// An element of an array of weights: a word. A row is its largest magnitude as f32, then whole numbers of 8 bits, four a word, that count
/// 127ths of it (src/quant/int8.rs packs them).
alias Weight = u32;

/// Fours of weights that `weight8` brings.
const WIDE: u32 = 2u;

/// The four whole numbers of a word.
fn four(codes: u32) -> vec4<f32> {
    return vec4<f32>(vec4<i32>(bitcast<vec4<i32>>(vec4<u32>(codes << 24u, codes << 16u, codes << 8u, codes)) >> vec4<u32>(24u)));
}

/// The weights 4 k to 4 k + 3 of the row that begins at this element.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    return bitcast<f32>(w[row]) * (1.0 / 127.0) * four(w[row + 1u + k]);
}

/// The weights 4 k to 4 k + 7, k even.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    return bitcast<f32>(w[row]) * (1.0 / 127.0) * mat2x4<f32>(four(w[row + 1u + k]), four(w[row + 2u + k]));
}
