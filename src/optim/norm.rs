//! The global norm of the gradients and the factor that clips by it: g·min(1, max/(‖g‖₂ + 1e-6)), as PyTorch's `clip_grad_norm_`.

use super::{Trained, stats};
use crate::kernels::{Bind, Dispatch, Resource, Tuning, gradient_norm_final, gradient_norm_partial, workgroups};

/// Partial sums of squares over every arena, then the norm, the factor, and whether the step is taken at all.
pub(super) fn dispatches(trained: &[Trained], tuning: &Tuning) -> Vec<Dispatch> {
    let (group, items) = (tuning.norm_threads as usize, tuning.norm_items as usize);
    let mut dispatches = Vec::new();
    let mut partials = 0usize;
    let blocks: Vec<usize> = trained.iter().map(|arena| arena.vectors().div_ceil(group * items)).collect();
    let partials_bind =
        Bind { resource: Resource::Partials, offset: 0, size: (blocks.iter().sum::<usize>() as u64 * 4).next_multiple_of(16) };
    for (arena, blocks) in trained.iter().zip(&blocks) {
        let params = gradient_norm_partial::Params { count: arena.vectors() as u32, first: partials as u32 };
        let constants = gradient_norm_partial::Constants { WORKGROUP: group as u32, ITEMS: items as u32 };
        let bindings = gradient_norm_partial::Bindings { gradient: arena.gradient(), partials: partials_bind };
        dispatches.push(gradient_norm_partial::dispatch(params, constants, bindings, workgroups(*blocks)));
        partials += blocks;
    }
    let params = gradient_norm_final::Params { count: partials as u32 };
    let constants = gradient_norm_final::Constants { WORKGROUP: group as u32 };
    let bindings = gradient_norm_final::Bindings { partials: partials_bind, stats: stats() };
    dispatches.push(gradient_norm_final::dispatch(params, constants, bindings, [1, 1, 1]));
    dispatches
}
