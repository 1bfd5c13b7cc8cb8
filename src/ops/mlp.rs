//! The middle of a feed-forward block: act(gate) · up, or act(x) where there is no gate.

use super::matmul::gated as in_product;
use crate::graph::{Emit, Graph, Op, ValueId};
use crate::kernels::{Activation, activation_backward, activation_forward, gated_backward, gated_forward, workgroups};

#[derive(Debug)]
struct Gated {
    activation: Activation,
}

#[derive(Debug)]
struct Plain {
    activation: Activation,
}

impl Graph {
    /// gate, up (M, F) → act(gate) · up.
    pub fn gated(&mut self, gate: ValueId, up: ValueId, activation: Activation) -> ValueId {
        let shape = self.shape(gate);
        self.push_one(Gated { activation }, &[gate, up], shape)
    }

    /// x (M, F) → act(x).
    pub fn activation(&mut self, x: ValueId, activation: Activation) -> ValueId {
        let shape = self.shape(x);
        self.push_one(Plain { activation }, &[x], shape)
    }
}

/// What the kernels call it; all of them include the same file.
fn number(activation: Activation) -> u32 {
    match activation {
        Activation::Silu => gated_forward::SILU,
        Activation::GeluTanh => gated_forward::GELU_TANH,
        Activation::Gelu => gated_forward::GELU,
        Activation::Relu => gated_forward::RELU,
    }
}

/// Elements of four floats of a whole value.
fn count(e: &Emit<'_>, value: ValueId) -> u32 {
    (e.shape(value).floats() / 4) as u32
}

impl Op for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        if in_product::forward(e, x[0], x[1], y[0], number(self.activation)) {
            return Vec::new();
        }
        let params = gated_forward::Params { count: count(e, y[0]) };
        let constants = gated_forward::Constants { ACTIVATION: number(self.activation), ..Default::default() };
        let bindings = gated_forward::Bindings { gate: e.bind(x[0]), up: e.bind(x[1]), h: e.bind(y[0]) };
        let groups = workgroups(params.count.div_ceil(constants.WORKGROUP) as usize);
        e.run(gated_forward::dispatch(params, constants, bindings, groups));
        Vec::new()
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId], _saved: &[ValueId]) {
        let Some(dh) = e.grad(y[0]) else { return };
        if !e.needs_grad(x[0]) && !e.needs_grad(x[1]) {
            return;
        }
        if let Some([dgate, dup]) = in_product::backward(e, dh, x[0], x[1], number(self.activation)) {
            e.give_grad(x[0], dgate);
            e.give_grad(x[1], dup);
            return;
        }
        // Each projection feeds this op only, so fresh buffers, handed over as the gradients.
        let (dgate, dup) = (e.gradient_room(x[0]), e.gradient_room(x[1]));
        let params = gated_backward::Params { count: count(e, x[0]) };
        let constants = gated_backward::Constants { ACTIVATION: number(self.activation), ..Default::default() };
        let bindings =
            gated_backward::Bindings { dh: e.bind(dh), gate: e.bind(x[0]), up: e.bind(x[1]), dgate: e.bind(dgate), dup: e.bind(dup) };
        let groups = workgroups(params.count.div_ceil(constants.WORKGROUP) as usize);
        e.run(gated_backward::dispatch(params, constants, bindings, groups));
        e.give_grad(x[0], dgate);
        e.give_grad(x[1], dup);
    }
}

impl Op for Plain {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        let params = activation_forward::Params { count: count(e, y[0]) };
        let constants = activation_forward::Constants { ACTIVATION: number(self.activation), ..Default::default() };
        let bindings = activation_forward::Bindings { x: e.bind(x[0]), y: e.bind(y[0]) };
        let groups = workgroups(params.count.div_ceil(constants.WORKGROUP) as usize);
        e.run(activation_forward::dispatch(params, constants, bindings, groups));
        Vec::new()
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId], _saved: &[ValueId]) {
        let Some(dy) = e.grad(y[0]) else { return };
        if !e.needs_grad(x[0]) {
            return;
        }
        let shape = e.shape(x[0]);
        let dx = e.matrix(shape.rows, shape.cols);
        let params = activation_backward::Params { count: count(e, x[0]) };
        let constants = activation_backward::Constants { ACTIVATION: number(self.activation), ..Default::default() };
        let bindings = activation_backward::Bindings { dy: e.bind(dy), x: e.bind(x[0]), dx: e.bind(dx) };
        let groups = workgroups(params.count.div_ceil(constants.WORKGROUP) as usize);
        e.run(activation_backward::dispatch(params, constants, bindings, groups));
        e.give_grad(x[0], dx);
    }
}
