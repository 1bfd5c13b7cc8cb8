// losses[i] = -values[rows[i]]: the value that a reward model gives each target, as minus a log-probability.
// The comparison of answers then works on values as it does on log-probabilities, without a kernel of its own.
// One thread a target; a batch has two targets a sample, so this is nothing beside the model.
// use: shared/step.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 64u;

struct Params {
    /// Capacity of rows and losses.
    capacity: u32,
    /// Row stride of values in floats.
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// Row of each target, (targets)
@group(0) @binding(2) var<storage, read> rows: array<u32>;
/// (tokens, 1)
@group(0) @binding(3) var<storage, read> values: array<f32>;
/// (capacity)
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let one = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local.x;
    if (one < min(step.targets, params.capacity)) {
        losses[one] = -values[rows[one] * params.stride];
    }
}
