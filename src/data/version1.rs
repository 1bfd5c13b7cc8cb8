//! Descriptions of datasets by LLaMA-Factory's version 1: a YAML file that a recipe's `train_dataset` names.

use serde_json::{Value as Json, json};

use super::draw::Draw;
use crate::error::{Error, Result};

/// Whether a dataset's name is the path of such a description.
pub(super) fn is_meant(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

/// One dataset of a description.
#[derive(Debug, PartialEq)]
pub(super) struct Described {
    pub(super) name: String,
    /// What dataset_info.json would hold for it.
    pub(super) entry: Json,
    /// The directory that its file lies in.
    pub(super) directory: String,
    /// Whether records are drawn.
    pub(super) draw: Draw,
}

/// Reads a description; paths in it are relative to the working directory, as in LLaMA-Factory.
///
/// # Errors
/// [`Error::Line`] for broken YAML, [`Error::Dataset`] for what is not supported.
pub(super) fn read(path: &str, text: &str) -> Result<Vec<Described>> {
    let description: Json = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line() as usize);
        Error::line(path, line, format!("this is no description of datasets in YAML: {}", error.without_snippet()))
    })?;
    let expected = || Error::dataset(path, "expected names of datasets with their paths: NAME: {path: data/train.jsonl, source: local}");
    let datasets = description.as_object().filter(|datasets| !datasets.is_empty()).ok_or_else(expected)?;
    datasets.iter().map(|(name, fields)| describe(path, name, fields)).collect()
}

fn describe(path: &str, name: &str, fields: &Json) -> Result<Described> {
    let fault = |reason: &str| Error::dataset(name, format!("{reason} (in {path})"));
    let file = fields["path"].as_str().ok_or_else(|| fault("it has no path"))?;
    let on_hub = match fields["source"].as_str() {
        Some("local") => false,
        None | Some("hf_hub") => true,
        Some(other) => return Err(fault(&format!("source is '{other}'; expected local (a file or a folder) or hf_hub"))),
    };
    let (directory, file_name) = file.rsplit_once(['/', '\\']).filter(|_| !on_hub).unwrap_or((".", file));
    let mut entry = if on_hub { json!({ "hf_hub_url": file }) } else { json!({ "file_name": file_name }) };
    if !fields["split"].is_null() {
        entry["split"] = fields["split"].clone();
    }
    match &fields["converter"] {
        Json::Null => {}
        Json::String(converter) => {
            let Some((formatting, columns)) = columns(converter) else {
                return Err(fault(&format!("converter is '{converter}'; expected alpaca, sharegpt or pair")));
            };
            entry["formatting"] = formatting.into();
            entry["ranking"] = (converter == "pair").into();
            entry["columns"] = columns;
        }
        _ => return Err(fault("converter is no text; expected alpaca, sharegpt or pair")),
    }
    // As there, 0 is as if it were not there.
    let given = |name: &str| Some(&fields[name]).filter(|value| !value.is_null() && value.as_f64() != Some(0.0));
    let size = match given("size") {
        Some(size) => Some(size.as_u64().and_then(|size| usize::try_from(size).ok()).ok_or_else(|| fault("size is no number of records"))?),
        None => None,
    };
    let weight = match given("weight") {
        Some(weight) => Some(weight.as_f64().filter(|weight| *weight > 0.0).ok_or_else(|| fault("weight is no number above 0"))?),
        None => None,
    };
    Ok(Described { name: name.into(), entry, directory: directory.into(), draw: Draw { size, weight } })
}

/// What dataset_info.json would say of a converter (`plugins/data_plugins/converter.py` there): the form, and which fields hold what.
fn columns(converter: &str) -> Option<(&'static str, Json)> {
    match converter {
        "alpaca" => Some(("alpaca", json!({"prompt": "instruction", "query": "input", "response": "output", "system": "system"}))),
        "sharegpt" => Some(("sharegpt", json!({"messages": "conversations", "tools": "tools"}))),
        "pair" => Some(("openai", json!({"messages": "chosen", "chosen": "chosen", "rejected": "rejected", "tools": "tools"}))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_becomes_entries_of_a_registry() {
        let text = "identity:\n  path: data/identity.json\n  source: local\n  converter: alpaca\nown:\n  path: own.jsonl\n  source: local\n  size: 5\n";
        let described = read("d.yaml", text).expect("fine");
        let columns = json!({"prompt": "instruction", "query": "input", "response": "output", "system": "system"});
        let entry = json!({"file_name": "identity.json", "formatting": "alpaca", "ranking": false, "columns": columns});
        assert_eq!((&described[0].entry, described[0].directory.as_str(), described[0].draw), (&entry, "data", Draw::default()));
        assert_eq!(described[1].entry, json!({"file_name": "own.jsonl"}));
        assert_eq!((described[1].directory.as_str(), described[1].draw), (".", Draw { size: Some(5), weight: None }));
        let text = "a: {path: d.jsonl, source: local, converter: pair, weight: 0.5, size: 0}\n";
        let described = read("d.yaml", text).expect("fine");
        assert_eq!((described[0].entry["ranking"].as_bool(), described[0].draw), (Some(true), Draw { size: None, weight: Some(0.5) }));
        for text in ["a: {path: garden/talks, split: \"train[:5]\"}\n", "a: {path: garden/talks, source: hf_hub, split: \"train[:5]\"}\n"] {
            let described = read("d.yaml", text).expect("fine");
            assert_eq!(described[0].entry, json!({"hf_hub_url": "garden/talks", "split": "train[:5]"}), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("a: {path: org/data, source: own_plugin}\n", "source is 'own_plugin'"),
            ("a: {path: d.jsonl, source: local, converter: own}\n", "converter is 'own'; expected alpaca, sharegpt or pair"),
            ("a: {path: d.jsonl, source: local, weight: -2.0}\n", "weight is no number above 0"),
            ("a: {path: d.jsonl, source: local, weight: much}\n", "weight is no number above 0"),
            ("a: {path: d.jsonl, source: local, size: some}\n", "size is no number"),
            ("a: {source: local}\n", "no path"),
            ("- a\n", "expected names of datasets"),
            ("a: [\n", "d.yaml, line "),
        ] {
            let error = read("d.yaml", text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
