//! A recipe key by key as it was written, to be written again for another program.

use super::entries;
use super::keys::{Support, find};
use super::value::{Kind, Value};
use super::version1;
use crate::error::Result;
use crate::platform::text_without_byte_order_mark;

/// The keys of a recipe, by the names of the table where it knows them, with the command line put over them and without those that are
/// null. A recipe of version 1 is given in the table's keys.
///
/// # Errors
/// [`crate::Error::Line`] for text that is no mapping. What is wrong with keys and values is for [`super::Recipe::parse`] to say.
pub fn as_written(path: &str, text: &str, overrides: &[String]) -> Result<Vec<(String, Value)>> {
    let mut list = entries::read(path, text_without_byte_order_mark(text))?;
    for (name, value) in overrides.iter().filter_map(|text| entries::override_of(text)) {
        entries::put(&mut list, &name, value);
    }
    if version1::is_meant(&list) {
        list = version1::translate(list).entries;
    }
    Ok(list.into_iter().filter(|entry| entry.value != Value::Null).map(|entry| (entry.key, entry.value)).collect())
}

/// A value as YAML that also PyYAML reads as what it is: `1e-5` is text for it, and `no` is false.
pub fn to_yaml(key: &str, value: &Value) -> String {
    let kind = find(key).filter(|key| key.support == Support::Used).map_or(Kind::Any, |key| key.kind);
    let typed = match kind {
        Kind::Bool => value.as_bool().ok().map(|b| b.to_string()),
        Kind::Count(_) | Kind::Integer => value.as_integer().ok().map(|n| n.to_string()),
        // A number of steps or a share of all.
        Kind::Steps if value.as_number().is_ok_and(|n| n >= 1.0) => value.as_integer().ok().map(|n| n.to_string()),
        Kind::Positive | Kind::NonNegative | Kind::Share | Kind::Steps => value.as_number().ok().map(number),
        // On a line of its own a comma is text; inside brackets it parts values.
        Kind::List => value.as_list().ok().map(|list| {
            let joined = list.join(",");
            if list.iter().all(|word| text(word) == *word) { joined } else { text(&joined) }
        }),
        Kind::OneOf(_) => Kind::word(value).ok().map(|word| text(&word)),
        Kind::Map | Kind::TextOrMap => value.as_map().ok().map(|map| flow(&Value::Map(map))),
        Kind::Text | Kind::BoolOrText | Kind::Size | Kind::Any => None,
    };
    typed.unwrap_or_else(|| match value {
        // What the command line gave has no type yet; the reader gives it one.
        Value::Text(word) if kind == Kind::Any && is_plain(word) => word.clone(),
        other => flow(other),
    })
}

/// A value on one line.
fn flow(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Integer(n) => n.to_string(),
        Value::Number(n) => number(*n),
        Value::Text(word) => text(word),
        Value::List(items) => format!("[{}]", list(items.iter().map(flow).collect())),
        Value::Map(entries) => {
            format!("{{{}}}", list(entries.iter().map(|(name, value)| format!("{}: {}", text(name), flow(value))).collect()))
        }
    }
}

/// A number with a point and a signed exponent.
fn number(n: f64) -> String {
    if n == 0.0 || (1e-4..1e15).contains(&n.abs()) {
        return format!("{n:?}");
    }
    let written = format!("{n:e}");
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

fn is_plain(word: &str) -> bool {
    let first = word.starts_with(|c: char| c.is_ascii_alphanumeric() || "_./-".contains(c));
    first && word.chars().all(|c| c.is_ascii_alphanumeric() || "_./-+".contains(c))
}

/// Text that stays text.
fn text(word: &str) -> String {
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none"];
    let is_word =
        word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/') && !words.contains(&word.to_lowercase().as_str());
    // JSON's text is YAML's too.
    if is_word && is_plain(word) { word.to_string() } else { serde_json::to_string(word).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_so_that_every_reader_sees_their_type() {
        let yaml = |key: &str, value: Value| to_yaml(key, &value);
        let word = |text: &str| Value::Text(text.into());
        for (key, value, expected) in [
            ("learning_rate", word("1e-5"), "1.0e-5"),
            ("learning_rate", Value::Number(0.001), "0.001"),
            ("learning_rate", Value::Number(2.5e-7), "2.5e-7"),
            ("max_steps", word("20"), "20"),
            ("save_steps", word("1e3"), "1000"),
            ("eval_steps", Value::Number(0.25), "0.25"),
            ("num_train_epochs", Value::Integer(3), "3.0"),
            ("packing", word("yes"), "true"),
            ("eval_strategy", Value::Bool(false), "\"no\""),
            ("save_strategy", word("epoch"), "epoch"),
            ("lora_target", Value::List(vec![word("q_proj"), word("v_proj")]), "q_proj,v_proj"),
            ("dataset", Value::List(vec![word("a set"), word("b")]), "\"a set,b\""),
            ("anything", Value::List(vec![word("a,b")]), "[\"a,b\"]"),
            ("output_dir", word("out put: 1"), "\"out put: 1\""),
            ("default_system", word("on"), "\"on\""),
            ("lr_scheduler_kwargs", Value::Map(vec![("min_lr".into(), Value::Number(1e-6))]), "{min_lr: 1.0e-6}"),
            ("ddp_timeout", word("180000"), "180000"),
            ("flash_attn", word("fa2"), "fa2"),
        ] {
            assert_eq!(yaml(key, value), expected, "{key}");
        }
    }

    #[test]
    fn what_is_written_is_read_again_as_the_same_recipe() {
        let text = "model_name_or_path: m\ndataset: [a, b]\noutput_dir: o\nlearning_rate: 1e-4\nevaluation_strategy: no\nlora_target: all\n\
                    lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr: 1e-6}\nsave_steps: 0.5\nflash_attn: fa2\nmax_samples: null\n";
        let overrides = ["seed=7".to_string(), "lora_rank=16".to_string()];
        let again: String = as_written("r.yaml", text, &overrides)
            .expect("it is YAML")
            .iter()
            .map(|(key, value)| format!("{key}: {}\n", to_yaml(key, value)))
            .collect();
        assert!(again.contains("eval_strategy: \"no\"\n") && !again.contains("max_samples"), "{again}");
        let read = |text: &str, overrides: &[String]| {
            super::super::Recipe::parse("r.yaml", text, overrides).unwrap_or_else(|e| panic!("{e}: {text}"))
        };
        assert_eq!(read(&again, &[]), read(text, &overrides));
    }
}
