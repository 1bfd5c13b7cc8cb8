// Muon's direction before it is orthogonalised: the momentum m = beta m + g, and g + beta m (Nesterov) or m, with sums of its squares.
// Saves a pass: the squares are summed where the direction is written.
// The lanes of a row share its sum in a fixed order, so the same bits every run.
// use: shared/stats.wgsl
// use: shared/row_sum.wgsl

struct Params {
    /// Rows of the gradient here.
    rows: u32,
    /// Row stride of the gradient in vec4 units; the padding is zero.
    stride: u32,
    /// Decay of the momentum.
    beta: f32,
    /// What the gradient counts in the direction.
    of_gradient: f32,
    /// What the momentum counts in it.
    of_momentum: f32,
    /// Where the first row's sum goes in the scratch memory.
    sums: u32,
    /// Where the first row of the direction goes in the scratch memory.
    direction: u32,
    /// From one matrix's gradient to the next's in vec4 units, and from one's momentum to the next's.
    apart: u32,
    /// From one matrix's scratch memory to the next's.
    scratch_apart: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stats: Stats;
/// Sum of the gradients of the accumulation group.
@group(0) @binding(2) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> momentum: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> scratch: array<f32>;

// Workgroups: x and y over the rows, z over the matrices.
@compute @workgroup_size(LANES, ROWS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = (group.y * groups.x + group.x) * ROWS + local.y;
    let is_row = row < params.rows;
    let in_matrix = min(row, params.rows - 1u) * params.stride;
    let first = group.z * params.apart + in_matrix;
    let own = group.z * params.scratch_apart;
    var squares = vec4<f32>();
    for (var i = local.x; i < params.stride; i += LANES) {
        let g = gradient[first + i] * stats.clip;
        let m = params.beta * momentum[first + i] + g;
        let d = params.of_gradient * g + params.of_momentum * m;
        squares += d * d;
        if (is_row && stats.halt == 0u) {
            momentum[first + i] = m;
        }
        if (is_row) {
            let to = own + params.direction + 4u * (in_matrix + i);
            scratch[to] = d.x;
            scratch[to + 1u] = d.y;
            scratch[to + 2u] = d.z;
            scratch[to + 3u] = d.w;
        }
    }
    let sum = row_sum(local.y, local.x, squares.x + squares.y + squares.z + squares.w);
    if (local.x == 0u && is_row) {
        scratch[own + params.sums + row] = sum;
    }
}
