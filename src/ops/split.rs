//! Splitting a fused projection (GPT-2's and Phi-3's query-key-value, Phi-3's gate and up) into its parts.

use crate::graph::{Emit, Graph, Op, Shape, ValueId};
use crate::kernels::elementwise::copy_part;

#[derive(Debug)]
struct Split;

impl Graph {
    /// x (M, Σ widths) → one matrix (M, width) for each width, in order.
    pub fn split(&mut self, x: ValueId, widths: &[usize]) -> Vec<ValueId> {
        let rows = self.shape(x).rows;
        debug_assert_eq!(self.shape(x).cols, widths.iter().sum::<usize>());
        let shapes: Vec<Shape> = widths.iter().map(|&cols| Shape { rows, cols }).collect();
        self.push(Split, &[x], &shapes)
    }
}

impl Op for Split {
    fn name(&self) -> &'static str {
        "split"
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        let from = e.shape(x[0]);
        let mut first = 0;
        for &part in y {
            let to = e.shape(part);
            let dispatch = copy_part(from, first, e.bind(x[0]), to, 0, e.bind(part));
            e.run(dispatch);
            first += to.cols;
        }
        Vec::new()
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId], _saved: &[ValueId]) {
        if !e.needs_grad(x[0]) {
            return;
        }
        let shape = e.shape(x[0]);
        let dx = e.matrix(shape.rows, shape.cols);
        let grads: Vec<Option<ValueId>> = y.iter().map(|part| e.grad(*part)).collect();
        if grads.iter().any(Option::is_none) {
            // The columns of a part that is not used have a gradient of zero.
            e.zero(dx);
        }
        let mut first = 0;
        for (&part, grad) in y.iter().zip(grads) {
            let from = e.shape(part);
            if let Some(grad) = grad {
                let dispatch = copy_part(from, 0, e.bind(grad), shape, first, e.bind(dx));
                e.run(dispatch);
            }
            first += from.cols;
        }
        e.give_grad(x[0], dx);
    }
}
