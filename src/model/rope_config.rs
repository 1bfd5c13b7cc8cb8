//! Rotary positions in `config.json`: transformers 4 writes `rope_theta` and `rope_scaling` (gemma3 also `rope_local_base_freq`),
//! transformers 5 writes `rope_parameters`. Both forms are read and both are written, so that either version computes the same from our
//! files.

use serde_json::{Map, Value, json};

use super::config::ModelConfig;
use super::declaration::Positions;
use super::fields::{Fields, limits};
use super::rope::{Rope, RopeKind};
use crate::error::Result;

const LAYER_TYPES: [&str; 2] = ["full_attention", "sliding_attention"];

/// Reads one rotary embedding for all layers. As in transformers, `rope_scaling` takes precedence over `rope_parameters`, and a theta
/// inside either over one outside.
pub(super) fn read(fields: &Fields<'_>, config: &ModelConfig) -> Result<Rope> {
    whole_head(fields)?;
    let (default, _) = default_thetas(config);
    let Some((key, inner)) = scaling_or_parameters(fields)? else {
        let theta = check_theta(fields, fields.positive_or("rope_theta", default)?)?;
        return Ok(Rope { theta, kind: RopeKind::Default, rotary_dim: config.head_dim });
    };
    if LAYER_TYPES.iter().any(|layer_type| inner.has(layer_type)) {
        return Err(fields.error(key, "has an entry for each layer type, which only gemma3_text has"));
    }
    whole_head(&inner)?;
    let theta = inner.optional_positive("rope_theta")?.map_or_else(|| fields.positive_or("rope_theta", default), Ok)?;
    let kind = read_kind(&inner, config)?;
    Ok(Rope { theta: check_theta(fields, theta)?, kind, rotary_dim: config.head_dim })
}

/// Gemma 3: reads the embedding of the full layers, then that of the sliding layers, which is never scaled.
pub(super) fn read_per_layer_type(fields: &Fields<'_>, config: &ModelConfig) -> Result<Vec<Rope>> {
    whole_head(fields)?;
    let parameters = fields.object("rope_parameters")?;
    if let Some(parameters) = &parameters
        && !LAYER_TYPES.iter().any(|layer_type| parameters.has(layer_type))
    {
        return Err(
            fields.error("rope_parameters", "must have an entry for full_attention and one for sliding_attention in a gemma3_text model")
        );
    }
    let (default, local_default) = default_thetas(config);
    let mut ropes = Vec::new();
    for (layer_type, outer_key, default) in
        [(LAYER_TYPES[0], "rope_theta", default), (LAYER_TYPES[1], "rope_local_base_freq", local_default)]
    {
        let inner = match &parameters {
            Some(parameters) => parameters.object(layer_type)?,
            None => None,
        };
        let theta = match &inner {
            Some(inner) => inner.optional_positive("rope_theta")?,
            None => None,
        };
        let theta = theta.map_or_else(|| fields.positive_or(outer_key, default), Ok)?;
        let scaling = match (layer_type, fields.object("rope_scaling")?) {
            ("full_attention", Some(scaling)) => Some(scaling),
            _ => inner,
        };
        let kind = match scaling {
            Some(scaling) => read_kind(&scaling, config)?,
            None => RopeKind::Default,
        };
        if layer_type == LAYER_TYPES[1] && kind != RopeKind::Default {
            return Err(fields.error(
                "rope_parameters",
                "scales the sliding layers' positions, which no Gemma 3 does and transformers 4 cannot express",
            ));
        }
        ropes.push(Rope { theta: check_theta(fields, theta)?, kind, rotary_dim: config.head_dim });
    }
    Ok(ropes)
}

