//! The interface through which an op emits its dispatches: shapes, bindings, temporaries, gradients.

use std::collections::{HashMap, HashSet};

use super::layout::ParamLayout;
use super::sums::Waiting;
use super::{Graph, Param, ParamId, Purpose};
use crate::gpu::Profile;
use crate::kernels::{
    Access, Bind, Dispatch, Input, InputLayout, Owner, Phase, Resource, Shader, Shape, TableId, Tile, Tuning, ValueId, When, elementwise,
};

/// Rows of a parameter that one dispatch can bind.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// First row.
    pub first_row: usize,
    /// Number of rows.
    pub rows: usize,
    /// The weights.
    pub weight: Bind,
    /// The gradient, of the same layout in f32; absent for a frozen parameter.
    pub gradient: Option<Bind>,
}

/// Where an op puts the gradient of one of its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GradTarget {
    /// The value to write.
    pub value: ValueId,
    /// Whether to add to its content instead of writing it.
    pub accumulate: bool,
}

/// A value's size and its place in the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueInfo {
    /// Bytes.
    pub bytes: u64,
    /// Rows and columns where it is a matrix.
    pub shape: Option<Shape>,
    /// Where it is while it lives; `None` when no dispatch needs it, and for what lies in another value.
    pub place: Option<Place>,
    /// The value that it lies in and its first byte there.
    pub part_of: Option<(ValueId, u64)>,
}

/// A place in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The pooled buffer.
    pub slot: u32,
    /// The first byte in it, a multiple of [`BINDING_ALIGNMENT`](crate::gpu::BINDING_ALIGNMENT).
    pub offset: u64,
}

/// Collects the dispatches of a program.
pub struct Emit<'a> {
    /// Which kernels the device gets.
    pub tuning: &'a Tuning,
    /// What tiled products keep their tiles in.
    pub tile: Tile,
    /// The graph that is compiled.
    pub graph: &'a Graph,
    profile: &'a Profile,
    layout: &'a ParamLayout,
    inputs: InputLayout,
    pub(crate) values: Vec<ValueInfo>,
    pub(crate) dispatches: Vec<Dispatch>,
    /// Gradient of each activation, as far as it is known.
    grads: HashMap<ValueId, ValueId>,
    /// For activations that others lie in, the value in which these others' gradients lie.
    whole_grads: HashMap<ValueId, ValueId>,
    /// The activation that a recomputed copy stands for.
    pub(crate) origin: HashMap<ValueId, ValueId>,
    gradient_written: Vec<bool>,
    /// Sums over rows that are still to be made.
    pub(super) waiting: Vec<Waiting>,
    needs_grad: Vec<bool>,
    /// Index of the node that makes each activation.
    producer: Vec<usize>,
    pub(crate) node: usize,
    pub(crate) owner: Owner,
}

impl<'a> Emit<'a> {
    pub(crate) fn new(graph: &'a Graph, layout: &'a ParamLayout, profile: &'a Profile) -> Emit<'a> {
        let mut needs_grad = vec![false; graph.values.len()];
        let mut producer = vec![0; graph.values.len()];
        if graph.purpose == Purpose::Train {
            for (index, node) in graph.nodes.iter().enumerate() {
                let needed =
                    node.op.params().iter().any(|p| graph.param(*p).trainable) || node.inputs.iter().any(|v| needs_grad[v.0 as usize]);
                for y in &node.outputs {
                    needs_grad[y.0 as usize] = needed;
                    producer[y.0 as usize] = index;
                }
            }
        }
        let values = graph.values.iter().enumerate().map(|(i, s)| ValueInfo {
            bytes: s.floats() as u64 * 4,
            shape: Some(*s),
            place: None,
            // Together only where the device can bind all of them at once.
            part_of: graph.parts.get(&ValueId(i as u32)).copied().filter(|(whole, _)| {
                let bytes = graph.shape(*whole).floats() as u64 * 4;
                bytes <= profile.max_binding.min(profile.max_buffer)
            }),
        });
        Emit {
            tuning: &profile.tuning,
            tile: Tile::F32,
            profile,
            graph,
            layout,
            inputs: InputLayout::new(graph.tokens),
            values: values.collect(),
            dispatches: Vec::new(),
            grads: HashMap::new(),
            whole_grads: HashMap::new(),
            origin: HashMap::new(),
            gradient_written: vec![false; graph.params.len()],
            waiting: Vec::new(),
            needs_grad,
            producer,
            node: 0,
            owner: Owner::default(),
        }
    }

    /// Tokens of a micro-batch.
    pub fn tokens(&self) -> usize {
        self.graph.tokens
    }

    /// Whether the graph is for training.
    pub fn training(&self) -> bool {
        self.graph.purpose == Purpose::Train
    }

    /// Rows and columns of an activation.
    pub fn shape(&self, value: ValueId) -> Shape {
        self.values[value.0 as usize].shape.unwrap_or(Shape { rows: 1, cols: self.values[value.0 as usize].bytes as usize / 4 })
    }

    /// A parameter's description.
    pub fn param(&self, id: ParamId) -> &'a Param {
        self.graph.param(id)
    }

