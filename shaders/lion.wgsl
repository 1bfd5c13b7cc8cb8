// One Lion step over a flat range: p *= 1 - lr * wd, p -= lr * sign(beta1 * m + (1 - beta1) * g), m = beta2 * m + (1 - beta2) * g.
// Clipping is folded in as a factor read from the statistics; 20 bytes a parameter.
// Decoupled decay comes first, as in the paper. After a non-finite loss or norm nothing is touched.
// use: shared/step.wgsl
// use: shared/stats.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Size of the range in vec4.
    count: u32,
    /// Decoupled weight decay.
    weight_decay: f32,
    /// Multiplies the step's learning rate.
    lr_scale: f32,
    /// Share of the momentum in the direction.
    beta1: f32,
    /// 1 - beta1, given because 1 - 0.9 in f32 is not 0.1.
    one_minus_beta1: f32,
    /// Decay of the momentum.
    beta2: f32,
    /// 1 - beta2.
    one_minus_beta2: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> stats: Stats;
/// Sum of the gradients of the accumulation group.
@group(0) @binding(3) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> parameter: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> momentum: array<vec4<f32>>;

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
    let g = gradient[i] * stats.clip;
    let m = momentum[i];
    let rate = step.learning_rate * params.lr_scale;
    let direction = sign(params.beta1 * m + params.one_minus_beta1 * g);
    parameter[i] = parameter[i] * (1.0 - rate * params.weight_decay) - rate * direction;
    momentum[i] = params.beta2 * m + params.one_minus_beta2 * g;
}
