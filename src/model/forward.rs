//! The operations from which the architectures' forward passes are built, addressed by Hugging Face's module names within the scope of a
//! layer.

use std::collections::HashMap;
use std::rc::Rc;

use super::{Architecture, ModelConfig, ParamDecl, ParamKind, RopeKind, value_head};
use crate::graph::{Adapted, Graph, Objective, Param, ParamId, Purpose, Shape, TableId, ValueId, WeightType};
use crate::ops::attention::AttentionParams;

/// Builds the computation graph of a model for a number of tokens, with plain cross-entropy.
///
/// `params` are the model's declarations as graph parameters (see [`graph_params`]); `sequence` is the longest sequence, in tokens.
pub fn build(config: &ModelConfig, params: Rc<Vec<Param>>, tokens: usize, purpose: Purpose, sequence: usize) -> Graph {
    build_for(config, params, tokens, purpose, sequence, Objective::default())
}

/// The same for another objective.
pub fn build_for(
    config: &ModelConfig,
    params: Rc<Vec<Param>>,
    tokens: usize,
    purpose: Purpose,
    sequence: usize,
    objective: Objective,
) -> Graph {
    let mut graph = Graph::new(tokens, purpose, params.clone());
    graph.objective = objective;
    let tables = config.ropes.iter().enumerate().map(|(index, rope)| {
        let mut data = rope_limit(config).filter(|limit| sequence > *limit).map_or(Vec::new(), |limit| rope.table(limit, limit));
        data.extend(rope.table(sequence, sequence));
        graph.table(format!("rope {index}, {sequence} positions"), Rc::new(data))
    });
    let tables = tables.collect();
    let names = params.iter().enumerate().map(|(i, p)| (p.name.as_str(), ParamId(i as u32))).collect();
    let mut f = Forward { graph: &mut graph, config, names, tables, prefix: String::new(), layer: None };
    (config.architecture.declaration().forward)(&mut f);
    graph
}

/// The longest sequence for which LongRoPE uses its short factors; `None` without LongRoPE.
fn rope_limit(config: &ModelConfig) -> Option<usize> {
    let limits = config.ropes.iter().filter_map(|rope| match rope.kind {
        RopeKind::LongRope { original_max_position_embeddings, .. } => Some(original_max_position_embeddings),
        _ => None,
    });
    limits.min()
}

/// The row of the RoPE tables that holds the angles of position 0, for a batch whose longest sequence has `longest` tokens. With LongRoPE
/// this length selects the factors for all sequences of the batch, as in transformers; the rows of the long factors follow those of the
/// short factors.
pub fn rope_row(config: &ModelConfig, longest: usize) -> usize {
    rope_limit(config).filter(|limit| longest > *limit).unwrap_or(0)
}

/// Converts declarations to graph parameters: all trainable, or all frozen and stored in the type that `frozen` returns.
pub fn graph_params(declarations: &[ParamDecl], trainable: bool, frozen: impl Fn(&ParamDecl) -> WeightType) -> Vec<Param> {
    declarations.iter().map(|d| graph_param(d, trainable, &frozen)).collect()
}

/// Converts one declaration to a graph parameter.
pub fn graph_param(d: &ParamDecl, trainable: bool, frozen: impl Fn(&ParamDecl) -> WeightType) -> Param {
    Param {
        name: d.name.clone(),
        shape: Shape { rows: d.rows, cols: d.cols },
        trainable,
        // Every kernel reads norms and biases as f32; they are small.
        weight_type: if trainable || matches!(d.kind, ParamKind::Norm | ParamKind::Bias) { WeightType::F32 } else { frozen(d) },
        decays: d.decays(),
        lr_scale: 1.0,
        adapted: Adapted::default(),
    }
}

/// The state of a forward pass under construction.
pub(super) struct Forward<'a> {
    graph: &'a mut Graph,
    pub(super) config: &'a ModelConfig,
    names: HashMap<&'a str, ParamId>,
    tables: Vec<TableId>,
    prefix: String,
    layer: Option<usize>,
}

