//! The metadata that describe a configuration.

use super::header::Head;
use crate::error::{Error, Result};
use crate::gguf::config::{self, FromTensors};
use crate::model::config::CONFIG_FILE;
use crate::model::{ModelConfig, RopeKind};

/// A tensor that is computed from the configuration.
pub(super) type Computed = (String, Vec<f32>);

/// Writes the fields of a configuration, and checks that reading them gives the same model.
///
/// # Errors
/// [`Error::Config`] for what such a file cannot express.
pub(super) fn write(head: &mut Head, config: &ModelConfig) -> Result<Vec<Computed>> {
    let declaration = config.architecture.declaration();
    let gguf = declaration.gguf;
    let key = |key: &str| format!("{}.{key}", gguf.architecture);
    let count = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    for (name, value) in [
        ("vocab_size", config.vocab_size),
        ("context_length", config.max_position_embeddings),
        ("embedding_length", config.hidden_size),
        ("block_count", config.num_hidden_layers),
        ("feed_forward_length", config.intermediate_size),
        ("attention.head_count", config.num_attention_heads),
    ] {
        head.u32(&key(name), count(value));
    }
    if declaration.keys.has_head_sizes {
        head.u32(&key("attention.head_count_kv"), count(config.num_key_value_heads));
        head.u32(&key("attention.key_length"), count(config.head_dim));
        head.u32(&key("attention.value_length"), count(config.head_dim));
    }
    for (name, field) in gguf.fields {
        let value = match *field {
            "rms_norm_eps" | "layer_norm_epsilon" => Some(config.norm_eps),
            "final_logit_softcapping" => config.final_logit_softcapping,
            "embedding_multiplier" => Some(config.embedding_scale),
            "residual_multiplier" => Some(config.residual_scale),
            "attention_multiplier" => Some(config.attention_scale),
            "logits_scaling" => Some(1.0 / config.logits_scale),
            _ => None,
        };
        if let Some(value) = value {
            head.f32(&key(name), value);
        }
        if *field == "sliding_window"
            && let Some(window) = config.layers.iter().find_map(|layer| layer.window)
        {
            head.u32(&key(name), window);
        }
    }
    let computed = rotary(head, config, &key);
    check(head, config, &computed)?;
    Ok(computed)
}

fn rotary(head: &mut Head, config: &ModelConfig, key: &impl Fn(&str) -> String) -> Vec<Computed> {
    let Some(rope) = config.ropes.first() else { return Vec::new() };
    head.u32(&key("rope.dimension_count"), rope.rotary_dim as u32);
    head.f32(&key("rope.freq_base"), rope.theta as f32);
    if let Some(local) = config.ropes.get(1) {
        head.f32(&key("rope.freq_base_swa"), local.theta as f32);
    }
    let scaling = |name: &str| key(&format!("rope.scaling.{name}"));
    match &rope.kind {
        RopeKind::Default => Vec::new(),
        RopeKind::Linear { factor } => {
            head.text(&scaling("type"), "linear");
            head.f32(&scaling("factor"), *factor as f32);
            Vec::new()
        }
        // What the frequencies are divided by; `check` sees whether the parameters can be told from that.
        RopeKind::Llama3 { .. } => {
            let plain = crate::model::Rope { kind: RopeKind::Default, ..rope.clone() }.inv_freq(1);
            let factors = plain.iter().zip(rope.inv_freq(1)).map(|(plain, scaled)| plain / scaled).collect();
            vec![("rope_freqs.weight".to_string(), factors)]
        }
        RopeKind::Yarn { factor, attention_factor, beta_fast, beta_slow, original_max_position_embeddings, .. } => {
            head.text(&scaling("type"), "yarn");
            head.f32(&scaling("factor"), *factor as f32);
            head.u32(&scaling("original_context_length"), *original_max_position_embeddings as u32);
            head.f32(&scaling("yarn_attn_factor"), *attention_factor as f32);
            head.f32(&scaling("yarn_beta_fast"), *beta_fast as f32);
            head.f32(&scaling("yarn_beta_slow"), *beta_slow as f32);
            Vec::new()
        }
        RopeKind::LongRope { short_factor, long_factor, attention_factor, original_max_position_embeddings } => {
            head.u32(&scaling("original_context_length"), *original_max_position_embeddings as u32);
            head.f32(&scaling("attn_factor"), *attention_factor as f32);
            let numbers = |factors: &[f64]| factors.iter().map(|factor| *factor as f32).collect();
            vec![
                ("rope_factors_long.weight".to_string(), numbers(long_factor)),
                ("rope_factors_short.weight".to_string(), numbers(short_factor)),
            ]
        }
    }
}

