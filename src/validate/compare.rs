//! Compares the model with its base: settings that training does not change, and the weights that it did change.

use serde_json::Value;

use super::base::Base;
use super::code::Code;
use super::options::Progress;
use super::repair::Repair;
use super::report::Finding;
use super::said::said;
use super::view::{Tensor, View};
use crate::error::Result;
use crate::model::ModelConfig;
use crate::model::config::CONFIG_FILE as CONFIG;

/// Fields of config.json that declare the rotary positions.
const ROPE: [&str; 5] = ["rope_parameters", "rope_theta", "rope_scaling", "rope_local_base_freq", "partial_rotary_factor"];
const WINDOWS: [&str; 5] = ["sliding_window", "use_sliding_window", "max_window_layers", "layer_types", "sliding_window_pattern"];
const HEADS: [&str; 5] = ["num_attention_heads", "num_key_value_heads", "head_dim", "n_head", "hidden_size"];
/// Elements compared per chunk.
const PIECE: u64 = 2 << 20;

/// Compares settings that the tensors cannot show: if they differ from the base's, the model computes something else.
pub(super) fn settings(view: &mut View, config: &ModelConfig, base: &Base, findings: &mut Vec<Finding>) -> Option<ModelConfig> {
    let other = base.config.as_ref()?;
    if other.architecture != config.architecture {
        let message = said!(
            "the directory given as base is a {}, this is a {}: it is another model's base, so nothing was compared",
            other.architecture.model_type(),
            config.architecture.model_type()
        );
        findings.push(Finding::new(Code::OtherBase, message));
        return None;
    }
    let theta = |config: &ModelConfig| config.ropes.iter().map(|rope| rope.theta.to_string()).collect::<Vec<_>>().join(" and ");
    let heads =
        |c: &ModelConfig| format!("{} heads of {} ({} for keys and values)", c.num_attention_heads, c.head_dim, c.num_key_value_heads);
    let same_widths = config.query_width() == other.query_width() && config.key_value_width() == other.key_value_width();
    let mut differing: Vec<(&str, String, &[&str])> = Vec::new();
    // The rotated part of a head is left out, because it depends on the number of heads.
    let turning = |config: &ModelConfig| config.ropes.iter().map(|rope| (rope.theta, rope.kind.clone())).collect::<Vec<_>>();
    if turning(config) != turning(other) {
        let how = match theta(config) == theta(other) {
            true => "they are scaled in another way".to_string(),
            false => format!("theta is {}, the base has {}", theta(config), theta(other)),
        };
        differing.push(("the rotary positions differ", how, &ROPE));
    }
    if same_widths && heads(config) != heads(other) {
        differing.push(("the number of heads differs", format!("{}, the base has {}", heads(config), heads(other)), &HEADS));
    }
    if config.norm_eps != other.norm_eps {
        let how = format!("{:e}, the base has {:e}", config.norm_eps, other.norm_eps);
        differing.push(("the norms' epsilon differs", how, &["rms_norm_eps", "layer_norm_epsilon"]));
    }
    if config.activation != other.activation {
        let how = format!("{:?}, the base has {:?}", config.activation, other.activation);
        differing.push(("the activation differs", how, &["hidden_act", "hidden_activation", "activation_function"]));
    }
    let windows = |config: &ModelConfig| config.layers.iter().map(|layer| layer.window).collect::<Vec<_>>();
    if config.layers.len() == other.layers.len() && windows(config) != windows(other) {
        differing.push(("the sliding windows differ", "other layers, or another width, than in the base".into(), &WINDOWS));
    }
    if same_widths && heads(config) == heads(other) && config.attention_scale != other.attention_scale {
        let how = format!("{}, the base has {}", config.attention_scale, other.attention_scale);
        differing.push(("the scale of attention differs", how, &["query_pre_attn_scalar", "scale_attn_weights", "attention_multiplier"]));
    }
    let scales = |config: &ModelConfig| [config.embedding_scale, config.residual_scale, config.logits_scale];
    if same_widths && scales(config) != scales(other) {
        let how = format!("{:?} for embedding, residual stream and logits, the base has {:?}", scales(config), scales(other));
        differing.push(("a multiplier differs", how, &["embedding_multiplier", "residual_multiplier", "logits_scaling"]));
    }
    if config.final_logit_softcapping != other.final_logit_softcapping {
        let how = format!("{:?}, the base has {:?}", config.final_logit_softcapping, other.final_logit_softcapping);
        differing.push(("the cap of the logits differs", how, &["final_logit_softcapping"]));
    }
    if differing.is_empty() {
        return Some(config.clone());
    }
    for (what, how, keys) in differing {
        let field = |key: &&&str| -> Option<(String, Value)> {
            let (here, there) = (view.config.get(**key), base.view.config.get(**key));
            (here != there).then(|| ((**key).to_string(), there.cloned().unwrap_or(Value::Null)))
        };
        let fields: Vec<(String, Value)> = keys.iter().filter_map(|key| field(&key)).collect();
        let repair = Repair::SetConfig(fields);
        view.apply(&repair);
        let message = said!(
            "{what} from the base's: {how}. Training does not change this; other tools compute something else without a word. If it was not \
             changed on purpose, take the base's"
        );
        findings.push(Finding::new(Code::ConfigDiffers, message).file(CONFIG).repair(repair));
    }
    ModelConfig::from_map(CONFIG, view.config.clone()).ok()
}

