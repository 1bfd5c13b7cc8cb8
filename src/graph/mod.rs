//! A model's computation as a list of coarse ops over matrices of tokens.
//!
//! A graph is made for a fixed number of tokens by the model's forward pass, once per batch shape; `plan` turns it into dispatches.
//! Every activation is a matrix (tokens, features) of f32 with rows padded to a multiple of four floats.

use std::rc::Rc;

use crate::ops::Op;

/// An activation (or a gradient, or another temporary of the plan).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

/// A parameter of the model; the index into [`Graph::params`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(pub u32);

/// A constant table (RoPE's cosines and sines); the index into [`Graph::tables`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u32);

/// Rows and columns of a matrix, without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows (tokens, or output features of a weight).
    pub rows: usize,
    /// Columns (features).
    pub cols: usize,
}

impl Shape {
    /// Elements of four floats from one row to the next.
    pub fn stride4(self) -> u32 {
        self.cols.div_ceil(4) as u32
    }

    /// Floats that the matrix takes, padding included.
    pub fn floats(self) -> usize {
        self.rows * self.cols.div_ceil(4) * 4
    }
}

/// How a parameter's numbers lie in GPU memory. Trainable ones are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightType {
    /// 4 bytes a number.
    F32,
    /// 2 bytes a number: the upper half of an f32.
    Bf16,
    /// 2 bytes a number: IEEE half precision.
    F16,
}

impl WeightType {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            WeightType::F32 => 4,
            WeightType::Bf16 | WeightType::F16 => 2,
        }
    }
}

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
}

/// A constant matrix of f32 pairs or rows, uploaded once.
#[derive(Debug, Clone)]
pub struct Table {
    /// For messages; tables of the same name in different graphs hold the same numbers.
    pub name: String,
    /// The numbers.
    pub data: Rc<Vec<f32>>,
}

/// One op with its operands.
#[derive(Debug)]
pub struct Node {
    /// What it does.
    pub op: Box<dyn Op>,
    /// Activations that it reads (or changes in place, see [`Op::in_place`]).
    pub inputs: Vec<ValueId>,
    /// Activations that it makes.
    pub outputs: Vec<ValueId>,
    /// The transformer layer it belongs to: the unit of recomputation.
    pub layer: Option<usize>,
}

/// What the graph is built for.
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
    /// The model's parameters, in the order of its declaration.
    pub params: Rc<Vec<Param>>,
    /// Constant tables.
    pub tables: Vec<Table>,
    /// Ops in the order in which the forward pass calls them.
    pub nodes: Vec<Node>,
    /// Shape of each activation.
    pub values: Vec<Shape>,
    layer: Option<usize>,
}

impl Graph {
    /// An empty graph over these parameters.
    pub fn new(tokens: usize, purpose: Purpose, params: Rc<Vec<Param>>) -> Graph {
        Graph { tokens, purpose, params, tables: Vec::new(), nodes: Vec::new(), values: Vec::new(), layer: None }
    }

    /// Everything added from here on belongs to this transformer layer (`None`: to no layer).
    pub fn set_layer(&mut self, layer: Option<usize>) {
        self.layer = layer;
    }

    /// The parameter's description.
    pub fn param(&self, id: ParamId) -> &Param {
        &self.params[id.0 as usize]
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

    /// [`Graph::push`] for an op with one output.
    pub fn push_one(&mut self, op: impl Op + 'static, inputs: &[ValueId], output: Shape) -> ValueId {
        self.push(op, inputs, &[output])[0]
    }
}