impl Forward<'_> {
    fn find(&self, name: &str) -> Option<ParamId> {
        self.names.get(format!("{}{name}", self.prefix).as_str()).copied()
    }

    fn param(&self, name: &str) -> ParamId {
        self.find(name).expect("the forward pass uses only names that the architecture declares; every golden test runs it")
    }

    /// A vector parameter, or the copy that an adapter trains instead.
    fn factor(&self, name: &str) -> ParamId {
        self.graph.matrix(self.param(name)).0
    }

    /// Sets the prefix of all names that follow.
    pub(super) fn scope(&mut self, prefix: &str) {
        self.prefix = prefix.to_string();
    }

    /// Calls `one` for each layer, with the name prefix `<prefix><layers>.<index>.`.
    pub(super) fn layers(&mut self, layers: &str, mut x: ValueId, one: impl Fn(&mut Self, ValueId) -> ValueId) -> ValueId {
        let outer = self.prefix.clone();
        for layer in 0..self.config.num_hidden_layers {
            self.prefix = format!("{outer}{layers}.{layer}.");
            self.layer = Some(layer);
            self.graph.set_layer(self.layer);
            x = one(self, x);
        }
        self.prefix = outer;
        self.layer = None;
        self.graph.set_layer(None);
        x
    }

    /// The rows of `<name>.weight` for the batch's tokens, plus those of a position table if given. The row `padding` gets no gradient.
    pub(super) fn embedding(&mut self, name: &str, positions: Option<&str>, padding: Option<u32>) -> ValueId {
        let weight = self.param(&format!("{name}.weight"));
        let positions = positions.map(|p| self.param(&format!("{p}.weight")));
        let x = self.graph.embedding(weight, self.config.embedding_scale, positions, padding);
        // Noise is put on what the embedding module returns. Granite's multiplier comes after that module, Gemma's scale is in it.
        let after = if self.config.architecture == Architecture::Granite { self.config.embedding_scale } else { 1.0 };
        let alpha = self.graph.objective.embedding_noise * after;
        self.graph.noise(x, alpha)
    }

    /// x·Wᵀ, plus the bias if the architecture declares one for the module.
    pub(super) fn linear(&mut self, x: ValueId, name: &str) -> ValueId {
        let weight = self.param(&format!("{name}.weight"));
        let bias = self.find(&format!("{name}.bias"));
        self.graph.linear(x, weight, bias)
    }

    /// [`Forward::linear`] of one x for several modules, side by side.
    pub(super) fn linears<const N: usize>(&mut self, x: ValueId, names: [&str; N]) -> [ValueId; N] {
        let maps = names.map(|name| (self.param(&format!("{name}.weight")), self.find(&format!("{name}.bias"))));
        self.graph.linears(x, &maps).try_into().expect("an output for each map")
    }

    /// RMSNorm over rows, or over each segment of a row that is as wide as the weight (a head).
    pub(super) fn rms_norm(&mut self, x: ValueId, name: &str) -> ValueId {
        let weight = self.factor(&format!("{name}.weight"));
        self.graph.rms_norm(x, weight, self.config.norm_eps, self.config.norm_weight_offset)
    }

    /// LayerNorm.
    pub(super) fn layer_norm(&mut self, x: ValueId, name: &str) -> ValueId {
        let (weight, bias) = (self.factor(&format!("{name}.weight")), self.factor(&format!("{name}.bias")));
        self.graph.layer_norm(x, weight, bias, self.config.norm_eps)
    }

    /// Applies RoPE to queries and keys (where the layer has rotary positions), then attention.
    pub(super) fn attention(&mut self, q: ValueId, k: ValueId, v: ValueId) -> ValueId {
        let c = self.config;
        let layer = self.layer.unwrap_or(0);
        if let Some(rope) = c.layers[layer].rope {
            let (table, rotary_dim) = (self.tables[rope], c.ropes[rope].rotary_dim);
            self.graph.rope(q, k, table, c.head_dim, rotary_dim);
        }
        let params = AttentionParams {
            heads: c.num_attention_heads,
            kv_heads: c.num_key_value_heads,
            head_dim: c.head_dim,
            scale: c.attention_scale,
            window: c.layers[layer].window,
            softcap: None,
            layer,
        };
        self.graph.attention(q, k, v, params)
    }

    /// Splits the columns of x into parts of the given sizes.
    pub(super) fn split(&mut self, x: ValueId, sizes: &[usize]) -> Vec<ValueId> {
        self.graph.split(x, sizes)
    }

    /// act(gate)·up.
    pub(super) fn gated(&mut self, gate: ValueId, up: ValueId) -> ValueId {
        self.graph.gated(gate, up, self.config.activation)
    }

    /// act(x).
    pub(super) fn activation(&mut self, x: ValueId) -> ValueId {
        self.graph.activation(x, self.config.activation)
    }

    /// a + residual_scale · b: adds the output of a block to the residual stream.
    pub(super) fn add(&mut self, a: ValueId, b: ValueId) -> ValueId {
        let b = self.graph.scale(b, self.config.residual_scale);
        self.graph.add(a, b)
    }

    /// The end of the graph: the output head, its own matrix or the token embedding when tied; or, for an objective of values, the value head.
    pub(super) fn head(&mut self, x: ValueId) {
        self.prefix.clear();
        if self.graph.objective.gives_values() {
            return self.value_head(x);
        }
        let x = self.graph.scale(x, self.config.logits_scale);
        let tied = self.config.architecture.declaration().tensors.embedding;
        let weight = self.param(if self.config.tie_word_embeddings { tied } else { "lm_head.weight" });
        self.graph.lm_head(x, weight, self.config.final_logit_softcapping);
    }

    fn value_head(&mut self, x: ValueId) {
        let x = self.graph.dropout(x, self.config.value_head.map_or(0.0, |head| head.dropout));
        let values = self.linear(x, value_head::MODULE);
        self.graph.values(values);
    }
}
