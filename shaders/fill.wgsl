// x = 0 everywhere.
// Zeroes a gradient that is only written in part (embedding, scattered rows) without leaving the compute pass.
// Padding is filled as well.

/// Threads of a workgroup.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Size of every buffer in vec4: rows * stride.
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (rows, cols)
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local.x;
    if (i >= params.count) {
        return;
    }
    x[i] = vec4<f32>(0.0);
}
