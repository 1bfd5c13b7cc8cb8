// dx = dy * act'(x).
// From the input itself, so the forward pass keeps nothing.
// Element-wise over whole buffers, one vec4 a thread; zeros of dy keep the padding zero.
// use: shared/activation.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Size of every buffer in vec4: rows * stride.
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (rows, cols)
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<f32>>;

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
    dx[i] = dy[i] * activation_derivative(x[i]);
}
