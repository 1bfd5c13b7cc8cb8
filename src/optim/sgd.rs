//! Stochastic gradient descent as `torch.optim.SGD` does it without momentum, which is what transformers' `sgd` sets: the decay is added to
//! the gradient, p − lr·(g + wd·p).

use super::{Trained, stats};
use crate::kernels::{Dispatch, sgd, workgroups};

/// Hyperparameters that do not change during a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Weight decay of the parameters that decay.
    pub weight_decay: f64,
}

pub(super) fn dispatch(arena: &Trained, hyper: &Sgd) -> Dispatch {
    let params =
        sgd::Params { count: arena.vectors() as u32, weight_decay: arena.weight_decay(hyper.weight_decay), lr_scale: arena.lr_scale };
    let bindings = sgd::Bindings { stats: stats(), gradient: arena.gradient(), parameter: arena.weights() };
    let constants = sgd::Constants::default();
    sgd::dispatch(params, constants, bindings, workgroups(arena.vectors().div_ceil(constants.WORKGROUP as usize)))
}
