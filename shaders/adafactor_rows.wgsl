// Adafactor's factor of each row: the running mean of its squared gradients, r = beta r + (1 - beta) (mean(g^2) + eps).
// Saves memory: with the factor of each column it stands for the second moments of the whole matrix.
// The lanes of a row share its sum in a fixed order, so the same bits every run.
// use: shared/step.wgsl
// use: shared/stats.wgsl
// use: shared/row_sum.wgsl

struct Params {
    /// Rows of the matrix.
    rows: u32,
    /// Row stride of the gradient in vec4 units; the padding is zero.
    stride: u32,
    /// 1 / columns.
    inverse: f32,
    /// Added to every square.
    eps: f32,
    /// From one matrix's gradient to the next's in vec4 units.
    apart: u32,
    /// From one matrix's factors to the next's.
    rows_apart: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> stats: Stats;
/// Sum of the gradients of the accumulation group.
@group(0) @binding(3) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> row_factor: array<f32>;

// Workgroups: x and y over the rows, z over the matrices.
@compute @workgroup_size(LANES, ROWS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = (group.y * groups.x + group.x) * ROWS + local.y;
    let first = group.z * params.apart + min(row, params.rows - 1u) * params.stride;
    var squares = vec4<f32>();
    for (var i = local.x; i < params.stride; i += LANES) {
        let g = gradient[first + i] * stats.clip;
        squares += g * g;
    }
    let sum = row_sum(local.y, local.x, squares.x + squares.y + squares.z + squares.w);
    if (local.x == 0u && row < params.rows && stats.halt == 0u) {
        let at = group.z * params.rows_apart + row;
        row_factor[at] = (1.0 - step.factor_rate) * row_factor[at] + step.factor_rate * (sum * params.inverse + params.eps);
    }
}
