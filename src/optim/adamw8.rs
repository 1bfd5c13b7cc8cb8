//! AdamW with moments of 8 bits in blocks of 256, as bitsandbytes' `AdamW8bit` (Dettmers et al. 2021, arXiv 2110.02861).

use std::rc::Rc;

use super::{AdamW, Trained, stats};
use crate::graph::{STATE_BLOCK, Table};
use crate::kernels::{Bind, Dispatch, Resource, TableId, adamw_8bit, workgroups};
use crate::quant::dynamic_map;

/// The signed map, then the unsigned one.
pub(super) fn tables() -> Vec<Table> {
    let data = [dynamic_map(true), dynamic_map(false)].concat();
    vec![Table { name: "8-bit maps".into(), data: Rc::new(data) }]
}

pub(super) fn dispatch(arena: &Trained, hyper: &AdamW) -> Dispatch {
    let params = adamw_8bit::Params {
        count: arena.vectors() as u32,
        weight_decay: arena.weight_decay(hyper.weight_decay),
        lr_scale: arena.lr_scale,
        beta1: hyper.beta1 as f32,
        one_minus_beta1: (1.0 - hyper.beta1) as f32,
        beta2: hyper.beta2 as f32,
        one_minus_beta2: (1.0 - hyper.beta2) as f32,
        eps: hyper.epsilon as f32,
    };
    let bindings = adamw_8bit::Bindings {
        stats: stats(),
        maps: Bind { resource: Resource::Table(TableId(0)), offset: 0, size: 2 * u64::from(adamw_8bit::VALUES) * 4 },
        gradient: arena.gradient(),
        parameter: arena.weights(),
        first_codes: arena.state(0),
        first_scales: arena.state(1),
        second_codes: arena.state(2),
        second_scales: arena.state(3),
    };
    debug_assert_eq!(u64::from(adamw_8bit::BLOCK), STATE_BLOCK);
    let blocks = (arena.bytes as usize).div_ceil(4 * STATE_BLOCK as usize);
    adamw_8bit::dispatch(params, adamw_8bit::Constants::default(), bindings, workgroups(blocks))
}
