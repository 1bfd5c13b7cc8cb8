// y = act(x), the middle of an MLP without a gate.
// x stays for the backward pass, nothing else is kept.
// Element-wise over whole buffers, one vec4 a thread; every activation here maps 0 to 0, so the padding stays zero.
// use: shared/activation.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Size of every buffer in vec4: rows * stride.
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (rows, cols)
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

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
    y[i] = activation(x[i]);
}
