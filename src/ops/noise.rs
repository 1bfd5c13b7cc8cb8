//! Noise on the embeddings in training (NEFTune). It is never stored: a hash of the element and the step's seed.

use crate::graph::{Emit, Graph, Op, Purpose, ValueId};
use crate::kernels::{Input, embedding_noise, workgroups};

#[derive(Debug)]
struct Noise {
    alpha: f32,
}

impl Graph {
    /// x + u · alpha / √(L · N) for x (M, N), u uniform in [−1, 1) and L the length of the token's sequence; x itself where alpha is 0
    /// and in evaluation and generation.
    pub fn noise(&mut self, x: ValueId, alpha: f32) -> ValueId {
        if alpha <= 0.0 || self.purpose != Purpose::Train {
            return x;
        }
        let shape = self.shape(x);
        self.push_one(Noise { alpha }, &[x], shape)
    }
}

impl Op for Noise {
    fn name(&self) -> &'static str {
        "noise"
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        let shape = e.shape(y[0]);
        let count = (shape.floats() / 4) as u32;
        let params = embedding_noise::Params { count, stride: shape.stride4(), width: shape.cols as u32, alpha: self.alpha };
        let constants = embedding_noise::Constants::default();
        let bindings =
            embedding_noise::Bindings { starts: e.input(Input::Starts), ends: e.input(Input::Ends), x: e.bind(x[0]), y: e.bind(y[0]) };
        let groups = workgroups(count.div_ceil(constants.WORKGROUP) as usize);
        e.run(embedding_noise::dispatch(params, constants, bindings, groups));
        Vec::new()
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId], _saved: &[ValueId]) {
        if let Some(dy) = e.grad(y[0]) {
            e.give_grad(x[0], dy);
        }
    }
}
