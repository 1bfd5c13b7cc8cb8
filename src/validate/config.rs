//! Checks config.json field by field. The model's parser stops at the first fault; here the fault is repaired (or the field removed)
//! and the file parsed again, so that all faults are found, by the same rules that a run uses.

use serde_json::{Map, Value, json};

use super::architecture;
use super::base::Base;
use super::code::Code;
use super::heads::{heads, open_heads};
use super::infer::{Shapes, shapes};
use super::json::lookup;
use super::repair::{Repair, set};
use super::report::Finding;
use super::said::said;
use super::sizes;
use super::view::View;
use crate::checkpoint::{Dtype, dtype_name};
use crate::error::{Cause, Error};
use crate::model::config::CONFIG_FILE as CONFIG;
use crate::model::declaration::SizeKeys;
use crate::model::{Architecture, ModelConfig};

/// Maximum number of rounds: more than there are fields.
const MAX_FAULTS: usize = 64;
/// Fields whose value is text, so that a string in them is not a quoted number.
const TEXTS: [&str; 5] = ["hidden_act", "hidden_activation", "activation_function", "rope_type", "type"];

fn is_given(map: &Map<String, Value>, keys: &SizeKeys, key: &str) -> bool {
    let same = keys.same(key);
    same.iter().copied().chain([key]).any(|key| map.get(key).is_some_and(|value| !value.is_null()))
}

/// Finds all faults of the configuration, repairs what can be repaired, and parses it; `None` if it remains unreadable.
/// Shapes are used only if `complete` says that all weights are present.
pub(super) fn read(
    view: &mut View,
    architecture: Architecture,
    base: Option<&Base>,
    complete: bool,
    findings: &mut Vec<Finding>,
) -> Option<ModelConfig> {
    let shapes = if complete { shapes(view, architecture) } else { Shapes::default() };
    // The quantised weights are already reported; the configuration cannot be checked any further.
    if findings.iter().any(|finding| finding.code == Code::Quantised && finding.repair.is_none()) {
        return None;
    }
    missing_fields(view, architecture, &shapes, base, findings);
    // Fields that cannot be repaired are removed from this copy, so that the following fields are checked too.
    let mut scratch = view.config.clone();
    let mut readable = true;
    for _ in 0..MAX_FAULTS {
        match ModelConfig::from_map(CONFIG, scratch.clone()) {
            Ok(config) => {
                let Some(finding) = sizes::compare(&config, &shapes, view, base) else {
                    architecture::check_class(&config, view, findings);
                    check_dtype(view, findings);
                    return readable.then_some(ModelConfig { raw: view.config.clone(), ..config });
                };
                let mended = finding.repair.clone();
                findings.push(finding);
                let repair = mended?;
                mend(view, &mut scratch, &repair);
            }
            Err(Error::Config { field, reason, cause, .. }) => {
                let refusal = Refusal { field: &field, reason: &reason, cause };
                let finding = fault(view, &scratch, refusal, architecture, &shapes, base);
                match &finding.repair {
                    Some(repair) => mend(view, &mut scratch, repair),
                    None => {
                        readable = false;
                        let top = field.split('.').next().unwrap_or_default();
                        let removed = scratch.shift_remove(top).is_some();
                        let absent = !removed;
                        findings.push(finding);
                        if absent || architecture.declaration().keys.required.contains(&top) {
                            return None;
                        }
                        continue;
                    }
                }
                findings.push(finding);
            }
            Err(other) => {
                findings.push(Finding::new(Code::UnsupportedValue, other.to_string()).file(CONFIG));
                return None;
            }
        }
    }
    None
}

fn mend(view: &mut View, scratch: &mut Map<String, Value>, repair: &Repair) {
    view.apply(repair);
    let fields = match repair {
        Repair::SetConfig(fields) => fields.as_slice(),
        Repair::Score(candidates) => candidates.first().map_or(&[][..], |first| &first.config),
        _ => &[],
    };
    for (key, value) in fields {
        set(scratch, key, value.clone());
    }
}

