//! Compiles a graph into a program: forward, recomputed layers, backward.

use std::collections::HashMap;

use super::program::Program;
use super::{kept, lifetime};
use crate::gpu::Profile;
use crate::graph::{Emit, Graph, ParamLayout, Purpose, ValueId};
use crate::kernels::{Half, Phase, Tile};

/// Choices of the recipe that change the program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Keep only the layers' inputs and compute the rest again in the backward pass.
    pub gradient_checkpointing: bool,
    /// Keep activations for the backward pass in 16 bits; in f32 without.
    pub kept: Option<Half>,
}

impl Options {
    /// The type of the products' tiles: where activations are IEEE halves, these are too if the device gains by it. bfloat16 is chosen for its range, which
    /// halves do not have.
    fn tile(&self, profile: &Profile) -> Tile {
        if self.kept == Some(Half::F16) && profile.half_products() { Tile::F16 } else { Tile::F32 }
    }
}

/// Compiles a graph for a device.
pub fn compile(graph: &Graph, layout: &ParamLayout, profile: &Profile, options: Options) -> Program {
    let mut e = Emit::new(graph, layout, profile);
    e.tile = options.tile(profile);
    let mut saved: Vec<Vec<ValueId>> = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        e.set_phase(Phase::Forward, index);
        saved.push(node.op.forward(&mut e, &node.inputs, &node.outputs));
    }
    if graph.purpose == Purpose::Train {
        backward(&mut e, graph, &mut saved, options);
    }
    let gradients = e.gradients();
    let losses_bytes = (graph.tokens as u64 * 4).next_multiple_of(256);
    let mut program = Program {
        dispatches: match profile.subgroups {
            Some(subgroups) => e.dispatches.into_iter().map(|d| d.in_subgroups(subgroups, &profile.tuning)).collect(),
            None => e.dispatches,
        },
        values: e.values,
        slots: Vec::new(),
        tokens: graph.tokens,
        losses_bytes,
        tables: graph.tables.clone(),
    };
    lifetime::drop_unread(&mut program);
    if let Some(half) = options.kept {
        kept::keep(&mut program, &gradients, half);
    }
    lifetime::place(&mut program);
    program
}

fn backward(e: &mut Emit<'_>, graph: &Graph, saved: &mut [Vec<ValueId>], options: Options) {
    // The last layer's activations are still there when its backward begins: recomputing it would save nothing.
    let last_layer = graph.nodes.iter().filter_map(|n| n.layer).max();
    let mut copies: HashMap<ValueId, ValueId> = HashMap::new();
    let mut current = None;
    for index in (0..graph.nodes.len()).rev() {
        let node = &graph.nodes[index];
        if node.layer != current {
            current = node.layer;
            copies.clear();
            if options.gradient_checkpointing && current.is_some() && current != last_layer {
                recompute(e, graph, saved, index, &mut copies);
            }
        }
        e.set_phase(Phase::Backward, index);
        let map = |v: &ValueId| copies.get(v).copied().unwrap_or(*v);
        let x: Vec<ValueId> = node.inputs.iter().map(map).collect();
        let y: Vec<ValueId> = node.outputs.iter().map(map).collect();
        node.op.backward(e, &x, &y, &saved[index]);
    }
    e.make_sums();
}

/// Emits the forward of the layer that ends at node `last` once more, into fresh values.
fn recompute(e: &mut Emit<'_>, graph: &Graph, saved: &mut [Vec<ValueId>], last: usize, copies: &mut HashMap<ValueId, ValueId>) {
    let layer = graph.nodes[last].layer;
    let first = graph.nodes[..=last].iter().rposition(|n| n.layer != layer).map_or(0, |i| i + 1);
    for (index, node) in graph.nodes.iter().enumerate().take(last + 1).skip(first) {
        e.set_phase(Phase::Recompute, index);
        let x: Vec<ValueId> = node.inputs.iter().map(|v| copies.get(v).copied().unwrap_or(*v)).collect();
        let y: Vec<ValueId> = node
            .outputs
            .iter()
            .map(|v| {
                let shape = graph.shape(*v);
                // What lies in another output lies in that one's copy, which comes first.
                let copy = match e.part_of(*v).and_then(|(whole, offset)| Some((*copies.get(&whole)?, offset))) {
                    Some((whole, offset)) => e.part(shape, whole, offset),
                    None => e.matrix(shape.rows, shape.cols),
                };
                copies.insert(*v, copy);
                e.origin.insert(copy, *v);
                copy
            })
            .collect();
        saved[index] = node.op.forward(e, &x, &y);
    }
}
