//! Limits for tokenizer.json, checked before the tokenizers library reads it: the size of vocabulary and components, and how much longer
//! its normaliser and decoder may make a text.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use super::super::well_formed::WellFormed;

/// Values and keys in the whole file. Gemma 3, the largest vocabulary with its merges, has 1.9 million.
const MAX_VALUES: usize = 3_000_000;
/// Tokens that are added to the vocabulary; gemma 3 has 6,400.
pub(super) const MAX_ADDED: usize = 100_000;
/// Values and keys of a component (normaliser, decoder …), and the bytes of it as JSON; published ones have some dozens, or a table of 300 kB.
const MAX_COMPONENT: usize = 20_000;
const MAX_COMPONENT_BYTES: usize = 4 << 20;
/// How much longer a component may make a text. "▁" in front and for each space makes 12.
const MAX_GROWTH: f64 = 32.0;
/// What one character may become in a table of characters (SentencePiece's), in bytes: NFKC needs 33.
const MAX_CHARACTER: usize = 64;
/// Regular expressions, each of which may take ten megabytes when it is compiled; and replacements and splits in all.
const MAX_EXPRESSIONS: usize = 24;
const MAX_RULES: usize = 200;
/// The longest token of a vocabulary, in bytes.
pub(super) const MAX_TOKEN: usize = 64 << 10;

/// What is looked at before the library reads the file.
#[derive(Deserialize)]
struct Components {
    #[serde(default)]
    added_tokens: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    normalizer: Json,
    #[serde(default)]
    pre_tokenizer: Json,
    #[serde(default)]
    post_processor: Json,
    #[serde(default)]
    decoder: Json,
    #[serde(default)]
    model: Model,
}

#[derive(Default, Deserialize)]
struct Model {
    #[serde(default)]
    dropout: Option<f64>,
}

/// Whether the library may read the file; the probability with which its merges are left out (BPE dropout), if there is one.
///
/// # Errors
/// Why not, in words for the user.
pub(super) fn inspect(bytes: &[u8]) -> Result<Option<f64>, String> {
    // The library panics on some texts that are no JSON.
    let values = serde_json::from_slice::<WellFormed>(bytes).map_err(|e| e.to_string())?.0;
    if values > MAX_VALUES {
        return Err(format!("it has {values} values, and more than {MAX_VALUES} are not read"));
    }
    let components: Components = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let added = components.added_tokens.map_or(0, |tokens| tokens.len());
    if added > MAX_ADDED {
        return Err(format!("it adds {added} tokens, and more than {MAX_ADDED} are not read"));
    }
    let named = [
        ("normalizer", &components.normalizer),
        ("pre_tokenizer", &components.pre_tokenizer),
        ("post_processor", &components.post_processor),
        ("decoder", &components.decoder),
    ];
    let mut rules = Rules::default();
    for (name, component) in named {
        let fault = |what: String| format!("its {name} {what}, which no published tokenizer needs");
        let size = count(component);
        let bytes = component.to_string().len();
        if size > MAX_COMPONENT || bytes > MAX_COMPONENT_BYTES {
            return Err(fault(format!("has {size} values in {bytes} bytes")));
        }
        let growth = rules.growth(component);
        if rules.longest_character > MAX_CHARACTER {
            return Err(fault(format!("replaces a character by up to {} bytes", rules.longest_character)));
        }
        if growth > MAX_GROWTH {
            return Err(fault(format!("may make a text {growth:.0} times as long")));
        }
    }
    if rules.expressions > MAX_EXPRESSIONS || rules.rules > MAX_RULES {
        return Err(format!(
            "it has {} replacements and splits, {} of them with regular expressions; more than {MAX_RULES} and {MAX_EXPRESSIONS} are not read",
            rules.rules, rules.expressions
        ));
    }
    Ok(components.model.dropout.filter(|p| *p > 0.0))
}

/// Values and keys of a JSON value.
fn count(value: &Json) -> usize {
    1 + match value {
        Json::Array(items) => items.iter().map(count).sum(),
        Json::Object(map) => map.values().map(|value| 1 + count(value)).sum(),
        _ => 0,
    }
}

/// What components replace and split.
#[derive(Default)]
struct Rules {
    rules: usize,
    expressions: usize,
    longest_character: usize,
}