/// Reports missing sizes: one finding for all of them, and one for the head count if the shapes leave it ambiguous.
fn missing_fields(view: &mut View, architecture: Architecture, shapes: &Shapes, base: Option<&Base>, findings: &mut Vec<Finding>) {
    let keys = architecture.declaration().keys;
    let missing: Vec<&str> = keys.required.iter().copied().filter(|key| !is_given(&view.config, keys, key)).collect();
    if missing.is_empty() {
        return;
    }
    let base = base.filter(|base| base.architecture() == Some(architecture));
    let known = |key: &&str| shapes.field(keys, key).or_else(|| base.and_then(|base| base.field(key)));
    let mut fields: Vec<(String, Value)> = missing.iter().filter_map(|key| Some(((*key).to_string(), known(key)?))).collect();
    let heads = keys.num_attention_heads[0];
    let heads_open = missing.contains(&heads) && !fields.iter().any(|(key, _)| key == heads);
    if base.is_some() && missing.contains(&heads) {
        for key in ["num_key_value_heads", "head_dim"] {
            fields.extend(
                base.and_then(|base| base.field(key)).filter(|_| !is_given(&view.config, keys, key)).map(|value| (key.to_string(), value)),
            );
        }
    }
    let names = format!("{} {}", missing.join(", "), if missing.len() == 1 { "is missing" } else { "are missing" });
    let found: Vec<String> = fields.iter().map(|(key, value)| format!("{key} {value}")).collect();
    let elsewhere = "transformers would take the defaults of its configuration class (a model of billions of parameters) and run out of memory without a word";
    let rest = fields.len() + usize::from(heads_open) < missing.len();
    let message = match found.is_empty() {
        true => said!("{names}; {elsewhere}. Take config.json from the base model"),
        false => said!("{names}; {elsewhere}. The tensors show {}", found.join(", ")),
    };
    let finding = Finding::new(Code::MissingField, message).file(CONFIG);
    if fields.is_empty() && heads_open && !rest {
        // Only the head count is missing: reported below.
    } else if rest || fields.is_empty() {
        findings.push(finding);
    } else {
        let repair = Repair::SetConfig(fields);
        view.apply(&repair);
        findings.push(finding.repair(repair));
    }
    if heads_open && let Some(finding) = open_heads(architecture, shapes) {
        if let Some(repair) = &finding.repair {
            view.apply(repair);
        }
        findings.push(finding);
    }
}

/// An error of the model's parser.
struct Refusal<'a> {
    field: &'a str,
    reason: &'a str,
    cause: Cause,
}

/// Handles one fault that the model's parser found.
fn fault(
    view: &View,
    scratch: &Map<String, Value>,
    Refusal { field, reason, cause }: Refusal<'_>,
    architecture: Architecture,
    shapes: &Shapes,
    base: Option<&Base>,
) -> Finding {
    let keys = architecture.declaration().keys;
    let value = lookup(scratch, field);
    let last = field.rsplit('.').next().unwrap_or(field);
    let set_to = |value: Value| Repair::SetConfig(vec![(field.to_string(), value)]);
    let wrong_type = value.is_some_and(|value| {
        matches!(value, Value::String(_) if !TEXTS.contains(&last))
            || matches!(value, Value::Number(n) if n.is_f64() && cause == Cause::WrongType)
    });
    if wrong_type {
        let finding = |more: &str| Finding::new(Code::WrongFieldType, said!("{reason}{more}")).file(CONFIG);
        if let Some(value) = value.and_then(coerce) {
            return finding("; transformers 5 refuses it (\"expected int, got str\"), version 4 fails later and somewhere else")
                .repair(set_to(value));
        }
        return match shapes.field(keys, field).or_else(|| base.and_then(|base| base.field(field))) {
            Some(value) => finding(&format!("; it is {value}")).repair(set_to(value)),
            None => finding(""),
        };
    }
    // For head counts that contradict each other or hidden_size, the projections' widths decide.
    let of_heads = keys.num_attention_heads.contains(&field) || ["num_key_value_heads", "head_dim", "hidden_size"].contains(&field);
    if of_heads && let Some(finding) = heads(architecture, scratch, shapes, view, base, reason) {
        return finding;
    }
    let code = if value.is_none() { Code::MissingField } else { Code::UnsupportedValue };
    let finding = Finding::new(code, reason.to_string()).file(CONFIG);
    if let Some(value) = shapes.field(keys, field).filter(|found| Some(found) != value) {
        let message = said!("{reason}; the tensors show {value}");
        return Finding { message, ..finding }.repair(set_to(value));
    }
    // The number of layers determines the length of layer_types: surplus entries are cut off.
    if field == "layer_types"
        && let Some(Value::Array(types)) = value
        && let Some(layers) = scratch.get("num_hidden_layers").and_then(Value::as_u64)
        && types.len() as u64 > layers
    {
        return finding.repair(set_to(json!(types[..layers as usize])));
    }
    match base.and_then(|base| base.lookup(field)).filter(|found| Some(found) != value) {
        Some(value) => {
            let message = said!("{reason}; the base has {value}");
            Finding { message, ..finding }.repair(set_to(value))
        }
        None => finding,
    }
}

