/// What a training step reports, and what its kernels hand on to each other. One small storage buffer, read back by the host
/// some steps later; cleared to zeros when training starts.
struct Stats {
    /// Sum of the losses of all target tokens of the accumulation group, in nats, not yet divided by their number. For preferences: the
    /// sum over the micro-batches' samples, each times its micro-batch's loss_scale.
    loss_sum: f32,
    /// L2 norm of the gradients of all trainable parameters, before clipping.
    grad_norm: f32,
    /// Factor on every gradient in the optimiser: min(1, max_grad_norm / (grad_norm + 1e-6)).
    clip: f32,
    /// Not zero once a loss or a gradient norm was not finite. Stays so: the optimiser does nothing from then on.
    halt: u32,
    /// Target tokens of the accumulation group.
    targets: u32,
    /// Optimiser steps taken; the first one not taken is where training went wrong.
    steps: u32,
    /// Preferences: samples of the accumulation group with a preferred answer.
    chosen: f32,
    /// Those with a rejected one.
    rejected: f32,
    /// Sum of the preferred answers' rewards.
    chosen_reward: f32,
    /// Sum of the rejected answers' rewards.
    rejected_reward: f32,
    /// Sum of the preferred answers' log-probabilities.
    chosen_logp: f32,
    /// Sum of the rejected answers' log-probabilities.
    rejected_logp: f32,
    /// Pairs whose preferred answer has the higher reward; in an evaluation that asks for it, targets that are the likeliest token.
    correct: f32,
    /// KTO: sum over the samples of what answers to other prompts gained in the mean of their micro-batch.
    kl: f32,
}

/// Whether x is infinite or NaN, by its bits: compilers may assume that no float is.
fn not_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u;
}
