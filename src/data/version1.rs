//! Descriptions of datasets by LLaMA-Factory's version 1: a YAML file that a recipe's `train_dataset` names.

use serde_json::{Value as Json, json};

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
    /// What the user should know.
    pub(super) notice: Option<String>,
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
    if fields["converter"] == "pair" {
        return Err(fault("it holds preferences (converter: pair), for preference training; conversations or texts are trained"));
    }
    if !fields["weight"].is_null() && fields["weight"].as_f64() != Some(1.0) {
        return Err(fault("weight draws records more than once, which is not supported; leave it out"));
    }
    let (directory, file_name) = file.rsplit_once(['/', '\\']).filter(|_| !on_hub).unwrap_or((".", file));
    let mut entry = if on_hub { json!({ "hf_hub_url": file }) } else { json!({ "file_name": file_name }) };
    if !fields["split"].is_null() {
        entry["split"] = fields["split"].clone();
    }
    if let Some(converter) = fields["converter"].as_str() {
        entry["formatting"] = converter.into();
    }
    let size = &fields["size"];
    if !size.is_null() {
        entry["num_samples"] = size.as_u64().ok_or_else(|| fault("size is no number of records"))?.into();
    }
    let notice =
        (!size.is_null()).then(|| format!("{name}: the first {size} records are taken; LLaMA-Factory draws as many, some of them twice"));
    Ok(Described { name: name.into(), entry, directory: directory.into(), notice })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_becomes_entries_of_a_registry() {
        let text = "identity:\n  path: data/identity.json\n  source: local\n  converter: alpaca\nown:\n  path: own.jsonl\n  source: local\n  size: 5\n";
        let described = read("d.yaml", text).expect("fine");
        assert_eq!(described[0].entry, json!({"file_name": "identity.json", "formatting": "alpaca"}));
        assert_eq!((described[0].directory.as_str(), described[0].notice.as_deref()), ("data", None));
        assert_eq!(described[1].entry, json!({"file_name": "own.jsonl", "num_samples": 5}));
        assert_eq!(described[1].directory, ".");
        assert!(described[1].notice.as_deref().is_some_and(|notice| notice.contains("first 5 records")));
        for text in ["a: {path: garden/talks, split: \"train[:5]\"}\n", "a: {path: garden/talks, source: hf_hub, split: \"train[:5]\"}\n"] {
            let described = read("d.yaml", text).expect("fine");
            assert_eq!(described[0].entry, json!({"hf_hub_url": "garden/talks", "split": "train[:5]"}), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("a: {path: org/data, source: own_plugin}\n", "source is 'own_plugin'"),
            ("a: {path: d.jsonl, source: local, converter: pair}\n", "preferences"),
            ("a: {path: d.jsonl, source: local, weight: 2.0}\n", "weight"),
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
