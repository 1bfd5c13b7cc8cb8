//! Determines the number of attention heads: the counts that the projections' widths allow, and the one among them that config.json,
//! the base or the width of a norm selects.

use serde_json::{Map, Value, json};

use super::base::Base;
use super::code::Code;
use super::infer::{Shapes, head_splits, is_possible};
use super::repair::{Candidate, Repair};
use super::report::Finding;
use super::said::said;
use super::view::View;
use crate::model::Architecture;
use crate::model::config::CONFIG_FILE as CONFIG;
use crate::model::declaration::Size;

/// The finding that neither config.json nor the base gives the number of heads.
pub(super) fn open_heads(architecture: Architecture, shapes: &Shapes) -> Option<Finding> {
    let candidates: Vec<Candidate> = head_splits(architecture, shapes).into_iter().map(|split| candidate(architecture, split)).collect();
    let first = candidates.first()?.clone();
    if let [_] = candidates[..] {
        let message = said!("the widths of the projections allow one number of heads: {}", first.label);
        return Some(Finding::new(Code::WrongSize, message).file(CONFIG).repair(Repair::SetConfig(first.config)));
    }
    let labels: Vec<&str> = candidates.iter().map(|candidate| candidate.label.as_str()).collect();
    let message = said!(
        "the tensors do not show how many heads there are; possible are {}. Only the loss on a text decides (or the base: --base DIR)",
        labels.join(", ")
    );
    Some(Finding::new(Code::HeadSplit, message).file(CONFIG).repair(Repair::Score(candidates)))
}

/// Expresses a head count as fields of config.json.
pub(super) fn candidate(architecture: Architecture, (heads, key_value_heads, head_dim): (u64, u64, u64)) -> Candidate {
    let keys = architecture.declaration().keys;
    let heads_key = keys.num_attention_heads[0];
    if !keys.has_head_sizes {
        return Candidate { label: format!("{heads} heads of {head_dim}"), config: vec![(heads_key.into(), json!(heads))] };
    }
    Candidate {
        label: format!("{heads} heads of {head_dim} ({key_value_heads} for keys and values)"),
        config: vec![
            (heads_key.into(), json!(heads)),
            ("num_key_value_heads".into(), json!(key_value_heads)),
            ("head_dim".into(), json!(head_dim)),
        ],
    }
}

/// Derives head counts from the widths of the projections, if those allow it. `map` contains the values of config.json.
pub(super) fn heads(
    architecture: Architecture,
    map: &Map<String, Value>,
    shapes: &Shapes,
    view: &View,
    base: Option<&Base>,
    reason: &str,
) -> Option<Finding> {
    let given = |key: &str| map.get(key).and_then(Value::as_u64).filter(|n| *n > 0);
    let elsewhere = "transformers stops with a size mismatch";
    let declaration = architecture.declaration();
    if !declaration.keys.has_head_sizes {
        return open_heads(architecture, shapes);
    }
    let (query, key_value) = (shapes.query?, shapes.key_value?);
    let divide = |a: u64, b: u64| (b > 0 && a.is_multiple_of(b)).then(|| a / b);
    let from_base = base.filter(|base| base.architecture() == Some(architecture)).and_then(|base| {
        let config = base.config.as_ref()?;
        let split = (config.num_attention_heads as u64, config.num_key_value_heads as u64, config.head_dim as u64);
        (split.0 * split.2 == query && split.1 * split.2 == key_value).then_some(split)
    });
    // A correct query head count determines the rest, and so does a correct head_dim. If both are correct, they give the same answer.
    let keep_dim = |d: u64| Some((divide(query, d)?, divide(key_value, d)?, d));
    let keep_heads = |h: u64| keep_dim(divide(query, h)?);
    let mut splits: Vec<(u64, u64, u64)> = match (from_base, shapes.head_dim) {
        (Some(split), _) => vec![split],
        (None, Some(d)) => keep_dim(d).into_iter().collect(),
        (None, None) => {
            let explicit = view.config.get("head_dim").is_some_and(|value| !value.is_null());
            let by_heads = given("num_attention_heads").and_then(keep_heads);
            let by_dim = given("head_dim").filter(|_| explicit).and_then(keep_dim);
            by_heads.into_iter().chain(by_dim).collect()
        }
    };
    splits.retain(|split| is_possible(architecture, shapes, *split));
    splits.dedup();
    if splits.is_empty() {
        splits = head_splits(architecture, shapes);
    }
    let tensor =
        declaration.tensors.showing(Size::KeyValue).or_else(|| declaration.tensors.showing(Size::QueryKeyValue)).unwrap_or_default();
    let candidates: Vec<Candidate> = splits.iter().map(|split| candidate(architecture, *split)).collect();
    let first = candidates.first()?;
    let finding = Finding::new(Code::WrongSize, "").file(CONFIG).tensor(tensor);
    Some(match candidates.len() {
        1 => {
            let changed: Vec<(String, Value)> =
                first.config.iter().filter(|(key, value)| map.get(key) != Some(value) || !view.config.contains_key(key)).cloned().collect();
            let message = said!("{reason}; {elsewhere}. The tensors have {}", first.label);
            Finding { message, ..finding }.repair(Repair::SetConfig(changed))
        }
        _ => {
            let labels: Vec<&str> = candidates.iter().map(|candidate| candidate.label.as_str()).collect();
            let message = said!("{reason}; {elsewhere}. They allow {}, and only the loss on a text tells which", labels.join(" or "));
            Finding { code: Code::HeadSplit, message, ..finding }.repair(Repair::Score(candidates))
        }
    })
}
