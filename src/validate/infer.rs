//! Derives properties of a model from its tensors, using the architectures' declarations.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::view::View;
use crate::checkpoint::HEAD;
use crate::model::declaration::{BiasKey, Size, SizeKeys};
use crate::model::{Architecture, ModelConfig, params};

/// A name with the layer's number replaced by `#`, and that number.
pub(super) fn leaf(name: &str) -> (String, Option<usize>) {
    let mut layer = None;
    let parts: Vec<&str> = name
        .split('.')
        .map(|part| match part.parse::<usize>() {
            Ok(number) if layer.is_none() => {
                layer = Some(number);
                "#"
            }
            _ => part,
        })
        .collect();
    (parts.join("."), layer)
}

/// A minimal configuration of an architecture, with or without biases.
fn smallest(architecture: Architecture, attention_bias: bool, mlp_bias: bool) -> Option<ModelConfig> {
    let keys = architecture.declaration().keys;
    let mut map = Map::new();
    for key in [keys.hidden_size[0], keys.intermediate_size[0], "vocab_size", "head_dim"] {
        map.insert(key.into(), json!(4));
    }
    for key in [keys.num_hidden_layers[0], keys.num_attention_heads[0], "num_key_value_heads"] {
        map.insert(key.into(), json!(1));
    }
    map.insert("model_type".into(), json!(architecture.model_type()));
    map.insert("attention_bias".into(), json!(attention_bias));
    map.insert("mlp_bias".into(), json!(mlp_bias));
    map.insert("tie_word_embeddings".into(), json!(true));
    ModelConfig::from_map("config.json", map).ok()
}

/// Whether two architectures have the same tensors once projections are fused (llama and phi3). Such a difference is repaired in the
/// tensors, not in the configuration.
pub(super) fn differ_in_fusion_only(one: Architecture, other: Architecture) -> bool {
    let fused = |name: &str| {
        let parts = name.split('.').map(|part| match part {
            "q_proj" | "k_proj" | "v_proj" => "qkv_proj",
            "gate_proj" | "up_proj" => "gate_up_proj",
            part => part,
        });
        parts.collect::<Vec<_>>().join(".")
    };
    let names = |architecture: Architecture| {
        smallest(architecture, false, false)
            .map(|config| params(&config).iter().map(|param| fused(&leaf(&param.name).0)).collect::<BTreeSet<_>>())
    };
    let is_fused = |architecture: Architecture| architecture.declaration().has_projection("qkv_proj");
    is_fused(one) != is_fused(other) && names(one) == names(other)
}

/// The architectures whose tensor names match exactly (the head may be missing).
pub(super) fn families(view: &View) -> Vec<Architecture> {
    let found: BTreeSet<String> = view.tensors.iter().map(|tensor| leaf(&tensor.name).0).filter(|name| name != HEAD).collect();
    let fits = |architecture: &Architecture| {
        [(false, false), (true, false), (false, true), (true, true)].into_iter().any(|(attention_bias, mlp_bias)| {
            smallest(*architecture, attention_bias, mlp_bias)
                .is_some_and(|config| params(&config).iter().map(|param| leaf(&param.name).0).collect::<BTreeSet<_>>() == found)
        })
    };
    Architecture::all().filter(fits).collect()
}

/// Sizes derived from tensor shapes. `None` if the tensor is missing or its shape does not fit.
#[derive(Clone, Default)]
pub(super) struct Shapes {
    pub(super) vocab: Option<u64>,
    pub(super) hidden: Option<u64>,
    /// Number of layers, if they are numbered 0 to n − 1.
    pub(super) layers: Option<u64>,
    pub(super) intermediate: Option<u64>,
    /// Total width of the query heads; below, of the key heads.
    pub(super) query: Option<u64>,
    pub(super) key_value: Option<u64>,
    /// From the norms applied to queries and keys.
    pub(super) head_dim: Option<u64>,
    pub(super) positions: Option<u64>,
    /// The configuration fields for biases, and whether the tensors contain these biases.
    pub(super) biases: Vec<(&'static BiasKey, bool)>,
    pub(super) has_head: bool,
}

/// The name of an architecture's token embedding.
pub(super) fn embedding_name(architecture: Architecture) -> &'static str {
    architecture.declaration().tensors.embedding
}

