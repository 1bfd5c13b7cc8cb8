// grad_norm = sqrt(sum of the partials), the factor that clips it, and the halt flag if the norm or the loss is not finite.
// The norm never leaves the GPU inside a step: the optimiser reads clip and halt from the same buffer.
// One workgroup and a fixed order, so the same bits every run. To be dispatched as one workgroup, once an optimiser step.
// use: shared/step.wgsl
// use: shared/stats.wgsl
// use: shared/runs.wgsl
// use: shared/total.wgsl

/// Threads of the workgroup, a power of two.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Number of partial sums.
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> partials: array<f32>;
@group(0) @binding(3) var<storage, read_write> stats: Stats;

alias Number = f32;

fn number(i: u32, _one: u32) -> Number {
    return partials[i];
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_id) local: vec3<u32>) {
    let squares = total(local.x, sum_in_runs(local.x, params.count, WORKGROUP, 0u));
    if (local.x == 0u) {
        let norm = sqrt(squares);
        stats.grad_norm = norm;
        var clip = 1.0;
        if (step.max_grad_norm > 0.0) {
            clip = min(1.0, step.max_grad_norm / (norm + 1e-6));
        }
        stats.clip = clip;
        if (not_finite(squares) || not_finite(stats.loss_sum)) {
            stats.halt = 1u;
        }
        if (stats.halt == 0u) {
            stats.steps += 1u;
        }
    }
}
