// dvalues[rows[i]] = -losses[i], with what each target counts in the gradient for its loss; all other rows stay as they are, which is zero.
// The gradient of a value is minus that of the loss that stood for it.
// One thread a target; each row has one target at most, so nothing is added up.
// use: shared/step.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 64u;

struct Params {
    /// Capacity of rows and losses.
    capacity: u32,
    /// Row stride of dvalues in floats.
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// Row of each target, (targets)
@group(0) @binding(2) var<storage, read> rows: array<u32>;
/// What each target counts in the gradient, (capacity)
@group(0) @binding(3) var<storage, read> losses: array<f32>;
/// In: zeros, (tokens, 1)
@group(0) @binding(4) var<storage, read_write> dvalues: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let one = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local.x;
    if (one < min(step.targets, params.capacity)) {
        dvalues[rows[one] * params.stride] = -losses[one];
    }
}
