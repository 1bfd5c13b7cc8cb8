// One step of stochastic gradient descent over a flat range: p -= lr * (g + wd * p).
// Clipping is folded in as a factor read from the statistics; 12 bytes a parameter.
// As in PyTorch the decay is part of the gradient. After a non-finite loss or norm nothing is touched.
// use: shared/step.wgsl
// use: shared/stats.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Size of the range in vec4.
    count: u32,
    /// Weight decay, added to the gradient.
    weight_decay: f32,
    /// Multiplies the step's learning rate.
    lr_scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> stats: Stats;
/// Sum of the gradients of the accumulation group.
@group(0) @binding(3) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> parameter: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local.x;
    if (i >= params.count || stats.halt != 0u) {
        return;
    }
    let p = parameter[i];
    let g = gradient[i] * stats.clip + params.weight_decay * p;
    parameter[i] = p - step.learning_rate * params.lr_scale * g;
}
