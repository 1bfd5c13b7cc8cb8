// A matrix over its Frobenius norm, from the sums of the squares of its rows: x /= sqrt(sum) + 1e-7.
// Saves a copy to the host: the norm never leaves the GPU.
// Every workgroup adds the sums up itself, in one order, so the same bits every run; there are few of them beside the matrix.

/// Threads of a workgroup, a power of two.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Rows of the matrix.
    rows: u32,
    /// Numbers of the matrix, padding included.
    count: u32,
    /// Where the sums of the rows begin in the scratch memory.
    sums: u32,
    /// Where the matrix begins.
    matrix: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> scratch: array<f32>;

var<workgroup> parts: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    var sum = 0.0;
    for (var i = local.x; i < params.rows; i += WORKGROUP) {
        sum += scratch[params.sums + i];
    }
    parts[local.x] = sum;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (local.x < half) {
            parts[local.x] += parts[local.x + half];
        }
    }
    workgroupBarrier();
    let factor = 1.0 / (sqrt(parts[0]) + 1e-7);
    // Each thread owns four neighbours.
    let first = ((workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local.x) * 4u;
    for (var i = first; i < min(first + 4u, params.count); i++) {
        scratch[params.matrix + i] *= factor;
    }
}
