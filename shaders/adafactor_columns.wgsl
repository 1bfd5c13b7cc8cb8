// Adafactor's factor of each column: the running mean of its squared gradients, c = beta c + (1 - beta) (mean(g^2) + eps).
// Saves memory: with the factor of each row it stands for the second moments of the whole matrix.
// A workgroup owns eight neighbouring vec4 columns, so that a row's reads lie together; its threads' sums are added in a fixed order.
// use: shared/step.wgsl
// use: shared/stats.wgsl

/// Columns of a workgroup, in vec4 units.
const COLUMNS: u32 = 8u;
/// Threads that share a column.
const THREADS: u32 = 32u;

struct Params {
    /// Rows of the gradient here: of the matrix, or of a piece of it.
    rows: u32,
    /// Row stride of the gradient in vec4 units.
    stride: u32,
    /// 1 / rows of the whole matrix.
    inverse: f32,
    /// Added to every square.
    eps: f32,
    /// 1: the first piece of the matrix, which lets the old mean decay. 0: another, which is added.
    first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> stats: Stats;
/// Sum of the gradients of the accumulation group.
@group(0) @binding(3) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> column_factor: array<vec4<f32>>;

var<workgroup> sums: array<vec4<f32>, 256>;

@compute @workgroup_size(COLUMNS, THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let column = (group.y * groups.x + group.x) * COLUMNS + local.x;
    let at = min(column, params.stride - 1u);
    // In runs of 32, so that no chain of additions is long.
    var sum = vec4<f32>();
    for (var run = local.y; run < params.rows; run += THREADS * 32u) {
        var part = vec4<f32>();
        for (var row = run; row < min(run + THREADS * 32u, params.rows); row += THREADS) {
            let g = gradient[row * params.stride + at] * stats.clip;
            part += g * g;
        }
        sum += part;
    }
    let own = local.y * COLUMNS + local.x;
    sums[own] = sum;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (local.y < half) {
            sums[own] += sums[own + half * COLUMNS];
        }
    }
    if (local.y == 0u && column < params.stride && stats.halt == 0u) {
        var mean = sums[own] * params.inverse;
        var old = column_factor[column];
        if (params.first != 0u) {
            old *= 1.0 - step.factor_rate;
            mean += params.eps;
        }
        column_factor[column] = old + step.factor_rate * mean;
    }
}
