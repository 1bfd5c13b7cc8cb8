// One Adafactor step over a matrix: p *= 1 - lr * wd, then p -= lr * d * u with u = g / sqrt(r / mean(r)) / sqrt(c).
// Saves memory: beside the weights a number for each row and each column. Clipping by the norm is folded in.
// d keeps the root mean square of the update below a threshold. After a non-finite loss or norm nothing is touched.
// use: shared/step.wgsl
// use: shared/stats.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Size of the matrix (or of its piece) in vec4.
    count: u32,
    /// Row stride in vec4 units.
    stride: u32,
    /// Rows of the whole matrix.
    all_rows: f32,
    /// Weight decay.
    weight_decay: f32,
    /// Multiplies the step's learning rate.
    lr_scale: f32,
    /// From one matrix to the next in vec4 units.
    apart: u32,
    /// From one matrix's factors of rows to the next's.
    rows_apart: u32,
    /// From one matrix's factors of columns to the next's in vec4 units.
    columns_apart: u32,
    /// From one matrix's scratch memory to the next's.
    scratch_apart: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> stats: Stats;
/// Sum of the gradients of the accumulation group.
@group(0) @binding(3) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> row_factor: array<f32>;
@group(0) @binding(5) var<storage, read> column_factor: array<vec4<f32>>;
/// The sum of all rows' factors, and what the update is multiplied by.
@group(0) @binding(6) var<storage, read> scratch: array<f32>;
@group(0) @binding(7) var<storage, read_write> parameter: array<vec4<f32>>;

// Workgroups: x and y over the matrix, z over the matrices.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local.x;
    if (i >= params.count || stats.halt != 0u) {
        return;
    }
    let matrix = workgroup.z;
    let own = matrix * params.scratch_apart;
    let r = row_factor[matrix * params.rows_apart + i / params.stride];
    let c = column_factor[matrix * params.columns_apart + i % params.stride];
    let at = matrix * params.apart + i;
    let factor = inverseSqrt(r * params.all_rows / scratch[own]) * stats.clip * scratch[own + 1u];
    let u = gradient[at] * factor * inverseSqrt(max(c, vec4<f32>(1e-37)));
    let rate = step.learning_rate * params.lr_scale;
    parameter[at] = parameter[at] * (1.0 - rate * params.weight_decay) - rate * u;
}
