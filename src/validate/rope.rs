//! Handles rotary positions that config.json does not declare: no tensor shows theta, so the common values are tried on a text.

use serde_json::{Map, Value, json};

use super::code::Code;
use super::repair::{Candidate, Repair};
use super::report::Finding;
use super::said::said;
use super::view::View;
use crate::model::config::CONFIG_FILE as CONFIG;
use crate::model::declaration::Positions;
use crate::model::{Architecture, ModelConfig};

/// The values of nearly all models: Llama 2 and Mistral, SmolLM, Llama 3, Qwen and later Mistrals.
const THETAS: [f64; 4] = [10_000.0, 100_000.0, 500_000.0, 1_000_000.0];
/// Any of these in config.json declares the rotary positions.
const KEYS: [&str; 3] = ["rope_theta", "rope_parameters", "rope_scaling"];

/// Whether a configuration declares rotary positions.
pub(super) fn is_given(config: &Map<String, Value>) -> bool {
    KEYS.iter().any(|key| config.get(*key).is_some_and(|value| !value.is_null()))
}

/// Candidate rotary positions of an architecture, the default of its class first. Scaling for long contexts is not among them, because
/// it changes little in a short text.
pub(super) fn candidates(architecture: Architecture) -> Vec<Candidate> {
    let candidate = |label: String, theta: f64, more: Option<(&str, f64)>| {
        let mut config =
            vec![("rope_parameters".to_string(), Value::Null), ("rope_scaling".into(), Value::Null), ("rope_theta".into(), json!(theta))];
        config.extend(more.map(|(key, value)| (key.to_string(), json!(value))));
        Candidate { label, config }
    };
    match architecture.declaration().positions {
        Positions::Learned => Vec::new(),
        Positions::RotaryByLayerType { theta, local_theta } => [theta, local_theta]
            .into_iter()
            .map(|theta| {
                let label = format!("theta {theta} and {local_theta} in sliding layers");
                candidate(label, theta, Some(("rope_local_base_freq", local_theta)))
            })
            .collect(),
        Positions::Rotary { theta: default } | Positions::PartlyRotary { theta: default } => {
            let others = THETAS.into_iter().filter(|theta| *theta != default);
            std::iter::once(default).chain(others).map(|theta| candidate(format!("theta {theta}"), theta, None)).collect()
        }
    }
}

/// `theta 10000`.
pub(super) fn describe(config: &ModelConfig) -> String {
    let thetas: Vec<String> = config.ropes.iter().map(|rope| format!("theta {}", rope.theta)).collect();
    thetas.join(" and ")
}

/// Reports unknown rotary positions if config.json was derived from the tensors alone: the loss on a text decides, or the user is asked.
pub(super) fn open(architecture: Architecture, view: &mut View, findings: &mut Vec<Finding>) {
    let inferred =
        findings.iter().any(|finding| finding.code == Code::MissingConfig && matches!(finding.repair, Some(Repair::SetConfig(_))));
    let candidates = candidates(architecture);
    if !inferred || candidates.is_empty() || is_given(&view.config) {
        return;
    }
    let labels: Vec<&str> = candidates.iter().map(|candidate| candidate.label.as_str()).collect();
    let message = said!(
        "the tensors do not show the base of the rotary positions (rope_theta); common are {}. Only the loss on a text decides (or the base: --base DIR)",
        labels.join(", ")
    );
    let repair = Repair::Score(candidates);
    view.apply(&repair);
    findings.push(Finding::new(Code::RopeUnclear, message).file(CONFIG).repair(repair));
}
