//! AdamW with decoupled weight decay, in PyTorch's and transformers' arithmetic: p·(1 − lr·wd), then p − lr·m̂/(√v̂ + ε).

use super::{Trained, stats};
use crate::kernels::{Dispatch, adamw, workgroups};

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

pub(super) fn dispatch(arena: &Trained, hyper: &AdamW) -> Dispatch {
    let params = adamw::Params {
        count: arena.vectors() as u32,
        weight_decay: arena.weight_decay(hyper.weight_decay),
        lr_scale: arena.lr_scale,
        beta1: hyper.beta1 as f32,
        one_minus_beta1: (1.0 - hyper.beta1) as f32,
        beta2: hyper.beta2 as f32,
        one_minus_beta2: (1.0 - hyper.beta2) as f32,
        eps: hyper.epsilon as f32,
    };
    let bindings = adamw::Bindings {
        stats: stats(),
        gradient: arena.gradient(),
        parameter: arena.weights(),
        first_moment: arena.state(0),
        second_moment: arena.state(1),
    };
    let constants = adamw::Constants::default();
    adamw::dispatch(params, constants, bindings, workgroups(arena.vectors().div_ceil(constants.WORKGROUP as usize)))
}