    /// A new temporary matrix.
    pub fn matrix(&mut self, rows: usize, cols: usize) -> ValueId {
        let shape = Shape { rows, cols };
        self.new_value(shape.floats() as u64 * 4, Some(shape))
    }

    /// A new temporary vector of f32 (or u32) without padding.
    pub fn vector(&mut self, len: usize) -> ValueId {
        self.new_value((len as u64 * 4).next_multiple_of(16), None)
    }

    pub(super) fn new_value(&mut self, bytes: u64, shape: Option<Shape>) -> ValueId {
        self.values.push(ValueInfo { bytes, shape, place: None, part_of: None });
        ValueId(self.values.len() as u32 - 1)
    }

    /// Matrices that lie one after the other in one new value.
    pub fn matrices(&mut self, shapes: &[Shape]) -> Vec<ValueId> {
        let (offsets, bytes) = super::offsets(shapes);
        let whole = self.new_value(bytes, Some(Shape { rows: 1, cols: bytes as usize / 4 }));
        shapes.iter().zip(offsets).map(|(shape, offset)| self.part(*shape, whole, offset)).collect()
    }

    /// The value that this one lies in, and its first byte there.
    pub fn part_of(&self, value: ValueId) -> Option<(ValueId, u64)> {
        self.values[value.0 as usize].part_of
    }

    /// A matrix that lies in a value.
    pub(crate) fn part(&mut self, shape: Shape, whole: ValueId, offset: u64) -> ValueId {
        let part = self.matrix(shape.rows, shape.cols);
        self.values[part.0 as usize].part_of = Some((whole, offset));
        part
    }

    /// The whole value as a binding.
    pub fn bind(&self, value: ValueId) -> Bind {
        let info = &self.values[value.0 as usize];
        let (value, offset) = info.part_of.unwrap_or((value, 0));
        Bind { resource: Resource::Value(value), offset, size: info.bytes }
    }

    /// The pieces of a parameter; more than one only when it is larger than a binding.
    pub fn pieces(&self, param: ParamId) -> Vec<Piece> {
        let p = self.param(param);
        let pieces = self.layout.pieces(param).iter();
        pieces
            .map(|l| {
                let bind = |resource| Bind { resource, offset: l.offset, size: l.bytes };
                Piece {
                    first_row: l.rows.start,
                    rows: l.rows.len(),
                    weight: bind(Resource::Weights(l.arena)),
                    gradient: (p.trainable && self.training()).then(|| bind(Resource::Gradients(l.arena))),
                }
            })
            .collect()
    }

    /// The one piece of a vector or of a matrix that is known to be small.
    pub fn piece(&self, param: ParamId) -> Piece {
        let mut pieces = self.pieces(param);
        debug_assert_eq!(pieces.len(), 1, "{} is larger than a binding", self.param(param).name);
        pieces.swap_remove(0)
    }

    /// A section of the batch.
    pub fn input(&self, input: Input) -> Bind {
        self.inputs.bind(input)
    }

    /// A constant table.
    pub fn table(&self, table: TableId) -> Bind {
        let size = self.graph.tables[table.0 as usize].data.len() as u64 * 4;
        Bind { resource: Resource::Table(table), offset: 0, size }
    }

    /// The per-target losses from target `first` on (a multiple of 64).
    pub fn losses(&self, first: usize, count: usize) -> Bind {
        Bind { resource: Resource::Losses, offset: first as u64 * 4, size: (count as u64 * 4).next_multiple_of(16) }
    }

    /// The statistics of a step, see `shaders/shared/stats.wgsl`.
    pub fn stats(&self) -> Bind {
        Bind { resource: Resource::Stats, offset: 0, size: crate::kernels::STATS_BYTES }
    }

