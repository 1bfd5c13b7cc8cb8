// use: shared/no_table.wgsl

/// What one load brings: eight consecutive weights in f16, the first in the low half of x. Rows and strides are counted in fours.
alias Weight = vec4<u32>;

/// Fours of weights in one load.
const WIDE: u32 = 2u;

/// The weights from 4 k on that one load brings, k even, of the row that begins at this four.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    let eight = w[(row + k) / 2u];
    return mat2x4<f32>(
        vec4<f32>(unpack2x16float(eight.x), unpack2x16float(eight.y)), vec4<f32>(unpack2x16float(eight.z), unpack2x16float(eight.w)));
}
