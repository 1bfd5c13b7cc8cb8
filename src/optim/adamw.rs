//! AdamW with decoupled weight decay and clipping by the global norm, in PyTorch's and transformers' arithmetic:
//! g·min(1, max/(‖g‖₂ + 1e-6)); p·(1 − lr·wd), then p − lr·m̂/(√v̂ + ε).

use crate::graph::ParamLayout;
use crate::kernels::{
    Bind, Dispatch, Owner, Phase, Resource, STATS_BYTES, Tuning, adamw, gradient_norm_final, gradient_norm_partial, workgroups,
};
use crate::plan::Program;

/// Hyperparameters that do not change during a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// β₁.
    pub beta1: f64,
    /// β₂.
    pub beta2: f64,
    /// ε.
    pub epsilon: f64,
    /// Decoupled weight decay of the parameters that decay.
    pub weight_decay: f64,
}

impl Default for AdamW {
    /// transformers' defaults.
    fn default() -> Self {
        AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// The program that turns the gradients of an accumulation group into new weights. It needs no activations.
pub fn update_program(layout: &ParamLayout, tuning: &Tuning, hyper: &AdamW) -> Program {
    let trainable: Vec<(u32, u64)> =
        layout.arenas.iter().enumerate().filter(|(_, a)| a.group.trainable).map(|(i, a)| (i as u32, a.bytes / 16 * 16)).collect();
    let (group, items) = (tuning.norm_threads as usize, tuning.norm_items as usize);
    let stats = Bind { resource: Resource::Stats, offset: 0, size: STATS_BYTES };
    let mut dispatches = Vec::new();
    let mut partials = 0usize;
    let blocks: Vec<usize> = trainable.iter().map(|(_, bytes)| (*bytes as usize / 16).div_ceil(group * items)).collect();
    let partials_bind =
        Bind { resource: Resource::Partials, offset: 0, size: (blocks.iter().sum::<usize>() as u64 * 4).next_multiple_of(16) };
    for ((arena, bytes), blocks) in trainable.iter().zip(&blocks) {
        let params = gradient_norm_partial::Params { count: (*bytes / 16) as u32, first: partials as u32 };
        let constants = gradient_norm_partial::Constants { WORKGROUP: group as u32, ITEMS: items as u32 };
        let gradient = Bind { resource: Resource::Gradients(*arena), offset: 0, size: *bytes };
        let bindings = gradient_norm_partial::Bindings { gradient, partials: partials_bind };
        dispatches.push(gradient_norm_partial::dispatch(params, constants, bindings, workgroups(*blocks)));
        partials += blocks;
    }
    let params = gradient_norm_final::Params { count: partials as u32 };
    let constants = gradient_norm_final::Constants { WORKGROUP: group as u32 };
    let bindings = gradient_norm_final::Bindings { partials: partials_bind, stats };
    dispatches.push(gradient_norm_final::dispatch(params, constants, bindings, [1, 1, 1]));
    for (arena, bytes) in trainable {
        let group = layout.arenas[arena as usize].group;
        let params = adamw::Params {
            count: (bytes / 16) as u32,
            weight_decay: if group.decays { hyper.weight_decay as f32 } else { 0.0 },
            lr_scale: group.lr_scale,
            beta1: hyper.beta1 as f32,
            one_minus_beta1: (1.0 - hyper.beta1) as f32,
            beta2: hyper.beta2 as f32,
            one_minus_beta2: (1.0 - hyper.beta2) as f32,
            eps: hyper.epsilon as f32,
        };
        let bind = |resource| Bind { resource, offset: 0, size: bytes };
        let bindings = adamw::Bindings {
            stats,
            gradient: bind(Resource::Gradients(arena)),
            parameter: bind(Resource::Weights(arena)),
            first_moment: bind(Resource::Moment1(arena)),
            second_moment: bind(Resource::Moment2(arena)),
        };
        let constants = adamw::Constants::default();
        dispatches.push(adamw::dispatch(
            params,
            constants,
            bindings,
            workgroups((bytes as usize / 16).div_ceil(constants.WORKGROUP as usize)),
        ));
    }
    let owner = Owner { op: "adamw", layer: None, phase: Phase::Update };
    let dispatches = dispatches.into_iter().map(|d| Dispatch { owner, ..d }).collect();
    Program::over_parameters(dispatches)
}
