// y = x * keep / (1 - p), or y += it: dropout, and with dy for x its own backward pass.
// The mask is never stored: a hash of (element, seed of the micro-step, id of the op) makes the same one again.
// Four hashed words (shared/pcg4d.wgsl) for the four floats of a vec4.
// use: shared/step.wgsl
// use: shared/pcg4d.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Size of every buffer in vec4: rows * stride.
    count: u32,
    /// Which dropout of the model this is, so that no two share a mask.
    id: u32,
    /// An element stays if its 32 random bits are at least this: p * 2^32.
    threshold: u32,
    /// 1 / (1 - p)
    scale: f32,
    /// 0: y is written; 1: it is added to.
    accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// (rows, cols)
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

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
    let keep = pcg4d(vec4<u32>(i, step.seed, params.id, 0x9e3779b9u)) >= vec4<u32>(params.threshold);
    var value = select(vec4<f32>(0.0), x[i] * params.scale, keep);
    if (params.accumulate == 1u) {
        value += y[i];
    }
    y[i] = value;
}
