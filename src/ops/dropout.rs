//! Dropout. The mask is never stored: it is a hash of the element, the step's seed and the op's number.

use crate::graph::{Emit, Graph, Op, Purpose, ValueId};
use crate::kernels::{When, dropout_forward, workgroups};

#[derive(Debug)]
struct Dropout {
    p: f32,
    id: u32,
}

impl Graph {
    /// x · keep / (1 − p) in training; x itself where p is 0 and in evaluation and generation.
    pub fn dropout(&mut self, x: ValueId, p: f32) -> ValueId {
        if p <= 0.0 || self.purpose != Purpose::Train {
            return x;
        }
        // The number of the node tells dropouts of one step apart, and is the same when a layer is computed again.
        let id = self.nodes.len() as u32;
        let shape = self.shape(x);
        self.push_one(Dropout { p: p.min(1.0), id }, &[x], shape)
    }
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        mask(e, self.p, self.id, x[0], y[0], false, When::Always);
        Vec::new()
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId], _saved: &[ValueId]) {
        let Some(dy) = e.grad(y[0]) else { return };
        if let Some(target) = e.grad_target(x[0]) {
            mask(e, self.p, self.id, dy, target.value, target.accumulate, When::Always);
        }
    }
}

/// y = x · keep / (1 − p), or y += it; with dy for x its own backward.
pub(super) fn mask(e: &mut Emit<'_>, p: f32, id: u32, x: ValueId, y: ValueId, accumulate: bool, when: When) {
    let params = dropout_forward::Params {
        count: (e.shape(x).floats() / 4) as u32,
        id,
        // A float turned into an integer saturates, so p = 1 drops all but one element in 2^32.
        threshold: (f64::from(p) * 4_294_967_296.0) as u32,
        scale: if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 },
        accumulate: u32::from(accumulate),
    };
    let constants = dropout_forward::Constants::default();
    let bindings = dropout_forward::Bindings { x: e.bind(x), y: e.bind(y) };
    let groups = workgroups(params.count.div_ceil(constants.WORKGROUP) as usize);
    e.run(dropout_forward::dispatch(params, constants, bindings, groups).when(when));
}
