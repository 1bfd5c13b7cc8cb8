//! The end of a reward model: the values of the answers' last tokens, compared.
//!
//! The value head itself is an ordinary linear map to one feature. A value takes the place of a log-probability, so that the comparison is that
//! of preferences: its kernel reads minus the log-probability of each target, and leaves what that counts in the gradient.

use super::compare::compare;
use crate::graph::{Emit, Graph, Op, ValueId};
use crate::kernels::{Input, value_backward, value_forward, workgroups};

#[derive(Debug)]
struct Values;

impl Graph {
    /// Ends the graph: values v (M, 1) → the losses of the answers by the objective's preference. Training and evaluation only.
    pub fn values(&mut self, v: ValueId) {
        debug_assert_eq!(self.shape(v).cols, 1);
        self.push(Values, &[v], &[]);
    }
}

impl Op for Values {
    fn name(&self) -> &'static str {
        "values"
    }

    fn forward(&self, e: &mut Emit<'_>, v: &[ValueId], _y: &[ValueId]) -> Vec<ValueId> {
        let Some(loss) = e.graph.objective.preference else { return Vec::new() };
        let tokens = e.tokens();
        let stride = e.shape(v[0]).stride4() * 4;
        let params = value_forward::Params { capacity: tokens as u32, stride };
        let constants = value_forward::Constants::default();
        let bindings = value_forward::Bindings { rows: e.input(Input::TargetRows), values: e.bind(v[0]), losses: e.losses(0, tokens) };
        let groups = workgroups(tokens.div_ceil(constants.WORKGROUP as usize));
        e.run(value_forward::dispatch(params, constants, bindings, groups));
        compare(e, loss);
        if !e.training() || !e.needs_grad(v[0]) {
            return Vec::new();
        }
        let dv = e.matrix(tokens, 1);
        e.zero(dv);
        let params = value_backward::Params { capacity: tokens as u32, stride };
        let constants = value_backward::Constants::default();
        let bindings = value_backward::Bindings { rows: e.input(Input::TargetRows), losses: e.losses(0, tokens), dvalues: e.bind(dv) };
        e.run(value_backward::dispatch(params, constants, bindings, groups));
        vec![dv]
    }

    fn backward(&self, e: &mut Emit<'_>, v: &[ValueId], _y: &[ValueId], saved: &[ValueId]) {
        if let Some(dv) = saved.first() {
            e.give_grad(v[0], *dv);
        }
    }
}
