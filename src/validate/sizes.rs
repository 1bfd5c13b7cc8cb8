//! Compares the sizes in config.json with the shapes of the tensors.

use serde_json::{Value, json};

use super::base::Base;
use super::code::Code;
use super::heads::heads;
use super::infer::{Shapes, embedding_name};
use super::repair::Repair;
use super::report::Finding;
use super::said::said;
use super::view::View;
use crate::model::ModelConfig;
use crate::model::config::CONFIG_FILE as CONFIG;
use crate::model::declaration::Size;

/// The first size that disagrees, with the repair; the caller calls this again after applying it.
pub(super) fn compare(config: &ModelConfig, shapes: &Shapes, view: &View, base: Option<&Base>) -> Option<Finding> {
    let architecture = config.architecture;
    let (keys, tensors) = (architecture.declaration().keys, architecture.declaration().tensors);
    // The key used in the file, or else the configuration class's own.
    let key = |names: &'static [&'static str]| names.iter().find(|key| view.config.contains_key(**key)).copied().unwrap_or(names[0]);
    let embedding = embedding_name(architecture);
    let set_to = |key: &str, value: u64| Repair::SetConfig(vec![(key.to_string(), json!(value))]);
    let differs = |found: Option<u64>, configured: usize| found.filter(|found| *found != configured as u64);
    let elsewhere = "transformers stops with a size mismatch";

    if let Some(rows) = differs(shapes.vocab, config.vocab_size) {
        let message = said!("vocab_size is {}, but the embedding {embedding} has {rows} rows; {elsewhere}", config.vocab_size);
        return Some(Finding::new(Code::VocabSize, message).file(CONFIG).tensor(embedding).repair(set_to("vocab_size", rows)));
    }
    if let Some(width) = differs(shapes.hidden, config.hidden_size) {
        let key = key(keys.hidden_size);
        let message = said!("{key} is {}, but the embedding {embedding} has {width} columns; {elsewhere}", config.hidden_size);
        return Some(Finding::new(Code::WrongSize, message).file(CONFIG).tensor(embedding).repair(set_to(key, width)));
    }
    if let Some(layers) = differs(shapes.layers, config.num_hidden_layers) {
        let key = key(keys.num_hidden_layers);
        let declared = config.num_hidden_layers;
        let elsewhere = match layers < declared as u64 {
            true => format!("transformers would add {} with random numbers", count(declared as u64 - layers)),
            false => format!("transformers would drop {}", count(layers - declared as u64)),
        };
        let message = said!("{key} is {declared}, but there are tensors of {}; {elsewhere} and only warn", count(layers));
        let mut fields = vec![(key.to_string(), json!(layers))];
        if let Some(Value::Array(types)) = view.config.get("layer_types")
            && types.len() as u64 > layers
        {
            fields.push(("layer_types".into(), json!(types[..layers as usize])));
        }
        return Some(Finding::new(Code::LayerCount, message).file(CONFIG).repair(Repair::SetConfig(fields)));
    }
    if let Some(width) = differs(shapes.intermediate, config.intermediate_size) {
        let key = key(keys.intermediate_size);
        let first_layer = tensors.showing(Size::Intermediate).unwrap_or_default();
        let message = said!("{key} is {}, but {first_layer} shows {width}; {elsewhere}", config.intermediate_size);
        return Some(Finding::new(Code::WrongSize, message).file(CONFIG).tensor(first_layer).repair(set_to(key, width)));
    }
    if let Some(positions) = differs(shapes.positions, config.max_position_embeddings) {
        let key = key(keys.max_position_embeddings);
        let table = tensors.showing(Size::Positions).unwrap_or_default();
        let message = said!("{key} is {}, but {table} has {positions} rows; {elsewhere}", config.max_position_embeddings);
        return Some(Finding::new(Code::WrongSize, message).file(CONFIG).tensor(table).repair(set_to(key, positions)));
    }
    let widths = [(shapes.query, config.query_width()), (shapes.key_value, config.key_value_width()), (shapes.head_dim, config.head_dim)];
    if widths.iter().any(|(found, configured)| differs(*found, *configured).is_some()) {
        let (q, kv) = (shapes.query.unwrap_or(0), shapes.key_value.unwrap_or(0));
        let reason = format!(
            "the heads do not fit: {} query heads and {} key/value heads of {} make widths of {} and {}, the projections have {q} and {kv}",
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
            config.query_width(),
            config.key_value_width(),
        );
        let resolved = [
            ("num_attention_heads", config.num_attention_heads),
            ("num_key_value_heads", config.num_key_value_heads),
            ("head_dim", config.head_dim),
        ];
        let mut map = view.config.clone();
        map.extend(resolved.map(|(key, value)| (key.to_string(), json!(value))));
        return heads(architecture, &map, shapes, view, base, &reason).or_else(|| Some(Finding::new(Code::WrongSize, reason).file(CONFIG)));
    }
    biases(config, shapes, view)
}

fn count(layers: u64) -> String {
    if layers == 1 { "1 layer".to_string() } else { format!("{layers} layers") }
}

/// Compares the flags for biases with the tensors present.
fn biases(config: &ModelConfig, shapes: &Shapes, view: &View) -> Option<Finding> {
    shapes.query?;
    let (bias, there) = shapes.biases.iter().find(|(bias, there)| (bias.value)(config) != *there)?;
    let (key, configured) = (bias.key, (bias.value)(config));
    let tensor = format!("{}0.{}", config.architecture.declaration().tensors.layers, bias.tensor);
    let what = if *there { "there are such biases" } else { "there are none" };
    let given = if view.config.contains_key(key) { "is" } else { "is absent, which means" };
    let message = said!("{key} {given} {configured}, but {what} among the tensors; transformers would leave them out or make random ones");
    Some(Finding::new(Code::WrongSize, message).file(CONFIG).tensor(tensor).repair(Repair::SetConfig(vec![(key.into(), json!(there))])))
}
