//! What tensors say about the model that they belong to, read against the architectures' own declarations.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::view::View;
use crate::checkpoint::HEAD;
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

/// The smallest configuration of an architecture, with and without biases.
fn smallest(architecture: Architecture, attention_bias: bool, mlp_bias: bool) -> Option<ModelConfig> {
    let mut map = Map::new();
    for key in ["vocab_size", "hidden_size", "intermediate_size", "n_embd"] {
        map.insert(key.into(), json!(4));
    }
    for key in ["num_hidden_layers", "num_attention_heads", "num_key_value_heads", "n_head", "n_layer"] {
        map.insert(key.into(), json!(1));
    }
    map.insert("head_dim".into(), json!(4));
    map.insert("model_type".into(), json!(architecture.model_type()));
    map.insert("attention_bias".into(), json!(attention_bias));
    map.insert("mlp_bias".into(), json!(mlp_bias));
    map.insert("tie_word_embeddings".into(), json!(true));
    ModelConfig::from_map("config.json", map).ok()
}

/// The architectures whose tensors these are by name, exactly (the head may be missing).
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

/// Sizes that shapes show. `None` where the tensor is missing or has no such shape.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shapes {
    pub(super) vocab: Option<u64>,
    pub(super) hidden: Option<u64>,
    /// How many layers there are, if their numbers are 0 to n − 1.
    pub(super) layers: Option<u64>,
    pub(super) intermediate: Option<u64>,
    /// Width of all query heads, and of all key heads.
    pub(super) query: Option<u64>,
    pub(super) key_value: Option<u64>,
    /// From the norms on queries and keys.
    pub(super) head_dim: Option<u64>,
    pub(super) positions: Option<u64>,
    pub(super) attention_bias: bool,
    pub(super) mlp_bias: bool,
    pub(super) has_head: bool,
    pub(super) has_embedding: bool,
}

/// The name that an architecture gives its token embedding.
pub(super) fn embedding_name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Gpt2 => "transformer.wte.weight",
        _ => "model.embed_tokens.weight",
    }
}

/// Reads the sizes off the tensors of an architecture.
pub(super) fn shapes(view: &View, architecture: Architecture) -> Shapes {
    let gpt2 = architecture == Architecture::Gpt2;
    let layers_prefix = if gpt2 { "transformer.h." } else { "model.layers." };
    let numbers: BTreeSet<usize> =
        view.tensors.iter().filter_map(|tensor| tensor.name.strip_prefix(layers_prefix)?.split('.').next()?.parse().ok()).collect();
    let first = numbers.first().copied().unwrap_or(0);
    let shape = |name: &str| view.get(name).map(|tensor| tensor.shape.as_slice()).filter(|shape| !shape.contains(&0));
    let in_layer = |name: &str| shape(&format!("{layers_prefix}{first}.{name}"));
    let matrix = |shape: Option<&[u64]>| match shape {
        Some(&[rows, cols]) => Some((rows, cols)),
        _ => None,
    };
    let vector = |shape: Option<&[u64]>| match shape {
        Some(&[length]) => Some(length),
        _ => None,
    };
    let has = |name: &str| view.get(&format!("{layers_prefix}{first}.{name}")).is_some();
    let embedding = matrix(shape(embedding_name(architecture)));
    let head = matrix(shape("lm_head.weight"));
    let mut found = Shapes {
        vocab: embedding.or(head).map(|(rows, _)| rows),
        hidden: embedding.or(head).map(|(_, cols)| cols),
        layers: (!numbers.is_empty() && numbers.last() == Some(&(numbers.len() - 1))).then_some(numbers.len() as u64),
        has_head: head.is_some(),
        has_embedding: embedding.is_some(),
        ..Shapes::default()
    };
    if gpt2 {
        found.intermediate = matrix(in_layer("mlp.c_fc.weight")).map(|(_, cols)| cols);
        found.positions = matrix(shape("transformer.wpe.weight")).map(|(rows, _)| rows);
        return found;
    }
    found.intermediate = matrix(in_layer("mlp.down_proj.weight")).map(|(_, cols)| cols);
    found.query = matrix(in_layer("self_attn.o_proj.weight")).map(|(_, cols)| cols);
    found.key_value = match (matrix(in_layer("self_attn.qkv_proj.weight")), found.query) {
        (Some((rows, _)), Some(query)) if rows > query => Some((rows - query) / 2),
        _ => matrix(in_layer("self_attn.k_proj.weight")).map(|(rows, _)| rows),
    };
    found.head_dim = vector(in_layer("self_attn.q_norm.weight"));
    found.attention_bias = has("self_attn.q_proj.bias");
    found.mlp_bias = has("mlp.up_proj.bias");
    found
}

impl Shapes {
    /// The value of a field of config.json, as far as shapes alone decide it.
    pub(super) fn field(&self, key: &str) -> Option<Value> {
        let number = match key {
            "vocab_size" => self.vocab,
            "hidden_size" | "n_embd" => self.hidden,
            "num_hidden_layers" | "n_layer" => self.layers,
            "intermediate_size" | "n_inner" => self.intermediate,
            "n_positions" => self.positions,
            "head_dim" => self.head_dim,
            "num_attention_heads" => self.query.zip(self.head_dim).map(|(q, d)| q / d),
            "num_key_value_heads" => self.key_value.zip(self.head_dim).map(|(kv, d)| kv / d),
            _ => None,
        };
        number.filter(|n| *n > 0).map(|n| json!(n))
    }
}

/// Cuts of the heads that the widths allow, likeliest first: (heads, key/value heads, head_dim).
pub(super) fn head_splits(architecture: Architecture, shapes: &Shapes) -> Vec<(u64, u64, u64)> {
    const USUAL: [u64; 16] = [64, 128, 96, 80, 256, 32, 16, 8, 4, 12, 20, 24, 40, 48, 112, 160];
    if architecture == Architecture::Gpt2 {
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

/// Whether an architecture can have this cut.
pub(super) fn is_possible(architecture: Architecture, shapes: &Shapes, (heads, key_value_heads, head_dim): (u64, u64, u64)) -> bool {
    let whole = matches!(architecture, Architecture::Llama | Architecture::Gemma3Text);
    heads > 0
        && key_value_heads > 0
        && heads.is_multiple_of(key_value_heads)
        && head_dim.is_multiple_of(4)
        && (!whole || shapes.hidden.is_none_or(|hidden| hidden.is_multiple_of(heads)))
}
