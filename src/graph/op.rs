//! The trait of ops: each emits its own forward and backward.

use std::fmt::Debug;

use super::{Emit, ParamId, ValueId};

/// A coarse operation with its own backward.
pub trait Op: Debug {
    /// Its name in the printed program and in the profile.
    fn name(&self) -> &'static str;

    /// Whether the op changes its first input instead of making an output. Nobody may use the old content afterwards,
    /// the producer's backward included.
    fn in_place(&self) -> bool {
        false
    }

    /// Parameters that it uses: the inputs of the question whether a gradient is needed.
    fn params(&self) -> Vec<ParamId> {
        Vec::new()
    }

    /// Emits the forward dispatches. `x` are the node's inputs, `y` its outputs. Returns further values that the backward will read.
    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId]) -> Vec<ValueId>;

    /// Emits the backward dispatches: reads the outputs' gradients, writes those of the inputs and parameters that need one.
    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId], saved: &[ValueId]);
}
