//! The middle of a gated MLP made in the registers of the products around it, on GPUs: act(gate) · up by the product that makes both, their gradients by
//! the product that makes that of act(gate) · up. Where the contraction is split, or the two do not lie together, a kernel of its own does it (`ops::mlp`).

use super::tiled::union;
use crate::graph::{Emit, ValueId};
use crate::kernels::{self, Bind, Dispatch, Shader, linear_backward_input_tiled, linear_forward_tiled};

/// Where the output of the plain kernels is among their bindings.
const FORWARD_OUTPUT: usize = 5;
const BACKWARD_OUTPUT: usize = 4;

/// Makes h = act(gate) · up along with the product of gate and up, if that was emitted last and each thread has columns of both: whether it was done.
pub fn forward(e: &mut Emit<'_>, gate: ValueId, up: ValueId, h: ValueId, activation: u32) -> bool {
    let Some(gates) = together(e, gate, up) else { return false };
    let width = e.shape(gate).stride4();
    let product = e.take_last_if(|d| {
        let is_it = d.shader.name.starts_with("linear_forward.tiled.") && d.binds[FORWARD_OUTPUT] == gates && d.workgroups[2] == 1;
        is_it && {
            let p: linear_forward_tiled::Params = bytemuck::pod_read_unaligned(&d.params);
            let two_blocks = d.constants.contains(&("COLUMN_BLOCKS", 2.0));
            two_blocks && p.accumulate == 0 && (p.cut1, p.n, p.y_first) == (width, 8 * width, 0)
        }
    });
    let Some(product) = product else { return false };
    let Some(shader) = gated(product.shader, "linear_forward.tiled.", "gated_linear_forward.tiled.") else {
        e.run(product);
        return false;
    };
    let binds = product.binds.iter().copied().chain([e.bind(h)]).collect();
    e.run(with_activation(product, shader, binds, activation));
    true
}

/// Makes the gradients of gate and up along with the product that makes dh, if that was emitted last and nothing else reads dh: they, if it was done.
pub fn backward(e: &mut Emit<'_>, dh: ValueId, gate: ValueId, up: ValueId, activation: u32) -> Option<[ValueId; 2]> {
    let gates = together(e, gate, up)?;
    let (width, written) = (e.shape(gate).stride4(), e.bind(dh));
    if !e.has_one_reader(dh) {
        return None;
    }
    let product = e.take_last_if(|d| {
        let is_it =
            d.shader.name.starts_with("linear_backward_input.tiled.") && d.binds[BACKWARD_OUTPUT] == written && d.workgroups[2] == 1;
        is_it && {
            let p: linear_backward_input_tiled::Params = bytemuck::pod_read_unaligned(&d.params);
            p.accumulate == 0 && (p.k4, p.dx_stride, p.dx_first) == (width, width, 0)
        }
    })?;
    let rooms = [e.gradient_room(gate), e.gradient_room(up)];
    let shader = gated(product.shader, "linear_backward_input.tiled.", "gated_linear_backward_input.tiled.");
    let (Some(shader), Some(dgates)) = (shader, together(e, rooms[0], rooms[1])) else {
        e.run(product);
        return None;
    };
    let binds = product.binds[..BACKWARD_OUTPUT].iter().copied().chain([gates, dgates]).collect();
    e.run(with_activation(product, shader, binds, activation));
    Some(rooms)
}

/// What holds both, where the second begins where the first ends.
fn together(e: &Emit<'_>, gate: ValueId, up: ValueId) -> Option<Bind> {
    let (a, b) = (e.bind(gate), e.bind(up));
    if a.resource != b.resource || a.offset + a.size != b.offset {
        return None;
    }
    union([a, b].into_iter())
}

/// The gated kernel that reads its weights like this plain one.
fn gated(plain: &Shader, of: &str, by: &str) -> Option<&'static Shader> {
    let weight = plain.name.strip_prefix(of)?;
    kernels::ALL.iter().copied().find(|shader| shader.name.strip_prefix(by) == Some(weight))
}

/// The gated kernels have the parameters and the constants of the plain ones, and the activation.
fn with_activation(product: Dispatch, shader: &'static Shader, binds: Vec<Bind>, activation: u32) -> Dispatch {
    let constants = product.constants.iter().copied().chain([("ACTIVATION", f64::from(activation))]).collect();
    Dispatch { shader, constants, binds, ..product }
}