/// Measures how far the tensors moved from the base's, reading both in parallel.
///
/// # Errors
/// When a file that was just opened can no longer be read.
pub(super) async fn numbers(view: &View, base: &Base, findings: &mut Vec<Finding>, progress: &mut dyn FnMut(Progress<'_>)) -> Result<()> {
    let readable = |tensor: &Tensor| crate::checkpoint::dtype_name(tensor.dtype).is_some();
    let pairs: Vec<(&Tensor, &Tensor)> = view
        .tensors
        .iter()
        .filter_map(|tensor| Some((tensor, base.view.get(&tensor.name)?)))
        .filter(|(tensor, other)| tensor.shape == other.shape && readable(tensor) && readable(other))
        .collect();
    let alone = view.tensors.len() - pairs.len();
    if pairs.is_empty() || alone > view.tensors.len() / 2 {
        let message =
            said!("{alone} of {} tensors have no counterpart of the same shape in the base: it is another model's", view.tensors.len());
        findings.push(Finding::new(Code::OtherBase, message));
        return Ok(());
    }
    let total = pairs.iter().map(|(tensor, _)| tensor.elements()).sum::<u64>();
    let mut done = 0;
    let mut moved: Vec<(f64, &str)> = Vec::new();
    for (tensor, other) in &pairs {
        let rows = if tensor.shape.len() == 2 { tensor.shape[0] } else { 1 };
        let step = (PIECE * rows / tensor.elements().max(1)).max(1);
        let (mut difference, mut size) = (0.0, 0.0);
        let mut at = 0;
        while at < rows {
            let range = at..(at + step).min(rows);
            let (a, b) = (view.rows(tensor, range.clone()).await?, base.view.rows(other, range.clone()).await?);
            difference += a.iter().zip(&b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
            size += b.iter().map(|b| f64::from(*b).powi(2)).sum::<f64>();
            done += a.len() as u64;
            at = range.end;
            progress(Progress { what: "comparing with the base", done: 4 * done, total: 4 * total });
        }
        if difference != 0.0 {
            moved.push(((difference / size.max(f64::MIN_POSITIVE)).sqrt(), &tensor.name));
        }
    }
    let more = match alone {
        0 => String::new(),
        n => format!("; {n} have no counterpart of the same shape there"),
    };
    let Some((largest, name)) = moved.iter().max_by(|a, b| a.0.total_cmp(&b.0)) else {
        let message = said!(
            "none of the {} tensors differs from the base{more}: the run changed nothing, or its result lies elsewhere (an adapter beside it?)",
            pairs.len()
        );
        findings.push(Finding::new(Code::Unchanged, message));
        return Ok(());
    };
    let median = {
        let mut sizes: Vec<f64> = moved.iter().map(|(size, _)| *size).collect();
        sizes.sort_by(f64::total_cmp);
        sizes[sizes.len() / 2]
    };
    let message = said!(
        "{} of {} tensors differ from the base{more}; by {} of their norm in the middle, and most by {} in {name}",
        moved.len(),
        pairs.len(),
        percent(median),
        percent(*largest)
    );
    findings.push(Finding::new(Code::Changed, message));
    // The change is larger than the base's tensor itself: fine-tuning never does that, while a reinitialised tensor has √2.
    let anew: Vec<&(f64, &str)> = moved.iter().filter(|(size, _)| *size > 1.0).collect();
    if let Some((size, name)) = anew.first() {
        let others = if anew.len() > 1 { format!(" (and {} more)", anew.len() - 1) } else { String::new() };
        let message = said!(
            "has nothing left of the base's numbers{others}: it differs by {} of their norm. It looks set anew at random; was it missing when the \
             model was saved or loaded?",
            percent(*size)
        );
        findings.push(Finding::new(Code::RandomWeights, message).tensor(*name));
    }
    Ok(())
}

fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent >= 10.0 {
        format!("{percent:.0} %")
    } else if percent >= 0.1 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.1e} %")
    }
}
