// x = y in f32: an activation that was kept in 16 bits, for the backward pass.
// It lives in f32 from its first use there to its last, within one op mostly.
// A pass of its own, so that every kernel can read what was kept. Element-wise over whole buffers, one vec4 a thread.
// permute HALF: bf16 f16
// use: shared/pack_{HALF}.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Size of x in vec4: rows * stride.
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// Four numbers of x in each element.
@group(0) @binding(1) var<storage, read> y: array<vec2<u32>>;
/// (rows, cols)
@group(0) @binding(2) var<storage, read_write> x: array<vec4<f32>>;

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
    x[i] = unpacked(y[i]);
}
