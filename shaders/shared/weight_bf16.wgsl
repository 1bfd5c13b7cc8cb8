// use: shared/no_table.wgsl

/// An element of an array of weights: four consecutive ones in bf16, the first in the low half of x.
alias Weight = vec2<u32>;

/// The weights 4 k to 4 k + 3 of the row that begins at this element, as f32: bf16 is the upper half of an f32.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    let four = w[row + k];
    return vec4<f32>(
        bitcast<f32>(four.x << 16u), bitcast<f32>(four.x & 0xffff0000u),
        bitcast<f32>(four.y << 16u), bitcast<f32>(four.y & 0xffff0000u));
}
