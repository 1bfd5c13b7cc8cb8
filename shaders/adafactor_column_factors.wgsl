// Adafactor's factor of each column: the running mean of its squared gradients, c = beta c + (1 - beta) (mean(g^2) + eps).
// Saves memory: with the factor of each row it stands for the second moments of the whole matrix.
// The sums of the blocks of rows were made before; they are added up in a fixed order, so the same bits every run.
// use: shared/step.wgsl
// use: shared/stats.wgsl
// use: shared/eight_columns.wgsl

struct Params {
    /// Blocks of rows.
    blocks: u32,
    /// Row stride of the gradient in vec4 units.
    stride: u32,
    /// 1 / rows of the matrix.
    inverse: f32,
    /// Added to every square.
    eps: f32,
    /// Where the first block's sums begin in the scratch memory, in vec4 units.
    from_index: u32,
    /// From one matrix's scratch memory to the next's in vec4 units.
    scratch_apart: u32,
    /// From one matrix's factors to the next's in vec4 units.
    columns_apart: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> stats: Stats;
@group(0) @binding(3) var<storage, read> scratch: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> column_factor: array<vec4<f32>>;

var<private> matrix: u32;

fn number(block: u32, column: u32) -> Number {
    return scratch[params.from_index + matrix * params.scratch_apart + block * params.stride + column];
}

// Workgroups: x over the columns, z over the matrices.
@compute @workgroup_size(COLUMNS, THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    matrix = group.z;
    let column = group.x * COLUMNS + local.x;
    let sum = column_total(local.xy, 0u, params.blocks, min(column, params.stride - 1u));
    if (local.y == 0u && column < params.stride && stats.halt == 0u) {
        let at = group.z * params.columns_apart + column;
        let mean = sum * params.inverse + params.eps;
        column_factor[at] = (1.0 - step.factor_rate) * column_factor[at] + step.factor_rate * mean;
    }
}