/// Phi 3: reads a rotary embedding on a part of each head, with LongRoPE, whose type is `su` or `yarn` in older files.
pub(super) fn read_phi3(fields: &Fields<'_>, config: &ModelConfig) -> Result<Rope> {
    let inner = scaling_or_parameters(fields)?.map(|(_, inner)| inner);
    let mut theta = fields.positive_or("rope_theta", default_thetas(config).0)?;
    let mut partial = fields.positive_or("partial_rotary_factor", 1.0)?;
    if let Some(inner) = &inner {
        theta = inner.positive_or("rope_theta", theta)?;
        partial = inner.positive_or("partial_rotary_factor", partial)?;
    }
    let rotary_dim = (config.head_dim as f64 * partial) as usize;
    if partial > 1.0 || rotary_dim == 0 || !rotary_dim.is_multiple_of(2) {
        return Err(fields.error(
            "partial_rotary_factor",
            format!("is {partial}, which turns {rotary_dim} of a head's {} features; an even part of them is needed", config.head_dim),
        ));
    }
    let theta = check_theta(fields, theta)?;
    let rope_type = match &inner {
        Some(inner) => rope_type(inner)?,
        None => "default",
    };
    let kind = match (rope_type, inner) {
        ("longrope" | "su" | "yarn", Some(inner)) => {
            let original = fields.count_or("original_max_position_embeddings", 4096, limits::POSITIONS)?;
            let factor = inner.optional_positive("factor")?;
            let attention_factor = match inner.optional_positive("attention_factor")? {
                Some(attention_factor) => attention_factor,
                None => longrope_attention_factor(config, original, factor),
            };
            RopeKind::LongRope {
                short_factor: inner.positives("short_factor", rotary_dim / 2)?,
                long_factor: inner.positives("long_factor", rotary_dim / 2)?,
                attention_factor,
                original_max_position_embeddings: original,
            }
        }
        ("default", _) => RopeKind::Default,
        (other, _) => {
            return Err(fields.error("rope_scaling", format!("has the type \"{other}\"; phi3 knows default and longrope")));
        }
    };
    Ok(Rope { theta, kind, rotary_dim })
}

/// √(1 + ln s / ln L), with s = max / L unless `factor` is given (LongRoPE, arXiv:2402.13753, as transformers applies it).
fn longrope_attention_factor(config: &ModelConfig, original: usize, factor: Option<f64>) -> f64 {
    let factor = factor.unwrap_or(config.max_position_embeddings as f64 / original as f64);
    if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / (original as f64).ln()).sqrt() }
}

/// The default bases: of the full layers, and of the sliding ones.
fn default_thetas(config: &ModelConfig) -> (f64, f64) {
    match config.architecture.declaration().positions {
        Positions::Rotary { theta } | Positions::PartlyRotary { theta } => (theta, theta),
        Positions::RotaryByLayerType { theta, local_theta } => (theta, local_theta),
        Positions::Learned => (10_000.0, 10_000.0),
    }
}

fn scaling_or_parameters<'a>(fields: &Fields<'a>) -> Result<Option<(&'static str, Fields<'a>)>> {
    for key in ["rope_scaling", "rope_parameters"] {
        if let Some(inner) = fields.object(key)? {
            return Ok(Some((key, inner)));
        }
    }
    Ok(None)
}

/// Rejects a partial rotary factor: only phi3 rotates a part of each head.
fn whole_head(fields: &Fields<'_>) -> Result<()> {
    match fields.optional_positive("partial_rotary_factor")? {
        Some(factor) if factor != 1.0 => {
            Err(fields.error("partial_rotary_factor", format!("is {factor}; only phi3 turns a part of each head")))
        }
        _ => Ok(()),
    }
}

/// Rejects θ ≤ 1, for which the frequencies do not decrease; formulas also divide by its logarithm.
fn check_theta(fields: &Fields<'_>, theta: f64) -> Result<f64> {
    if theta > 1.0 { Ok(theta) } else { Err(fields.error("rope_theta", format!("is {theta}; it must be greater than 1"))) }
}

fn rope_type<'a>(inner: &Fields<'a>) -> Result<&'a str> {
    match inner.text("rope_type")? {
        Some(rope_type) => Ok(rope_type),
        None => Ok(inner.text("type")?.unwrap_or("default")),
    }
}

/// Reads the scaling method, for every architecture except phi3.
fn read_kind(inner: &Fields<'_>, config: &ModelConfig) -> Result<RopeKind> {
    let original = || inner.count_or("original_max_position_embeddings", config.max_position_embeddings, limits::POSITIONS);
    match rope_type(inner)? {
        "default" => Ok(RopeKind::Default),
        "linear" => Ok(RopeKind::Linear { factor: inner.positive("factor")? }),
        "llama3" => {
            let (low, high) = (inner.positive("low_freq_factor")?, inner.positive("high_freq_factor")?);
            if high <= low {
                return Err(inner.error("high_freq_factor", format!("is {high}; it must be greater than low_freq_factor, {low}")));
            }
            Ok(RopeKind::Llama3 {
                factor: inner.positive("factor")?,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: original()?,
            })
        }
        "yarn" => {
            let factor = inner.positive("factor")?;
            let mscale = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
            let scales = (inner.optional_positive("mscale")?, inner.optional_positive("mscale_all_dim")?);
            let attention_factor = match (inner.optional_positive("attention_factor")?, scales) {
                (Some(given), _) => given,
                (None, (Some(m), Some(all))) => mscale(m) / mscale(all),
                (None, _) => mscale(1.0),
            };
            let (beta_fast, beta_slow) =
                (inner.optional_positive("beta_fast")?.unwrap_or(32.0), inner.optional_positive("beta_slow")?.unwrap_or(1.0));
            if beta_fast < beta_slow {
                return Err(inner.error("beta_fast", format!("is {beta_fast}; it must not be less than beta_slow, {beta_slow}")));
            }
            Ok(RopeKind::Yarn {
                factor,
                attention_factor,
                beta_fast,
                beta_slow,
                truncate: inner.flag_or("truncate", true)?,
                original_max_position_embeddings: original()?,
            })
        }
        "longrope" => Err(inner.error("rope_type", "is longrope, which is supported for phi3 only")),
        "dynamic" => Err(inner.error(
            "rope_type",
            "is dynamic, which changes with the length of the text and cannot be trained; \
             remove it to train within the original context",
        )),
        other => {
            Err(inner.error("rope_type", format!("is \"{other}\"; default, linear, llama3, yarn and (for phi3) longrope are supported")))
        }
    }
}