/// Converts a string or an integral float to the number or flag that it stands for.
fn coerce(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => match serde_json::from_str(text.trim()) {
            Ok(number @ (Value::Number(_) | Value::Bool(_))) => Some(number),
            _ => match text.trim() {
                "True" => Some(json!(true)),
                "False" => Some(json!(false)),
                _ => None,
            },
        },
        Value::Number(number) => {
            let number = number.as_f64()?;
            (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then(|| json!(number as u64))
        }
        _ => None,
    }
}

/// Checks `dtype` and `torch_dtype`, which the model's parser does not need: the files contain their types.
fn check_dtype(view: &mut View, findings: &mut Vec<Finding>) {
    const KNOWN: [&str; 6] = ["float32", "float16", "bfloat16", "float64", "auto", "float"];
    for key in ["dtype", "torch_dtype"] {
        let value = match view.config.get(key) {
            None | Some(Value::Null) => continue,
            Some(Value::String(name)) if KNOWN.contains(&name.as_str()) => continue,
            Some(value) => value.clone(),
        };
        let stored = view.tensors.iter().find_map(|tensor| dtype_name(tensor.dtype)).unwrap_or(if view.tensors.is_empty() {
            "float32"
        } else {
            dtype_name(Dtype::F32).unwrap_or("float32")
        });
        let message = said!(
            "{key} is {value}, which is not a number type (transformers says \"module 'torch' has no attribute …\"); the tensors are {stored}"
        );
        let repair = Repair::SetConfig(vec![(key.into(), json!(stored))]);
        view.apply(&repair);
        findings.push(Finding::new(Code::DtypeSpelling, message).file(CONFIG).repair(repair));
    }
}

/// Reports rotary positions that only transformers 5 reads: version 4 would compute with its defaults.
pub(super) fn check_spelling(config: &ModelConfig, view: &View, findings: &mut Vec<Finding>) {
    let given = |key: &str| view.config.get(key).is_some_and(|value| !value.is_null());
    if !given("rope_parameters") || given("rope_theta") {
        return;
    }
    let mut without = view.config.clone();
    without.shift_remove("rope_parameters");
    if ModelConfig::from_map(CONFIG, without).is_ok_and(|other| other.ropes == config.ropes) {
        return; // the defaults: both versions compute the same
    }
    let thetas: Vec<String> = config.ropes.iter().map(|rope| rope.theta.to_string()).collect();
    let message = said!(
        "rotary positions (theta {}) are written as transformers 5 does; version 4 and tools that follow it would silently compute with \
         their defaults. Every directory that is written here has both spellings",
        thetas.join(" and ")
    );
    findings.push(Finding::new(Code::OldSpelling, message).file(CONFIG).repair(Repair::BothSpellings));
}
