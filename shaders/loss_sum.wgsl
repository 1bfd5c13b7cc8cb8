// stats.loss_sum = sum of losses[0 .. step.targets], or += it within an accumulation group; likewise targets.
// Losses stay on the GPU and are read back once a step as one number.
// With ACCURACY, losses up to 0 are those of targets that are the likeliest token, with their sign turned: stats.correct counts them.
// One workgroup, fixed order, short chains and a tree: accurate to a few units in the last place. One workgroup to dispatch.
// use: shared/step.wgsl
// use: shared/stats.wgsl
// use: shared/runs.wgsl
// use: shared/total.wgsl

/// Threads of the workgroup, a power of two.
override WORKGROUP: u32 = 64u;
/// Whether targets that are the likeliest token are counted.
override ACCURACY: bool = false;

struct Params {
    /// Capacity of losses: no more than so many targets are summed.
    capacity: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// Loss of each target token, (capacity)
@group(0) @binding(2) var<storage, read> losses: array<f32>;
@group(0) @binding(3) var<storage, read_write> stats: Stats;

/// A loss, and with ACCURACY 1 where its target is the likeliest token.
alias Number = vec2<f32>;

fn number(i: u32, _one: u32) -> Number {
    let loss = losses[i];
    if (ACCURACY) {
        return Number(abs(loss), select(0.0, 1.0, loss <= 0.0));
    }
    return Number(loss, 0.0);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_id) local: vec3<u32>) {
    let count = min(step.targets, params.capacity);
    let own = sum_in_runs(local.x, count, WORKGROUP, 0u);
    let all = total(local.x, own.x);
    let adds = step.accumulate == 1u;
    if (local.x == 0u) {
        stats.loss_sum = select(0.0, stats.loss_sum, adds) + all;
        stats.targets = select(0u, stats.targets, adds) + count;
    }
    if (ACCURACY) {
        let all_right = total(local.x, own.y);
        if (local.x == 0u) {
            stats.correct = select(0.0, stats.correct, adds) + all_right;
        }
    }
}
