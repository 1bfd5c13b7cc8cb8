//! A dispatch: a shader with its parameters and bindings. Bindings name resources; buffers are chosen when a program is bound.

use super::shader::Shader;
use super::types::{TableId, ValueId};

/// Something that a binding can point to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// An activation, a gradient of one, or a temporary; lives in a pooled buffer.
    Value(ValueId),
    /// A flat buffer of weights.
    Weights(u32),
    /// A flat buffer of gradients, laid out like the weights of the same number.
    Gradients(u32),
    /// One of the states that the optimiser keeps for the weights of an arena: the arena, then the state's index.
    State(u32, u8),
    /// The batch: token ids, positions, sequence bounds, targets, buckets.
    Inputs,
    /// A constant table.
    Table(TableId),
    /// The keys (even) and values (odd) kept for generation, two per layer.
    Cache(u32),
    /// One loss per target token.
    Losses,
    /// Loss sum, gradient norm, clip coefficient, halt flag: see shaders/shared/stats.wgsl.
    Stats,
    /// Partial sums of squares for the gradient norm.
    Partials,
    /// Logits of the last token, in generation.
    Logits,
}

/// A range of a resource, in bytes; the offset is a multiple of 256, the size of 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind {
    /// What it points to.
    pub resource: Resource,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

impl Bind {
    /// What is left after its first bytes.
    pub fn after(self, bytes: u64) -> Bind {
        Bind { offset: self.offset + bytes, size: self.size - bytes, ..self }
    }
}

/// When a dispatch of a replayed program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At every replay.
    Always,
    /// Only when the micro-batch has more target tokens than this.
    MoreTargetsThan(u32),
    /// Only in the first micro-batch of an accumulation group.
    FirstOfGroup,
}

/// One compute dispatch.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The kernel.
    pub shader: &'static Shader,
    /// Its override constants.
    pub constants: Vec<(&'static str, f64)>,
    /// Its `Params` as bytes.
    pub params: Vec<u8>,
    /// Its storage buffers, in the shader's order.
    pub binds: Vec<Bind>,
    /// Workgroups in x, y, z; each at most 65,535.
    pub workgroups: [u32; 3],
    /// When it runs.
    pub when: When,
    /// Floating-point operations, for the profile (0 where bandwidth is what counts).
    pub flops: u64,
    /// M, N and K of a matrix product, for the profile.
    pub shape: Option<[usize; 3]>,
    /// Bytes that it reads and writes at least once, where that is less than what it binds.
    pub touched: Option<u64>,
    /// Op and layer that it belongs to.
    pub owner: Owner,
}

/// Which op emitted a dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    /// Op name.
    pub op: &'static str,
    /// Transformer layer.
    pub layer: Option<usize>,
    /// Forward, recomputed forward or backward.
    pub phase: Phase,
}

/// Part of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// The forward pass.
    #[default]
    Forward,
    /// A layer's forward pass once more, just before its backward.
    Recompute,
    /// The backward pass.
    Backward,
    /// Norm, clipping and the optimiser.
    Update,
}

impl Dispatch {
    /// A dispatch that always runs. The generated kernel modules call this.
    pub fn new(shader: &'static Shader, params: &[u8], constants: Vec<(&'static str, f64)>, binds: &[Bind], workgroups: [u32; 3]) -> Self {
        Dispatch {
            shader,
            constants,
            params: params.to_vec(),
            binds: binds.to_vec(),
            workgroups,
            when: When::Always,
            flops: 0,
            touched: None,
            shape: None,
            owner: Owner::default(),
        }
    }

    /// Restricts when it runs.
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// States its floating-point operations.
    pub fn flops(mut self, flops: u64) -> Self {
        self.flops = flops;
        self
    }

    /// States the sizes of its matrix product.
    pub fn shape(mut self, m: usize, n: usize, k: usize) -> Self {
        self.shape = Some([m, n, k]);
        self
    }

    /// States the bytes that it reads and writes, for kernels that use a part of what they bind.
    pub fn touching(mut self, bytes: u64) -> Self {
        self.touched = Some(bytes);
        self
    }

    /// Bytes that it reads and writes at least once.
    pub fn bytes(&self) -> u64 {
        self.touched.unwrap_or_else(|| self.binds.iter().map(|b| b.size).sum())
    }
}

/// Spreads a number of workgroups over two dimensions, since one holds at most 65,535; kernels count `y * num_workgroups.x + x`.
pub fn workgroups(count: usize) -> [u32; 3] {
    const MOST: usize = 65_535;
    if count <= MOST {
        return [count.max(1) as u32, 1, 1];
    }
    let rows = count.div_ceil(MOST);
    [count.div_ceil(rows) as u32, rows as u32, 1]
}
