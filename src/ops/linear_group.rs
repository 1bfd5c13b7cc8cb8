//! Linear maps of one x side by side: query, key and value; gate and up. Their outputs lie one after the other in one buffer. On GPUs they are one product
//! in each direction where their weights lie one below the other, which the layout of parameters makes so; elsewhere a product each.

use super::linear::Linear;
use super::low_rank::{self, Made};
use super::matmul::tiled::{self, Output, SIDE_COLUMNS, SIDES, Weights, union};
use super::matmul::{self, Operand, Product};
use crate::graph::{Emit, Graph, LowRank, Op, ParamId, Piece, Shape, ValueId};
use crate::kernels::{Bind, Version, When};

#[derive(Debug)]
struct LinearGroup {
    maps: Vec<Linear>,
}

/// The maps as one.
struct Joined {
    weights: Weights,
    /// The gradient of all weights, if they are trained.
    gradient: Option<Bind>,
    bias: Option<Bind>,
}

impl Graph {
    /// [`Graph::linear`] of one x for several weights and biases.
    pub fn linears(&mut self, x: ValueId, maps: &[(ParamId, Option<ParamId>)]) -> Vec<ValueId> {
        let node = self.nodes.len() as u32;
        // Each has dropout of its own: no node has a number with these bits.
        let maps: Vec<Linear> =
            maps.iter().enumerate().map(|(i, (weight, bias))| Linear::new(self, *weight, *bias, node | (i as u32) << 28)).collect();
        let rows = self.shape(x).rows;
        let shapes: Vec<Shape> = maps.iter().map(|map| Shape { rows, cols: self.param(map.weight).shape.rows }).collect();
        self.push_parts(LinearGroup { maps }, &[x], &shapes)
    }
}

impl Op for LinearGroup {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn params(&self) -> Vec<ParamId> {
        self.maps.iter().flat_map(Linear::params).collect()
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        let outputs = &y[1..];
        let Some(joined) = self.joined(e, outputs) else {
            return self.maps.iter().zip(outputs).flat_map(|(map, y)| map.forward(e, x, &[*y])).collect();
        };
        if e.tokens() == 1 {
            return self.forward_row(e, x[0], &joined, outputs);
        }
        let us = if self.is_adapted() { low_rank::narrow(e, &self.low_ranks(), x[0], When::Always) } else { vec![None; self.maps.len()] };
        let outputs: Vec<Output> = self
            .maps
            .iter()
            .zip(outputs)
            .zip(&us)
            .map(|((map, y), u)| Output {
                y: Operand::value(e, *y),
                columns: e.shape(*y).cols,
                second: map.low_rank.as_ref().zip(*u).map(|(l, u)| low_rank::widen(e, l, u, 0)),
            })
            .collect();
        let (input, product) = (Operand::value(e, x[0]), Product { bias: joined.bias, ..Product::default() });
        for dispatch in tiled::forward(e, input, joined.weights, &outputs, product) {
            e.run(dispatch);
        }
        us.into_iter().flatten().collect()
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId], saved: &[ValueId]) {
        let outputs = &y[1..];
        let mut saved = saved.iter().copied();
        let saved: Vec<Vec<ValueId>> = self.maps.iter().map(|map| saved.by_ref().take(map.saved_values()).collect()).collect();
        let Some(joined) = self.joined(e, outputs) else {
            for ((map, y), saved) in self.maps.iter().zip(outputs).zip(&saved).rev() {
                map.backward(e, x, &[*y], saved);
            }
            return;
        };
        let Some(dys) = e.grads_together(outputs) else { return };
        let ts = if self.is_adapted() { low_rank::narrow_back(e, &self.low_ranks(), &dys, When::Always) } else { vec![None; dys.len()] };
        if self.is_adapted() {
            let made = self.maps.iter().zip(&dys).zip(&ts).zip(&saved).map(|(((map, dy), t), saved)| {
                let (l, t, u) = (map.low_rank.as_ref()?, (*t)?, *saved.first()?);
                Some((l, Made { dy: *dy, u, t }))
            });
            low_rank::gradients(e, &made.collect::<Vec<_>>(), x[0], When::Always);
        }
        let gradients: Vec<Output> = self
            .maps
            .iter()
            .zip(&dys)
            .zip(&ts)
            .map(|((map, dy), t)| Output {
                y: Operand::value(e, *dy),
                columns: e.shape(*dy).cols,
                second: map.low_rank.as_ref().zip(*t).map(|(l, t)| low_rank::widen_back(e, l, t)),
            })
            .collect();
        if let Some(dw) = joined.gradient {
            let modes: Vec<u32> = self.maps.iter().map(|map| e.gradient_mode(map.weight)).collect();
            debug_assert!(modes.iter().all(|mode| *mode == modes[0]), "weights of one group are used equally often");
            let dys: Vec<(Operand, usize)> = gradients.iter().map(|g| (g.y, g.columns)).collect();
            let input = Operand::value(e, x[0]);
            for dispatch in tiled::backward_weight(e, &dys, input, joined.weights.columns, dw, modes[0]) {
                e.run(dispatch);
            }
        }
        for (map, dy) in self.maps.iter().zip(&dys) {
            map.bias_gradient(e, *dy);
        }
        // Last, for a norm before it to take back the sum of its parts.
        if let Some(target) = e.grad_target(x[0]) {
            let product = Product { accumulate: target.accumulate, ..Product::default() };
            let dx = Operand::value(e, target.value);
            for dispatch in tiled::backward_input(e, &gradients, joined.weights, product, dx) {
                e.run(dispatch);
            }
        }
    }
}

