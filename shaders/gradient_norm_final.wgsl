// grad_norm = sqrt(sum of the partials), the factor that clips it, and the halt flag if the norm or the loss is not finite.
// The norm never leaves the GPU inside a step: the optimiser reads clip and halt from the same buffer.
// One workgroup and a fixed order, so the same bits every run. To be dispatched as one workgroup, once an optimiser step.
// use: shared/step.wgsl
// use: shared/stats.wgsl

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

var<workgroup> sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_id) local: vec3<u32>) {
    // Each thread sums its share in runs of 32, so that no chain of additions is long.
    var sum = 0.0;
    for (var run = local.x; run < params.count; run += WORKGROUP * 32u) {
        var part = 0.0;
        for (var i = run; i < min(run + WORKGROUP * 32u, params.count); i += WORKGROUP) {
            part += partials[i];
        }
        sum += part;
    }
    sums[local.x] = sum;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (local.x < half) {
            sums[local.x] += sums[local.x + half];
        }
    }
    if (local.x == 0u) {
        let squares = sums[0];
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
