// use: shared/no_table.wgsl

/// An element of an array of weights, and what one load brings: four consecutive ones.
alias Weight = vec4<f32>;

/// Fours of weights in one load.
const WIDE: u32 = 1u;

/// The weights from 4 k on that one load brings, of the row that begins at this element.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    return mat2x4<f32>(w[row + k], vec4<f32>());
}