impl LinearGroup {
    fn low_ranks(&self) -> Vec<Option<&LowRank>> {
        self.maps.iter().map(|map| map.low_rank.as_ref()).collect()
    }

    fn is_adapted(&self) -> bool {
        self.maps.iter().any(|map| map.low_rank.is_some())
    }

    /// One row of x: the outputs lie one after the other like the columns of one, and so do the rows of the weights.
    fn forward_row(&self, e: &mut Emit<'_>, x: ValueId, joined: &Joined, outputs: &[ValueId]) -> Vec<ValueId> {
        let rows = self.maps.iter().map(|map| e.param(map.weight).shape.rows).sum();
        let piece = Piece { first_row: 0, rows, weight: joined.weights.bind, gradient: None };
        let first = Operand::value(e, outputs[0]);
        let y = Operand { bind: union(outputs.iter().map(|y| e.bind(*y))).unwrap_or(first.bind), ..first };
        let product = Product { bias: joined.bias, ..Product::default() };
        for dispatch in matmul::forward(e, Operand::value(e, x), self.maps[0].weight, &piece, product, y) {
            e.run(dispatch);
        }
        Vec::new()
    }

    /// The maps as one, where the device's products take several, outputs and weights (and biases) lie one below the other, no tile would be in
    /// two of them, and each is adapted by nothing but an undropped A and B.
    fn joined(&self, e: &Emit<'_>, outputs: &[ValueId]) -> Option<Joined> {
        let maps = &self.maps;
        if outputs.iter().any(|y| e.part_of(*y).is_none()) {
            return None;
        }
        // The outputs of a single row are one row; other few rows are streams of each weight.
        let one_row = e.tokens() == 1 && !e.training() && !self.is_adapted();
        let tiles = e.tuning.products == Version::Tiled && e.tokens() > e.tuning.vector_rows && maps.len() <= SIDES;
        if !one_row && !tiles {
            return None;
        }
        let rows = |map: &Linear| e.param(map.weight).shape.rows;
        if maps[..maps.len() - 1].iter().any(|map| !rows(map).is_multiple_of(SIDE_COLUMNS)) {
            return None;
        }
        let plain = |l: &LowRank| l.magnitude.is_none() && (l.dropout <= 0.0 || !e.training());
        if !maps.iter().filter_map(|map| map.low_rank.as_ref()).all(plain) {
            return None;
        }
        for factor in [|l: &LowRank| l.a, |l: &LowRank| l.b] {
            let mut factors = maps.iter().filter_map(|map| map.low_rank.as_ref()).map(|l| e.piece(factor(l)).weight).peekable();
            if factors.peek().is_some() && union(factors).is_none() {
                return None;
            }
        }
        let weights = adjacent(e, maps.iter().map(|map| Some(map.weight)))?;
        let bias = if maps.iter().all(|map| map.bias.is_none()) {
            None
        } else {
            Some(union(adjacent(e, maps.iter().map(|map| map.bias))?.iter().map(|bias| bias.weight))?)
        };
        let first = e.param(maps[0].weight);
        let bind = union(weights.iter().map(|piece| piece.weight))?;
        let gradient = union(weights.iter().filter_map(|piece| piece.gradient));
        let weights = Weights { bind, weight_type: first.weight_type, columns: first.shape.cols };
        Some(Joined { weights, gradient, bias })
    }
}

/// The pieces of parameters, where each is one and begins where the one before it ends.
fn adjacent(e: &Emit<'_>, params: impl Iterator<Item = Option<ParamId>>) -> Option<Vec<Piece>> {
    let mut pieces: Vec<Piece> = Vec::new();
    for param in params {
        let [piece] = <[Piece; 1]>::try_from(e.pieces(param?)).ok()?;
        if let Some(before) = pieces.last() {
            let next = Bind { offset: before.weight.offset + before.weight.size, ..before.weight };
            if (next.resource, next.offset) != (piece.weight.resource, piece.weight.offset) {
                return None;
            }
        }
        pieces.push(piece);
    }
    Some(pieces)
}
