//! A model's computation as a list of coarse ops over matrices of tokens.
//!
//! A graph is made for a fixed number of tokens by the model's forward pass, once per batch shape; `plan` turns it into dispatches.
//! Every activation is a matrix (tokens, features) of f32 with rows padded to a multiple of four floats.

use std::collections::HashMap;
use std::rc::Rc;

mod emit;
mod layout;
mod objective;
mod op;
mod runs;
mod sums;

use crate::gpu::BINDING_ALIGNMENT;
pub use crate::kernels::{Shape, TableId, ValueId, WeightType};
pub use emit::{Emit, GradTarget, Piece, Place, ValueInfo};
pub use layout::{Arena, Group, ParamLayout, PieceLayout, STATE_BLOCK, State, StateEncoding};
pub use objective::{Objective, Preference, PreferenceLoss};
pub use op::Op;
pub use runs::longest_run;

/// A parameter of the model; the index into [`Graph::params`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(pub u32);

/// A parameter as the graph sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Hugging Face's name.
    pub name: String,
    /// (out, in); vectors are (1, n).
    pub shape: Shape,
    /// Whether it gets a gradient and an optimiser state.
    pub trainable: bool,
    /// How it is kept.
    pub weight_type: WeightType,
    /// Whether weight decay applies to it.
    pub decays: bool,
    /// Its learning rate relative to the recipe's (LoRA+ raises B's).
    pub lr_scale: f32,
    /// How an adapter changes it.
    pub adapted: Adapted,
}

/// How an adapter changes a weight. A tied embedding is used in two ways, of which an adapter may change only one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Adapted {
    /// Where it is a factor: in a linear map, in the output head.
    pub matrix: Option<Change>,
    /// Where its rows are looked up.
    pub table: Option<Change>,
}

/// One change of a weight by an adapter.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Another parameter is used instead: a copy that is trained whole while this one stays for its other use.
    Replaced(ParamId),
    /// A product of two small matrices is added.
    LowRank(LowRank),
}

/// The parameters of a low-rank change, W + scale · B·A (Hu et al., "LoRA", 2021), of which B·A is never formed.
#[derive(Debug, Clone, PartialEq)]
pub struct LowRank {
    /// (r, in) beside a matrix of (out, in); (rows, r) beside a table of (rows, cols).
    pub a: ParamId,
    /// (out, r) beside a matrix; (cols, r) beside a table.
    pub b: ParamId,
    /// α/r, or α/√r for rank-stabilised LoRA.
    pub scale: f32,
    /// DoRA's magnitudes, if it has any.
    pub magnitude: Option<Magnitude>,
    /// Probability with which an element of the input is dropped on its way to A, in training. Not beside a table.
    pub dropout: f32,
}

impl LowRank {
    /// Its parameters that can be trained.
    pub fn params(&self) -> impl Iterator<Item = ParamId> {
        [self.a, self.b].into_iter().chain(self.magnitude.map(|m| m.magnitude))
    }
}

/// Row i of the weight becomes magnitude_i · (W + scale · B·A)_i / ‖(W + scale · B·A)_i‖, with the length a constant in the gradient
/// (Liu et al., "DoRA", 2024, 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Magnitude {
    /// (1, out), trained.
    pub magnitude: ParamId,
    /// (1, out): one over each row's length, frozen; computed by a program of its own (`ops::dora`) whenever A and B changed.
    pub inverse_norm: ParamId,
}

/// A constant matrix of f32 pairs or rows, uploaded once.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name; tables of the same name in different graphs hold the same numbers.
    pub name: String,
    /// The numbers.
    pub data: Rc<Vec<f32>>,
}

/// One op with its operands.
#[derive(Debug)]
pub struct Node {
    /// The op.
    pub op: Box<dyn Op>,
    /// Activations that it reads or changes in place.
    pub inputs: Vec<ValueId>,
    /// Activations that it makes.
    pub outputs: Vec<ValueId>,
    /// The transformer layer it belongs to: the unit of recomputation.
    pub layer: Option<usize>,
}

/// What a graph computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Loss and gradients.
    Train,
    /// Loss only.
    Evaluate,
    /// The next token's logits, keys and values kept in caches of this many rows.
    Generate {
        /// Longest sequence.
        cache_rows: usize,
        /// How many rows' logits are computed at most: those that the batch names as targets.
        logit_rows: usize,
    },
}

