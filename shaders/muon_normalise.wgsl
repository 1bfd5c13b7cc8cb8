// Each of some matrices over its Frobenius norm, from the sums of the squares of its rows: x /= sqrt(sum) + 1e-7.
// Saves a copy to the host: the norm never leaves the GPU.
// Every workgroup adds the sums up itself, in one order, so the same bits every run; there are few of them beside the matrix.
// use: shared/runs.wgsl
// use: shared/total.wgsl

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
    /// From one matrix's scratch memory to the next's.
    scratch_apart: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> scratch: array<f32>;

alias Number = f32;

fn number(row: u32, own: u32) -> Number {
    return scratch[own + params.sums + row];
}

// Workgroups: x and y over the matrix, z over the matrices.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let own = workgroup.z * params.scratch_apart;
    let sum = total(local.x, sum_in_runs(local.x, params.rows, WORKGROUP, own));
    let factor = 1.0 / (sqrt(sum) + 1e-7);
    // Each thread owns four neighbours.
    let first = ((workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local.x) * 4u;
    for (var i = first; i < min(first + 4u, params.count); i++) {
        scratch[own + params.matrix + i] *= factor;
    }
}
