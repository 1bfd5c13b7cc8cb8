//! Lion (Chen et al. 2023, arXiv 2302.06675): p·(1 − lr·wd), then p − lr·sign(β₁·m + (1 − β₁)·g); m = β₂·m + (1 − β₂)·g.

use super::{Trained, stats};
use crate::kernels::{Dispatch, lion, workgroups};

/// Hyperparameters that do not change during a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lion {
    /// β₁: what the direction keeps of the momentum.
    pub beta1: f64,
    /// β₂: what the momentum keeps of itself.
    pub beta2: f64,
    /// Decoupled weight decay of the parameters that decay.
    pub weight_decay: f64,
}

pub(super) fn dispatch(arena: &Trained, hyper: &Lion) -> Dispatch {
    let params = lion::Params {
        count: arena.vectors() as u32,
        weight_decay: arena.weight_decay(hyper.weight_decay),
        lr_scale: arena.lr_scale,
        beta1: hyper.beta1 as f32,
        one_minus_beta1: (1.0 - hyper.beta1) as f32,
        beta2: hyper.beta2 as f32,
        one_minus_beta2: (1.0 - hyper.beta2) as f32,
    };
    let bindings = lion::Bindings { stats: stats(), gradient: arena.gradient(), parameter: arena.weights(), momentum: arena.state(0) };
    let constants = lion::Constants::default();
    lion::dispatch(params, constants, bindings, workgroups(arena.vectors().div_ceil(constants.WORKGROUP as usize)))
}
