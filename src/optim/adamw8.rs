//! AdamW with moments of 8 bits in blocks of 256, as bitsandbytes' `AdamW8bit` (Dettmers et al. 2021, arXiv 2110.02861).

use std::rc::Rc;

use super::{AdamW, Trained, stats};
use crate::graph::{STATE_BLOCK, Table};
use crate::kernels::{Bind, Dispatch, Resource, TableId, adamw_8bit, workgroups};

/// Bits of the exponent at most.
const MOST_EXPONENT_BITS: u32 = 7;

/// The values that the codes stand for, ascending: a dynamic exponent, and a fraction with the bits that it leaves. The signed map has one
/// bit less for the fraction.
fn dynamic_map(signed: bool) -> Vec<f32> {
    let mut values = vec![0.0, 1.0];
    for exponent in 0..MOST_EXPONENT_BITS {
        let steps = 1u32 << (exponent + u32::from(!signed));
        let scale = 10f64.powi(exponent as i32 + 1 - MOST_EXPONENT_BITS as i32) as f32;
        // The middles of so many equal parts of 0.1 to 1.
        let boundary = |i: u32| boundary(i, steps);
        for i in 0..steps {
            let value = scale * ((boundary(i) + boundary(i + 1)) / 2.0);
            values.push(value);
            if signed {
                values.push(-value);
            }
        }
    }
    values.sort_by(f32::total_cmp);
    values
}

/// The boundary `i` of `steps` equal parts of 0.1 to 1, with the roundings of `torch.linspace`: the upper half is counted from the end.
fn boundary(i: u32, steps: u32) -> f32 {
    let step = (1.0f32 - 0.1f32) / steps as f32;
    if i < steps.div_ceil(2) { step.mul_add(i as f32, 0.1) } else { (-step).mul_add((steps - i) as f32, 1.0) }
}

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
