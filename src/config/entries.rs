//! The keys and values of a recipe as they were written, each with its place, and the command line put over them.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_saphyr::Spanned;

use super::keys;
use super::value::Value;
use crate::error::{Error, Result};

/// Where a value was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// In the recipe file, at this line.
    Line(usize),
    /// As `key=value` on the command line.
    CommandLine,
    /// Not at all: what LLaMA-Factory takes then.
    Nowhere,
}

/// One key with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// As the table calls it, if it knows it.
    pub(super) key: String,
    /// As the user wrote it.
    pub(super) shown: String,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Reads YAML text, or JSON, which is YAML too.
///
/// # Errors
/// [`Error::Line`] for text that is no mapping, [`Error::File`] for a configuration of another program.
pub(super) fn read(path: &str, text: &str) -> Result<Vec<Entry>> {
    // A comment-only or empty file is an empty recipe: all may come from the command line.
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Vec::new());
    }
    // A key that stands twice is found later: the command line may replace it.
    let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough };
    let entries: Entries = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(1, |l| l.line() as usize);
        let message = error.without_snippet().to_string();
        Error::line(path, line, format!("the recipe must be YAML, one `key: value` per line: {message}"))
    })?;
    let has = |name: &str| entries.0.iter().any(|(_, found, _)| found == name);
    for (mark, what) in [
        (
            "compute_environment",
            "this is a configuration of accelerate, which spreads a run over devices; one device needs none, give the recipe",
        ),
        (
            "zero_optimization",
            "this is a configuration of DeepSpeed, which spreads a run over devices; one device needs none, give the recipe",
        ),
    ] {
        if has(mark) && !has("model_name_or_path") {
            return Err(Error::file(path, what));
        }
    }
    let mapping = |value: &Value| matches!(value, Value::Map(fields) if fields.iter().any(|(name, _)| is_place(name)));
    if !entries.0.is_empty() && entries.0.iter().all(|(.., value)| mapping(value)) {
        return Err(Error::file(path, "this describes datasets and is no recipe; name it in a recipe's dataset"));
    }
    let is_token = |name: &str| name.starts_with('<') && name.ends_with('>');
    if !entries.0.is_empty() && entries.0.iter().all(|(_, name, _)| is_token(name)) {
        return Err(Error::file(path, "this describes new tokens and is no recipe; name it in a recipe's new_special_tokens_config"));
    }
    let entry = |(line, name, value): (usize, String, Value)| Entry {
        key: keys::canonical(&name).to_string(),
        shown: name,
        value,
        origin: Origin::Line(line),
    };
    Ok(entries.0.into_iter().map(entry).collect())
}

/// The fields by which a description of datasets says where they are.
fn is_place(name: &str) -> bool {
    matches!(name, "path" | "file_name" | "hf_hub_url" | "script_url")
}

/// A `key=value` of the command line, with or without dashes before it.
pub(super) fn override_of(text: &str) -> Option<(String, Value)> {
    let (name, value) = text.trim_start_matches("--").split_once('=')?;
    Some((name.trim().to_string(), Value::parse(value)))
}

/// Puts a value of the command line over those of the file. A name with dots, such as `lr_scheduler_kwargs.min_lr`, sets one entry of a
/// mapping and leaves the others.
pub(super) fn put(list: &mut Vec<Entry>, name: &str, value: Value) {
    let (first, inner) = name.split_once('.').map_or((name, None), |(first, inner)| (first, Some(inner)));
    let key = keys::canonical(first).to_string();
    let earlier = list.iter().rev().find(|entry| entry.key == key).map(|entry| entry.value.clone());
    list.retain(|entry| entry.key != key);
    let value = match inner {
        None => value,
        Some(inner) => put_inside(earlier.unwrap_or(Value::Null), inner, value),
    };
    list.push(Entry { key, shown: first.to_string(), value, origin: Origin::CommandLine });
}

fn put_inside(outer: Value, name: &str, value: Value) -> Value {
    let mut fields = outer.as_map().unwrap_or_default();
    let (first, inner) = name.split_once('.').map_or((name, None), |(first, inner)| (first, Some(inner)));
    let at = fields.iter().position(|(found, _)| found == first).unwrap_or_else(|| {
        fields.push((first.to_string(), Value::Null));
        fields.len() - 1
    });
    let old = std::mem::replace(&mut fields[at].1, Value::Null);
    fields[at].1 = match inner {
        None => value,
        Some(inner) => put_inside(old, inner, value),
    };
    Value::Map(fields)
}

/// The top-level mapping with the line of each key.
struct Entries(Vec<(usize, String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`key: value` lines")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<Spanned<String>>()? {
                    entries.push((name.referenced.line() as usize, name.value, map.next_value()?));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}