    /// Bytes of which a temporary that there is once may make use for speed's sake: at most `most`, a thirty-second of the device's memory and one
    /// binding; `least` where that is less or the memory is not known. The user's own limit does not count: it would change a resumed run's bits.
    pub fn spare_bytes(&self, least: usize, most: usize) -> usize {
        let memory = self.profile.memory.map_or(0, |bytes| bytes / 32);
        (memory.min(self.profile.max_binding).min(most as u64) as usize).max(least)
    }

    /// Adds a dispatch to the program.
    pub fn run(&mut self, mut dispatch: Dispatch) {
        debug_assert!(dispatch.workgroups.iter().all(|w| (1..=65_535).contains(w)), "{}: {:?}", dispatch.shader.name, dispatch.workgroups);
        debug_assert!(
            dispatch.binds.iter().all(|b| b.offset % 256 == 0),
            "{}: a binding starts at a multiple of 256 bytes",
            dispatch.shader.name
        );
        dispatch.owner = self.owner;
        self.dispatches.push(dispatch);
    }

    /// The last dispatch, if it is one of this kernel that made this value.
    pub fn last(&self, shader: &'static Shader, made: ValueId) -> Option<&Dispatch> {
        let (last, made) = (self.dispatches.last()?, self.bind(made));
        let writes = last.binds.iter().zip(last.shader.bindings).any(|(b, access)| *b == made && *access == Access::Write);
        (writes && last.shader.name == shader.name).then_some(last)
    }

    /// Takes the last dispatch back if it is one of this kernel that made this value, for an op that does the same along with its own work.
    pub fn take_last(&mut self, shader: &'static Shader, made: ValueId) -> Option<Dispatch> {
        self.last(shader, made)?;
        self.dispatches.pop()
    }

    /// Takes the last dispatch back if it is as it should be.
    pub fn take_last_if(&mut self, is_it: impl FnOnce(&Dispatch) -> bool) -> Option<Dispatch> {
        if is_it(self.dispatches.last()?) { self.dispatches.pop() } else { None }
    }

    /// Whether one node of the graph alone reads this activation, or is handed this gradient.
    pub fn has_one_reader(&self, value: ValueId) -> bool {
        let v = self.origin(value);
        match self.grads.values().filter(|grad| **grad == v).count() {
            0 => self.graph.nodes.iter().flat_map(|node| &node.inputs).filter(|input| **input == v).count() == 1,
            activations => activations == 1,
        }
    }

    fn origin(&self, value: ValueId) -> ValueId {
        self.origin.get(&value).copied().unwrap_or(value)
    }

    /// Whether the gradient of this activation is needed.
    pub fn needs_grad(&self, value: ValueId) -> bool {
        self.needs_grad.get(self.origin(value).0 as usize).copied().unwrap_or(false)
    }

    /// The gradient of an activation that arrived from its users; `None` when no user has one.
    pub fn grad(&self, value: ValueId) -> Option<ValueId> {
        self.grads.get(&self.origin(value)).copied()
    }

    /// The values that hold gradients of activations.
    pub(crate) fn gradients(&self) -> HashSet<ValueId> {
        let whole = |value: &ValueId| self.part_of(*value).map_or(*value, |(whole, _)| whole);
        self.grads.values().chain(self.whole_grads.values()).map(whole).collect()
    }

    /// Where to write (or add) this op's part of the gradient of its input; `None` when it is not needed.
    pub fn grad_target(&mut self, value: ValueId) -> Option<GradTarget> {
        let v = self.origin(value);
        if !self.needs_grad(v) {
            return None;
        }
        let Some(known) = self.grads.get(&v).copied() else {
            let grad = self.gradient_room(v);
            self.grads.insert(v, grad);
            return Some(GradTarget { value: grad, accumulate: false });
        };
        // The buffer may also be the gradient of another activation (a residual sum hands its gradient to both sides): when
        // that one's producer has yet to read it, this side continues on a copy.
        let value = if self.is_shared(v, known) { self.copy_grad(v, known) } else { known };
        Some(GradTarget { value, accumulate: true })
    }

