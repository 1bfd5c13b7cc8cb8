//! An activation times a constant.

use crate::graph::{Emit, Graph, Op, ValueId};
use crate::kernels::{Bind, Dispatch, scale, workgroups};

#[derive(Debug)]
struct Scale {
    factor: f32,
}

impl Graph {
    /// x (M, N) → factor · x; x itself where the factor is 1.
    pub fn scale(&mut self, x: ValueId, factor: f32) -> ValueId {
        if factor == 1.0 {
            return x;
        }
        let shape = self.shape(x);
        self.push_one(Scale { factor }, &[x], shape)
    }
}

impl Scale {
    fn dispatch(&self, count: u32, x: Bind, y: Bind, accumulate: bool) -> Dispatch {
        let params = scale::Params { count, factor: self.factor, accumulate: u32::from(accumulate) };
        let constants = scale::Constants::default();
        let groups = workgroups(count.div_ceil(constants.WORKGROUP) as usize);
        scale::dispatch(params, constants, scale::Bindings { x, y }, groups)
    }
}

impl Op for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        let count = (e.shape(y[0]).floats() / 4) as u32;
        let dispatch = self.dispatch(count, e.bind(x[0]), e.bind(y[0]), false);
        e.run(dispatch);
        Vec::new()
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId], _saved: &[ValueId]) {
        let Some(dy) = e.grad(y[0]) else { return };
        let Some(target) = e.grad_target(x[0]) else { return };
        let count = (e.shape(x[0]).floats() / 4) as u32;
        let dispatch = self.dispatch(count, e.bind(dy), e.bind(target.value), target.accumulate);
        e.run(dispatch);
    }
}