/// A computation for a fixed number of tokens.
#[derive(Debug)]
pub struct Graph {
    /// Tokens of a micro-batch: rows of every activation.
    pub tokens: usize,
    /// What it is for.
    pub purpose: Purpose,
    /// What training minimises and an evaluation measures.
    pub objective: Objective,
    /// The model's parameters, in the order of its declaration.
    pub params: Rc<Vec<Param>>,
    /// Constant tables.
    pub tables: Vec<Table>,
    /// Ops in the order in which the forward pass calls them.
    pub nodes: Vec<Node>,
    /// Shape of each activation.
    pub values: Vec<Shape>,
    /// Activations that lie in another one, one after the other: which one, and their first byte there.
    pub parts: HashMap<ValueId, (ValueId, u64)>,
    layer: Option<usize>,
}

impl Graph {
    /// An empty graph over these parameters.
    pub fn new(tokens: usize, purpose: Purpose, params: Rc<Vec<Param>>) -> Graph {
        let objective = Objective::default();
        Graph {
            tokens,
            purpose,
            objective,
            params,
            tables: Vec::new(),
            nodes: Vec::new(),
            values: Vec::new(),
            parts: HashMap::new(),
            layer: None,
        }
    }

    /// Everything added from here on belongs to this transformer layer (`None`: to no layer).
    pub fn set_layer(&mut self, layer: Option<usize>) {
        self.layer = layer;
    }

    /// The parameter's description.
    pub fn param(&self, id: ParamId) -> &Param {
        &self.params[id.0 as usize]
    }

    /// The matrix that stands for this one as a factor, and what is added to it.
    pub fn matrix(&self, id: ParamId) -> (ParamId, Option<LowRank>) {
        resolve(id, self.param(id).adapted.matrix.as_ref())
    }

    /// The table that stands for this one in a look-up, and what is added to it.
    pub fn lookup(&self, id: ParamId) -> (ParamId, Option<LowRank>) {
        resolve(id, self.param(id).adapted.table.as_ref())
    }

    /// The shape of an activation.
    pub fn shape(&self, id: ValueId) -> Shape {
        self.values[id.0 as usize]
    }

    /// Adds a constant table.
    pub fn table(&mut self, name: impl Into<String>, data: Rc<Vec<f32>>) -> TableId {
        self.tables.push(Table { name: name.into(), data });
        TableId(self.tables.len() as u32 - 1)
    }

    /// Adds an op; the ops' own functions (`graph.linear(…)`) call this with the shapes of the outputs.
    pub fn push(&mut self, op: impl Op + 'static, inputs: &[ValueId], outputs: &[Shape]) -> Vec<ValueId> {
        let first = self.values.len() as u32;
        self.values.extend_from_slice(outputs);
        let outputs: Vec<ValueId> = (first..self.values.len() as u32).map(ValueId).collect();
        self.nodes.push(Node { op: Box::new(op), inputs: inputs.to_vec(), outputs: outputs.clone(), layer: self.layer });
        outputs
    }

    /// [`Graph::push`] for an op whose outputs lie one after the other in one buffer, so that one dispatch can write all of them. The node's first
    /// output is that buffer; the matrices, which are returned, follow it.
    pub fn push_parts(&mut self, op: impl Op + 'static, inputs: &[ValueId], outputs: &[Shape]) -> Vec<ValueId> {
        let (offsets, bytes) = offsets(outputs);
        let whole = Shape { rows: 1, cols: bytes as usize / 4 };
        let shapes: Vec<Shape> = std::iter::once(whole).chain(outputs.iter().copied()).collect();
        let mut values = self.push(op, inputs, &shapes);
        let whole = values.remove(0);
        self.parts.extend(values.iter().zip(offsets).map(|(part, offset)| (*part, (whole, offset))));
        values
    }

    /// [`Graph::push`] for an op with one output.
    pub fn push_one(&mut self, op: impl Op + 'static, inputs: &[ValueId], output: Shape) -> ValueId {
        self.push(op, inputs, &[output])[0]
    }
}

/// First bytes of matrices that lie one after the other, each where a binding may begin, and the bytes of all.
fn offsets(shapes: &[Shape]) -> (Vec<u64>, u64) {
    let mut bytes = 0;
    let offsets = shapes.iter().map(|shape| {
        let first = bytes;
        bytes += (shape.floats() as u64 * 4).next_multiple_of(BINDING_ALIGNMENT);
        first
    });
    (offsets.collect(), bytes)
}

fn resolve(id: ParamId, change: Option<&Change>) -> (ParamId, Option<LowRank>) {
    match change {
        None => (id, None),
        Some(Change::Replaced(other)) => (*other, None),
        Some(Change::LowRank(low_rank)) => (id, Some(low_rank.clone())),
    }
}
