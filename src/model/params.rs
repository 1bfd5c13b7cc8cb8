//! The declarations of an architecture's tensors. The loader, the writer, the optimiser's groups and the memory plan read these
//! declarations; no other code knows a tensor's name or shape.

use super::config::ModelConfig;

/// The kind of a parameter, as far as code other than the forward pass needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParamKind {
    /// Token embedding, (vocab_size, hidden_size). Also the output head when it is tied.
    Embedding,
    /// Learned position embedding, (max_position_embeddings, hidden_size).
    PositionEmbedding,
    /// Weight of a linear map inside a layer, (out, in).
    Linear,
    /// Untied output head, (vocab_size, hidden_size).
    Head,
    /// Weight of a reward model's value head, (1, hidden_size).
    ValueHead,
    /// Weight of a normalisation (RMSNorm or LayerNorm), 1 × n.
    Norm,
    /// Bias of a linear map or of a LayerNorm, 1 × n.
    Bias,
    /// A of a LoRA adapter, (rank, in); for an embedding, (vocab_size, rank).
    LoraA,
    /// B of a LoRA adapter, (out, rank).
    LoraB,
    /// DoRA's magnitudes of the output rows, 1 × out.
    LoraMagnitude,
}

/// The layout of a matrix in the file, relative to the compute layout (out, in) that the kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// (out, in), like `torch.nn.Linear`.
    AsStored,
    /// (in, out), like GPT-2's `Conv1D`: transposed when reading and when writing.
    Transposed,
}

/// One parameter: its Hugging Face name and its shape in compute layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamDecl {
    /// The tensor's name in files written by transformers.
    pub name: String,
    /// Rows in compute layout: outputs of a weight, tokens of an embedding; 1 for a vector.
    pub rows: usize,
    /// Columns in compute layout: inputs of a weight, features of an embedding, the length of a vector.
    pub cols: usize,
    /// The kind of parameter.
    pub kind: ParamKind,
    /// The layer it belongs to; `None` for embeddings, final norm and head.
    pub layer: Option<usize>,
    /// Its layout in the file.
    pub layout: Layout,
}

impl ParamDecl {
    /// The tensor's shape in the file.
    pub fn stored_shape(&self) -> Vec<usize> {
        match (self.kind, self.layout) {
            (ParamKind::Norm | ParamKind::Bias | ParamKind::LoraMagnitude, _) => vec![self.cols],
            (_, Layout::AsStored) => vec![self.rows, self.cols],
            (_, Layout::Transposed) => vec![self.cols, self.rows],
        }
    }

    /// The number of elements.
    pub fn elements(&self) -> u64 {
        self.rows as u64 * self.cols as u64
    }

    /// Whether weight decay applies: as in transformers' Trainer, to everything except biases and norm weights (transformers 5,
    /// `Trainer.get_decay_parameter_names`).
    pub fn decays(&self) -> bool {
        !matches!(self.kind, ParamKind::Norm | ParamKind::Bias)
    }
}

impl ModelConfig {
    /// Number of parameters, counting a tied head once.
    pub fn parameter_count(&self) -> u64 {
        super::params(self).iter().map(ParamDecl::elements).sum()
    }
}

/// Collects the declarations of an architecture in the order of transformers' state dict (this order determines which tensors share a
/// shard).
#[derive(Debug, Default)]
pub(super) struct Params {
    list: Vec<ParamDecl>,
    prefix: String,
    layer: Option<usize>,
    layout: Option<Layout>,
}

impl Params {
    /// Starts a list of declarations whose names all begin with `prefix`.
    pub(super) fn new(prefix: &str) -> Self {
        Params { prefix: prefix.to_string(), ..Default::default() }
    }

    /// Declares that the linear weights that follow are stored as (in, out).
    pub(super) fn transposed(mut self) -> Self {
        self.layout = Some(Layout::Transposed);
        self
    }

    fn push(&mut self, name: String, rows: usize, cols: usize, kind: ParamKind, layout: Layout) {
        self.list.push(ParamDecl { name, rows, cols, kind, layer: self.layer, layout });
    }

    pub(super) fn embedding(&mut self, name: &str, rows: usize, cols: usize) {
        self.push(format!("{}{name}.weight", self.prefix), rows, cols, ParamKind::Embedding, Layout::AsStored);
    }

    pub(super) fn position_embedding(&mut self, name: &str, rows: usize, cols: usize) {
        self.push(format!("{}{name}.weight", self.prefix), rows, cols, ParamKind::PositionEmbedding, Layout::AsStored);
    }

    /// `name.weight` (out, in) and, if `bias`, `name.bias` (out).
    pub(super) fn linear(&mut self, name: &str, out: usize, input: usize, bias: bool) {
        let layout = self.layout.unwrap_or(Layout::AsStored);
        self.push(format!("{}{name}.weight", self.prefix), out, input, ParamKind::Linear, layout);
        if bias {
            self.push(format!("{}{name}.bias", self.prefix), 1, out, ParamKind::Bias, Layout::AsStored);
        }
    }

    /// The weight of an RMSNorm.
    pub(super) fn rms_norm(&mut self, name: &str, size: usize) {
        self.push(format!("{}{name}.weight", self.prefix), 1, size, ParamKind::Norm, Layout::AsStored);
    }

    /// Weight and bias of a LayerNorm.
    pub(super) fn layer_norm(&mut self, name: &str, size: usize) {
        self.rms_norm(name, size);
        self.push(format!("{}{name}.bias", self.prefix), 1, size, ParamKind::Bias, Layout::AsStored);
    }

    /// The parameters of each layer, named `<prefix><layers>.<index>.…`.
    pub(super) fn layers(&mut self, layers: &str, config: &ModelConfig, mut one: impl FnMut(&mut Params)) {
        let outer = self.prefix.clone();
        for layer in 0..config.num_hidden_layers {
            self.prefix = format!("{outer}{layers}.{layer}.");
            self.layer = Some(layer);
            one(self);
        }
        self.prefix = outer;
        self.layer = None;
    }

    /// Adds `lm_head.weight` unless the head is tied, and returns the declarations.
    pub(super) fn with_head(mut self, config: &ModelConfig) -> Vec<ParamDecl> {
        if !config.tie_word_embeddings {
            self.push("lm_head.weight".to_string(), config.vocab_size, config.hidden_size, ParamKind::Head, Layout::AsStored);
        }
        self.list
    }
}