    /// A new matrix for the gradient of an activation, to be handed over by [`Emit::give_grad`]: where those lie that belong to it.
    pub fn gradient_room(&mut self, value: ValueId) -> ValueId {
        let v = self.origin(value);
        let shape = self.shape(v);
        let Some((whole, offset)) = self.values[v.0 as usize].part_of else { return self.matrix(shape.rows, shape.cols) };
        let bytes = self.values[whole.0 as usize].bytes;
        let grads = match self.whole_grads.get(&whole) {
            Some(known) => *known,
            None => {
                let new = self.new_value(bytes, None);
                self.whole_grads.insert(whole, new);
                new
            }
        };
        self.part(shape, grads, offset)
    }

    /// The gradients of activations that lie in one buffer, in one buffer too: those that lie elsewhere are copied there, missing ones are
    /// zeros. `None` when none arrived.
    pub fn grads_together(&mut self, parts: &[ValueId]) -> Option<Vec<ValueId>> {
        let known: Vec<Option<ValueId>> = parts.iter().map(|part| self.grad(*part)).collect();
        if known.iter().all(Option::is_none) {
            return None;
        }
        let together = parts.iter().zip(known).map(|(part, grad)| {
            let room = self.gradient_room(*part);
            match grad {
                Some(grad) if self.bind(grad) == self.bind(room) => return grad,
                Some(grad) => self.copy(grad, room),
                None => self.zero(room),
            }
            room
        });
        Some(together.collect())
    }

    fn is_shared(&self, v: ValueId, grad: ValueId) -> bool {
        self.grads.iter().any(|(u, g)| *u != v && *g == grad && self.producer[u.0 as usize] <= self.node)
    }

    fn copy_grad(&mut self, v: ValueId, grad: ValueId) -> ValueId {
        let shape = self.shape(grad);
        let copy = self.matrix(shape.rows, shape.cols);
        self.copy(grad, copy);
        self.grads.insert(v, copy);
        copy
    }

    /// The gradient of an op's in-place operand, for changing it in place.
    pub fn grad_in_place(&mut self, value: ValueId) -> Option<ValueId> {
        let v = self.origin(value);
        let grad = self.grads.get(&v).copied()?;
        Some(if self.is_shared(v, grad) { self.copy_grad(v, grad) } else { grad })
    }

    /// Declares that the gradient of `value` is (also) this matrix, without copying it where possible.
    pub fn give_grad(&mut self, value: ValueId, grad: ValueId) {
        let v = self.origin(value);
        if !self.needs_grad(v) {
            return;
        }
        match self.grad_target(v) {
            Some(GradTarget { value: target, accumulate: true }) => self.add_in_place(target, grad),
            _ => {
                self.grads.insert(v, grad);
            }
        }
    }

    /// How a kernel writes this parameter's gradient: 2 for the first op of a micro-step (the step says whether to write or to
    /// add), 1 (add) for the ones after it, as with tied weights.
    pub fn gradient_mode(&mut self, param: ParamId) -> u32 {
        if std::mem::replace(&mut self.gradient_written[param.0 as usize], true) {
            // What the first op put off comes before what is added to it.
            self.make_sums();
            return 1;
        }
        2
    }

    /// For a kernel that only adds to some rows: zeroes the gradient at the start of an accumulation group if no op wrote it yet.
    pub fn zero_gradient(&mut self, param: ParamId) {
        if std::mem::replace(&mut self.gradient_written[param.0 as usize], true) {
            return;
        }
        for piece in self.pieces(param) {
            if let Some(gradient) = piece.gradient {
                let fill = fill(gradient);
                self.run(fill.when(When::FirstOfGroup));
            }
        }
    }

    /// Zeroes a value.
    pub fn zero(&mut self, value: ValueId) {
        let fill = fill(self.bind(value));
        self.run(fill);
    }

    fn copy(&mut self, from: ValueId, to: ValueId) {
        let (shape, x, y) = (self.shape(from), self.bind(from), self.bind(to));
        self.run(elementwise::copy(shape, x, y));
    }

    fn add_in_place(&mut self, target: ValueId, x: ValueId) {
        let (shape, x, y) = (self.shape(target), self.bind(x), self.bind(target));
        self.run(elementwise::add_in_place(shape, 1.0, x, y));
    }

    pub(crate) fn set_phase(&mut self, phase: Phase, node: usize) {
        let n = &self.graph.nodes[node];
        self.node = node;
        self.owner = Owner { op: n.op.name(), layer: n.layer, phase };
    }
}

fn fill(target: Bind) -> Dispatch {
    elementwise::zero(target)
}