/// Replaces the rotary fields of a `config.json` by the effective parameters, in the spellings of both transformers versions.
pub(crate) fn write(config: &ModelConfig, out: &mut Map<String, Value>) {
    for key in ["rope_theta", "rope_scaling", "rope_parameters", "rope_local_base_freq", "partial_rotary_factor"] {
        out.remove(key);
    }
    let Some(rope) = config.ropes.first() else {
        return;
    };
    out.insert("rope_theta".into(), json!(rope.theta));
    let parameters = match (config.architecture.declaration().positions, config.ropes.get(1)) {
        (Positions::RotaryByLayerType { .. }, Some(local)) => {
            out.insert("rope_local_base_freq".into(), json!(local.theta));
            json!({LAYER_TYPES[0]: parameters(config, rope), LAYER_TYPES[1]: parameters(config, local)})
        }
        (Positions::PartlyRotary { .. }, _) => {
            let partial = rope.rotary_dim as f64 / config.head_dim as f64;
            out.insert("partial_rotary_factor".into(), json!(partial));
            let mut all = parameters(config, rope);
            all.insert("partial_rotary_factor".into(), json!(partial));
            Value::Object(all)
        }
        _ => Value::Object(parameters(config, rope)),
    };
    out.insert("rope_parameters".into(), parameters);
    out.insert("rope_scaling".into(), scaling(config, rope));
}

/// `rope_parameters` of one rotary embedding.
fn parameters(config: &ModelConfig, rope: &Rope) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("rope_theta".into(), json!(rope.theta));
    let mut set = |key: &str, value: Value| {
        map.insert(key.into(), value);
    };
    match &rope.kind {
        RopeKind::Default => set("rope_type", json!("default")),
        RopeKind::Linear { factor } => {
            set("rope_type", json!("linear"));
            set("factor", json!(factor));
        }
        RopeKind::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
            set("rope_type", json!("llama3"));
            set("factor", json!(factor));
            set("low_freq_factor", json!(low_freq_factor));
            set("high_freq_factor", json!(high_freq_factor));
            set("original_max_position_embeddings", json!(original_max_position_embeddings));
        }
        RopeKind::Yarn { factor, attention_factor, beta_fast, beta_slow, truncate, original_max_position_embeddings } => {
            set("rope_type", json!("yarn"));
            set("factor", json!(factor));
            set("attention_factor", json!(attention_factor));
            set("beta_fast", json!(beta_fast));
            set("beta_slow", json!(beta_slow));
            set("truncate", json!(truncate));
            set("original_max_position_embeddings", json!(original_max_position_embeddings));
        }
        RopeKind::LongRope { short_factor, long_factor, attention_factor, original_max_position_embeddings } => {
            set("rope_type", json!("longrope"));
            set("short_factor", json!(short_factor));
            set("long_factor", json!(long_factor));
            set("original_max_position_embeddings", json!(original_max_position_embeddings));
            if *attention_factor != longrope_attention_factor(config, *original_max_position_embeddings, None) {
                set("attention_factor", json!(attention_factor));
            }
        }
    }
    map
}

/// `rope_scaling`: `rope_parameters` without theta; `null` without scaling. For phi3, transformers 4 accepts exactly `type` and the two
/// factors; it cannot express a separate attention factor, which makes it fail instead of computing wrong values.
fn scaling(config: &ModelConfig, rope: &Rope) -> Value {
    if rope.kind == RopeKind::Default {
        return Value::Null;
    }
    let mut map = parameters(config, rope);
    map.remove("rope_theta");
    if matches!(config.architecture.declaration().positions, Positions::PartlyRotary { .. }) {
        map.remove("rope_type");
        map.remove("original_max_position_embeddings");
        map.insert("type".into(), json!("longrope"));
    }
    Value::Object(map)
}
