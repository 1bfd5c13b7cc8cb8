// h = act(gate) * up, the middle of a gated MLP.
// One pass over both projections: act(gate) is never written.
// Element-wise over whole buffers, one vec4 a thread; act(0) * 0 keeps the padding zero.
// use: shared/activation.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Size of every buffer in vec4: rows * stride.
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (rows, cols)
@group(0) @binding(1) var<storage, read> gate: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(2) var<storage, read> up: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;

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
    h[i] = activation(gate[i]) * up[i];
}