impl Rules {
    /// How much longer a text may become.
    fn growth(&mut self, component: &Json) -> f64 {
        let length = |value: &Json| value.as_str().map_or(0, str::len) as f64;
        let expression = |value: &Json| !value["Regex"].is_null();
        match component["type"].as_str().unwrap_or_default() {
            "Sequence" => {
                let parts = ["normalizers", "pretokenizers", "processors", "decoders"].map(|name| component[name].as_array());
                parts.into_iter().flatten().flatten().map(|part| self.growth(part)).product()
            }
            "Replace" => {
                let pattern = &component["pattern"];
                self.rules += 1;
                self.expressions += usize::from(expression(pattern));
                match pattern["String"].as_str() {
                    Some(text) if !text.is_empty() => (length(&component["content"]) / text.len() as f64).max(1.0),
                    // An expression may match one character, or nothing at all between two.
                    _ => 1.0 + length(&component["content"]),
                }
            }
            "Split" => {
                self.rules += 1;
                self.expressions += usize::from(expression(&component["pattern"]));
                1.0
            }
            "Prepend" => 1.0 + length(&component["prepend"]),
            "Metaspace" => 3.0,
            "ByteLevel" => 2.0,
            "Precompiled" => {
                let table = component["precompiled_charsmap"].as_str().unwrap_or_default();
                self.longest_character = self.longest_character.max(longest_replacement(table));
                1.0
            }
            _ => 1.0,
        }
    }
}

/// The longest text in SentencePiece's table of characters (in base64: the size of a trie, the trie, texts that end with a zero byte).
fn longest_replacement(table: &str) -> usize {
    let bytes = from_base64(table);
    let size = bytes.first_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize);
    let texts = bytes.get(4usize.saturating_add(size)..).unwrap_or_default();
    texts.split(|byte| *byte == 0).map(<[u8]>::len).max().unwrap_or(0)
}

fn from_base64(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut have) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0);
    for character in text.bytes() {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        have += 6;
        if have >= 8 {
            have -= 8;
            bytes.push((bits >> have) as u8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(component: &str, value: Json) -> Vec<u8> {
        serde_json::json!({ component: value, "model": { "type": "BPE" } }).to_string().into_bytes()
    }

    #[test]
    fn components_that_make_texts_much_longer_are_refused() {
        let replace = |pattern: Json, content: &str| serde_json::json!({ "type": "Replace", "pattern": pattern, "content": content });
        let llama = serde_json::json!({ "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" }, replace(serde_json::json!({ "String": " " }), "▁") ] });
        assert_eq!(inspect(&file("normalizer", llama)), Ok(None));
        for (component, value) in [
            ("normalizer", replace(serde_json::json!({ "String": "e" }), &"x".repeat(1000))),
            ("decoder", replace(serde_json::json!({ "Regex": "." }), &"x".repeat(100))),
            (
                "decoder",
                serde_json::json!({ "type": "Sequence", "decoders": vec![replace(serde_json::json!({ "String": "a" }), "aa"); 40] }),
            ),
            ("normalizer", serde_json::json!({ "type": "Prepend", "prepend": "x".repeat(100) })),
        ] {
            let reason = inspect(&file(component, value)).expect_err("it grows");
            assert!(reason.contains(&format!("its {component} may make a text")), "{reason}");
        }
        let many = vec![serde_json::json!({ "type": "Split", "pattern": { "Regex": "a{1000}" }, "behavior": "Isolated" }); 30];
        let reason =
            inspect(&file("pre_tokenizer", serde_json::json!({ "type": "Sequence", "pretokenizers": many }))).expect_err("too many");
        assert!(reason.contains("regular expressions"), "{reason}");
        let template = serde_json::json!({ "type": "TemplateProcessing", "single": vec![serde_json::json!({ "SpecialToken": { "id": "a", "type_id": 0 } }); 10_000] });
        assert!(inspect(&file("post_processor", template)).is_err());
    }

    #[test]
    fn a_table_of_characters_may_not_hold_long_texts() {
        assert_eq!(from_base64("AQIDBA=="), [1, 2, 3, 4]);
        assert_eq!(longest_replacement("AAAAAGFiYwBkAA=="), 3, "an empty trie, then abc and d");
        assert_eq!(longest_replacement(""), 0);
    }

    #[test]
    fn dropout_is_seen() {
        let file = |p: &str| format!(r#"{{"model": {{"type": "BPE", "dropout": {p}}}}}"#).into_bytes();
        assert_eq!((inspect(&file("null")), inspect(&file("0.0")), inspect(&file("0.1"))), (Ok(None), Ok(None), Ok(Some(0.1))));
    }
}