/// Reads back what was written: a field that these files cannot express, and a value other than the one that llama.cpp takes for granted,
/// show here.
fn check(head: &Head, config: &ModelConfig, computed: &[Computed]) -> Result<()> {
    let numbers = |name: &str| computed.iter().find(|(other, _)| other == name).map(|(_, numbers)| numbers.clone());
    let tensors = FromTensors {
        vocabulary: config.vocab_size as u64,
        has_head: !config.tie_word_embeddings,
        attention_bias: config.attention_bias,
        mlp_bias: config.mlp_bias,
        rope_factors: numbers("rope_freqs.weight"),
        long_rope: numbers("rope_factors_long.weight").zip(numbers("rope_factors_short.weight")),
    };
    let cannot =
        |field: &str, reason: String| Err(Error::config(CONFIG_FILE, field, format!("{field} cannot be written as GGUF: {reason}")));
    let architecture = config::architecture(&head.metadata)?;
    let read = config::build(&head.metadata, architecture, &tensors).and_then(|map| ModelConfig::from_map(CONFIG_FILE, map));
    let read = match read {
        Ok(read) => read,
        Err(error) => return cannot("", error.to_string()),
    };
    // A window that no text of the context reaches changes nothing.
    let window = |config: &ModelConfig, layer: usize| {
        config.layers[layer].window.filter(|&window| (window as usize) < config.max_position_embeddings)
    };
    for layer in 0..config.num_hidden_layers {
        let (wanted, written) = (window(config, layer), window(&read, layer));
        if wanted != written {
            let says = |window: Option<u32>| window.map_or("no window".to_string(), |window| format!("a window of {window}"));
            return cannot("sliding_window", format!("layer {layer} has {}, and llama.cpp computes {}", says(wanted), says(written)));
        }
        if config.layers[layer].rope != read.layers[layer].rope {
            return cannot("rope", format!("llama.cpp rotates other layers' positions than layer {layer} has it"));
        }
    }
    let near = |a: f32, b: f32| (a - b).abs() <= 1e-6 * a.abs().max(b.abs());
    for (field, same) in [
        ("hidden_act", config.activation == read.activation),
        ("rope", same_ropes(config, &read)),
        ("attention_scale", near(config.attention_scale, read.attention_scale)),
        ("embedding_scale", near(config.embedding_scale, read.embedding_scale)),
        ("residual_scale", near(config.residual_scale, read.residual_scale)),
        ("logits_scale", near(config.logits_scale, read.logits_scale)),
        ("norm_eps", config.norm_eps == read.norm_eps),
        ("final_logit_softcapping", config.final_logit_softcapping == read.final_logit_softcapping),
        ("attention_bias", config.attention_bias == read.attention_bias && config.attention_output_bias == read.attention_output_bias),
        ("mlp_bias", config.mlp_bias == read.mlp_bias),
    ] {
        if !same {
            return cannot(field, format!("llama.cpp computes the {} model with another value of it", architecture.model_type()));
        }
    }
    Ok(())
}

/// Whether both rotate every position by the same angles.
fn same_ropes(a: &ModelConfig, b: &ModelConfig) -> bool {
    let close = |a: Vec<f32>, b: Vec<f32>| a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-5 * a.abs());
    a.ropes.len() == b.ropes.len()
        && a.ropes.iter().zip(&b.ropes).all(|(one, other)| {
            let at = |length: usize| close(one.inv_freq(length), other.inv_freq(length));
            let factors = (one.attention_factor() - other.attention_factor()).abs() <= 1e-5;
            at(1) && at(a.max_position_embeddings) && factors
        })
}
