//! What a resumed run must have in common with the interrupted one, so that it ends with the same bits.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::data::Sample;

/// What the bits of a run depend on. Stored in `trainer_state.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The resolved recipe, less the keys that a resumed run may change ([`crate::config::keys::OnResume`]).
    pub recipe: Map<String, Value>,
    /// What is trained, as far as the recipe does not say it: the base of an adapter, an adapter that is trained on.
    pub method: Map<String, Value>,
    /// Training samples.
    pub train: SamplesHash,
    /// Evaluation samples, where evaluations during the run decide about it.
    pub eval: Option<SamplesHash>,
}

/// What samples are told apart by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamplesHash {
    /// How many there are.
    pub samples: usize,
    /// Their tokens.
    pub tokens: usize,
    /// SHA-256 over token ids, targets and the ends of packed sequences, in order.
    pub sha256: String,
}

impl SamplesHash {
    pub(super) fn of(samples: &[Sample]) -> SamplesHash {
        let mut hash = Sha256::new();
        for sample in samples {
            hash.update((sample.ids.len() as u64).to_le_bytes());
            hash.update(bytemuck::cast_slice(&sample.ids));
            hash.update(bytemuck::cast_slice(&sample.labels));
            hash.update((sample.ends.len() as u64).to_le_bytes());
            for end in &sample.ends {
                hash.update((*end as u64).to_le_bytes());
            }
            if let Some(feedback) = sample.feedback {
                hash.update([feedback as u8]);
            }
        }
        let tokens = samples.iter().map(|sample| sample.ids.len()).sum();
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        SamplesHash { samples: samples.len(), tokens, sha256 }
    }

    /// How `self` (then) differs from `now`.
    fn difference(&self, now: &SamplesHash, which: &str) -> Option<String> {
        if self == now {
            return None;
        }
        if (self.samples, self.tokens) == (now.samples, now.tokens) {
            return Some(format!("the {which} samples are others or in another order, though as many ({})", now.samples));
        }
        let amount = |of: &SamplesHash| format!("{} of {} tokens", of.samples, of.tokens);
        Some(format!("the {which} samples were {} and are {} here", amount(self), amount(now)))
    }
}

impl Fingerprint {
    /// How `self` (the interrupted run) differs from `now`, in clauses; empty where it does not.
    /// In a longer run, how its length is written may differ.
    pub(super) fn differences(&self, now: &Fingerprint, longer: bool) -> Vec<String> {
        let without_length = |recipe: &Map<String, Value>| {
            let mut recipe = recipe.clone();
            recipe.retain(|name, _| !longer || !LENGTH.contains(&name.as_str()));
            recipe
        };
        let mut found = differences(&without_length(&self.recipe), &without_length(&now.recipe), "");
        // A changed recipe mostly changes what follows from it as well; that is said once.
        if found.is_empty() {
            found = differences(&self.method, &now.method, "the adapter's ");
            found.extend(self.train.difference(&now.train, "training"));
            if let (Some(then), Some(now)) = (&self.eval, &now.eval) {
                found.extend(then.difference(now, "evaluation"));
            }
        }
        found
    }
}

/// The keys that say how long a run is.
const LENGTH: [&str; 2] = ["num_train_epochs", "max_steps"];

/// The entries that differ, as "seed was 42 and is 7 here".
fn differences(then: &Map<String, Value>, now: &Map<String, Value>, of: &str) -> Vec<String> {
    let mut names: Vec<&String> = now.keys().collect();
    names.extend(then.keys().filter(|name| !now.contains_key(*name)));
    let mut found = Vec::new();
    for name in names {
        // A key that one of the two does not know is off there.
        let value = |map: &Map<String, Value>| map.get(name).filter(|value| !is_off(value)).cloned();
        let (was, is) = (value(then), value(now));
        if was == is {
            continue;
        }
        found.push(match name.as_str() {
            BASE => "the base model is another one".to_string(),
            REFERENCE => "the reference model is another one".to_string(),
            name => format!("{of}{name} was {} and is {} here", shown(was), shown(is)),
        });
    }
    found
}

/// The entry of [`Fingerprint::method`] for the base's fingerprint.
pub(super) const BASE: &str = "base";

/// The entry for the fingerprint of a reference that is not the base of an adapter.
pub(super) const REFERENCE: &str = "reference";

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

fn shown(value: Option<Value>) -> String {
    match value {
        None => "off".into(),
        Some(Value::String(text)) => text,
        Some(Value::Array(items)) => items.into_iter().map(|item| shown(Some(item))).collect::<Vec<_>>().join(","),
        Some(other) => {
            let text = other.to_string();
            text.strip_suffix(".0").map_or(text.clone(), str::to_string)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Sample> {
        (0..4).map(|i| Sample::new(vec![i, i + 1, 7], vec![-100, i as i32 + 1, 7], i as usize)).collect()
    }

    #[test]
    fn order_answers_and_packing_are_seen() {
        let of = |samples: &[Sample]| SamplesHash::of(samples);
        let (plain, mut reordered, mut swapped, mut packed) = (samples(), samples(), samples(), samples());
        reordered.swap(0, 1);
        (swapped[0].labels[1], swapped[1].labels[1]) = (swapped[1].labels[1], swapped[0].labels[1]);
        packed[2].ends = vec![1, 3];
        assert_eq!(of(&plain), of(&samples()));
        for (what, other) in [("order", reordered), ("answers", swapped), ("packing", packed)] {
            let clause = of(&plain).difference(&of(&other), "training");
            assert!(clause.is_some_and(|c| c.contains("in another order")), "{what}");
        }
        let fewer = of(&plain).difference(&of(&plain[1..]), "training");
        assert_eq!(fewer.as_deref(), Some("the training samples were 4 of 12 tokens and are 3 of 9 tokens here"));
    }

    #[test]
    fn a_key_that_the_other_does_not_know_is_off_there() {
        let map = |text: &str| serde_json::from_str::<Map<String, Value>>(text).expect("JSON");
        let then = map(r#"{"seed": 42, "lora_target": ["q_proj", "v_proj"], "old": true}"#);
        let now = map(r#"{"seed": 7, "lora_target": ["all"], "noise": null, "packing": false, "epsilon": 1e-8}"#);
        assert_eq!(
            differences(&then, &now, ""),
            [
                "seed was 42 and is 7 here",
                "lora_target was q_proj,v_proj and is all here",
                "epsilon was off and is 1e-8 here",
                "old was true and is off here"
            ]
        );
    }
}
