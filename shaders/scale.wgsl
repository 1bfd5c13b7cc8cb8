// y = factor * x, or y += factor * x: the factors on the residual stream and on the logits that Granite has, forwards and backwards.
// A factor of 1 costs nothing: the op is left out then.
// Element-wise over whole buffers, one vec4 a thread.

/// Threads of a workgroup.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Size of both buffers in vec4: rows * stride.
    count: u32,
    /// Multiplies x.
    factor: f32,
    /// 1: adds to y. 0: overwrites it.
    accumulate: u32,
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
    var value = params.factor * x[i];
    if (params.accumulate == 1u) {
        value += y[i];
    }
    y[i] = value;
}