/// Derives the sizes from the tensors of an architecture.
pub(super) fn shapes(view: &View, architecture: Architecture) -> Shapes {
    let declaration = architecture.declaration();
    let layers = declaration.tensors.layers;
    let numbers: BTreeSet<usize> =
        view.tensors.iter().filter_map(|tensor| tensor.name.strip_prefix(layers)?.split('.').next()?.parse().ok()).collect();
    let first = numbers.first().copied().unwrap_or(0);
    let shape = |name: &str| view.get(name).map(|tensor| tensor.shape.as_slice()).filter(|shape| !shape.contains(&0));
    let matrix = |name: &str| match shape(name) {
        Some(&[rows, cols]) => Some((rows, cols)),
        _ => None,
    };
    let embedding = matrix(embedding_name(architecture));
    let head = matrix(HEAD);
    let has = |bias: &BiasKey| view.get(&format!("{layers}{first}.{}", bias.tensor)).is_some();
    let mut found = Shapes {
        vocab: embedding.or(head).map(|(rows, _)| rows),
        hidden: embedding.or(head).map(|(_, cols)| cols),
        layers: (!numbers.is_empty() && numbers.last() == Some(&(numbers.len() - 1))).then_some(numbers.len() as u64),
        has_head: head.is_some(),
        biases: declaration.bias_keys.iter().map(|bias| (bias, has(bias))).collect(),
        ..Shapes::default()
    };
    let mut all_heads = None;
    for shown in declaration.tensors.shown {
        let name = if shown.in_layer { format!("{layers}{first}.{}", shown.tensor) } else { shown.tensor.to_string() };
        let dimensions = if shown.size == Size::HeadDim { 1 } else { 2 };
        let Some(length) = shape(&name).filter(|shape| shape.len() == dimensions).map(|shape| shape[shown.axis]) else { continue };
        *match shown.size {
            Size::Intermediate => &mut found.intermediate,
            Size::Query => &mut found.query,
            Size::KeyValue => &mut found.key_value,
            Size::QueryKeyValue => &mut all_heads,
            Size::HeadDim => &mut found.head_dim,
            Size::Positions => &mut found.positions,
        } = Some(length);
    }
    if let (Some(all), Some(query)) = (all_heads, found.query)
        && all > query
    {
        found.key_value = Some((all - query) / 2);
    }
    found
}

impl Shapes {
    /// The value of a field of config.json, if the shapes alone determine it.
    pub(super) fn field(&self, keys: &SizeKeys, key: &str) -> Option<Value> {
        let number = match key {
            "vocab_size" => self.vocab,
            "head_dim" => self.head_dim,
            "num_key_value_heads" => self.key_value.zip(self.head_dim).map(|(kv, d)| kv / d),
            _ if keys.hidden_size.contains(&key) => self.hidden,
            _ if keys.num_hidden_layers.contains(&key) => self.layers,
            _ if keys.intermediate_size.contains(&key) => self.intermediate,
            _ if keys.max_position_embeddings.contains(&key) => self.positions,
            _ if keys.num_attention_heads.contains(&key) => self.query.zip(self.head_dim).map(|(q, d)| q / d),
            _ => None,
        };
        number.filter(|n| *n > 0).map(|n| json!(n))
    }
}

/// Head counts that the widths allow, most likely first: (heads, key/value heads, head_dim).
pub(super) fn head_splits(architecture: Architecture, shapes: &Shapes) -> Vec<(u64, u64, u64)> {
    const USUAL: [u64; 16] = [64, 128, 96, 80, 256, 32, 16, 8, 4, 12, 20, 24, 40, 48, 112, 160];
    if !architecture.declaration().keys.has_head_sizes {
        let hidden = shapes.hidden.unwrap_or(0);
        return USUAL.into_iter().filter(|d| hidden > 0 && hidden.is_multiple_of(*d)).map(|d| (hidden / d, hidden / d, d)).collect();
    }
    let (Some(query), Some(key_value)) = (shapes.query, shapes.key_value) else { return Vec::new() };
    let dims = match shapes.head_dim {
        Some(dim) => vec![dim],
        None => USUAL.to_vec(),
    };
    let split = |d: u64| (d > 0 && query.is_multiple_of(d) && key_value.is_multiple_of(d)).then(|| (query / d, key_value / d, d));
    dims.into_iter().filter_map(split).filter(|split| is_possible(architecture, shapes, *split)).collect()
}

/// Whether an architecture allows these head counts.
pub(super) fn is_possible(architecture: Architecture, shapes: &Shapes, (heads, key_value_heads, head_dim): (u64, u64, u64)) -> bool {
    let whole = architecture.declaration().heads_divide_hidden_size;
    heads > 0
        && key_value_heads > 0
        && heads.is_multiple_of(key_value_heads)
        && head_dim.is_multiple_of(4)
        && (!whole || shapes.hidden.is_none_or(|hidden| hidden.is_multiple_of(heads)))
}
