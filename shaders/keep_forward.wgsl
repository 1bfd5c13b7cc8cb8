// y = x in 16 bits: an activation on its way to the backward pass.
// Kept so it takes half the memory from its last use in the forward pass to its first in the backward pass.
// A pass of its own, so that what the forward pass computes with stays f32. Element-wise over whole buffers, one vec4 a thread.
// permute HALF: bf16 f16
// use: shared/pack_{HALF}.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Size of x in vec4: rows * stride.
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (rows, cols)
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
/// Four numbers of x in each element.
@group(0) @binding(2) var<storage, read_write> y: array<vec2<u32>>;

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
    y[i] = packed(x[i]);
}
