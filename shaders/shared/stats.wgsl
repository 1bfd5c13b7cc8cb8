/// What a training step reports, and what its kernels hand on to each other. One small storage buffer, read back by the host
/// some steps later; cleared to zeros when training starts.
struct Stats {
    /// Sum of the losses of all target tokens of the accumulation group, in nats, not yet divided by their number.
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
}

/// Whether x is infinite or NaN, by its bits: compilers may assume that no float is.
fn not_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u;
}
