// use: shared/no_table.wgsl

/// What one load brings: eight consecutive weights in bf16, the first in the low half of x. Rows and strides are counted in fours.
alias Weight = vec4<u32>;

/// Fours of weights in one load.
const WIDE: u32 = 2u;

/// Four weights as f32: bf16 is the upper half of an f32.
fn four(w: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(
        bitcast<f32>(w.x << 16u), bitcast<f32>(w.x & 0xffff0000u),
        bitcast<f32>(w.y << 16u), bitcast<f32>(w.y & 0xffff0000u));
}

/// The weights from 4 k on that one load brings, k even, of the row that begins at this four.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    let eight = w[(row + k) / 2u];
    return mat2x4<f32>(four(eight.xy), four(eight.zw));
}
