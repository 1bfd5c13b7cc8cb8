// use: shared/no_table.wgsl

/// An element of an array of weights: four consecutive ones.
alias Weight = vec4<f32>;

/// The weights 4 k to 4 k + 3 of the row that begins at this element.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    return w[row + k];
}
