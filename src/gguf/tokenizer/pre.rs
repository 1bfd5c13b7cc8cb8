//! How BPE tokenizers part a text into words, by the names under `tokenizer.ggml.pre`. The expressions are those of the models'
//! `tokenizer.json`, of which llama.cpp's own are translations.

use serde_json::{Value as Json, json};

/// A way of parting.
pub(crate) struct Pre {
    /// The names in GGUF files.
    names: &'static [&'static str],
    /// The parts.
    split: Split<'static>,
    /// Whether a word that is a token becomes that token without merging.
    pub(super) ignores_merges: bool,
    /// Whether text is brought into Unicode's composed form before.
    pub(super) composes: bool,
    /// Whether every text begins with bos, where the file does not say.
    pub(super) adds_bos: bool,
}

#[derive(PartialEq)]
enum Split<'a> {
    /// GPT-2's expression.
    Gpt2,
    /// Each digit on its own, then GPT-2's expression.
    DigitsThenGpt2,
    /// An expression.
    Regex(&'a str),
}

/// What a `pre_tokenizer` of tokenizer.json does, if it is one of these.
fn described(json: &Json) -> Option<Split<'_>> {
    let bytes = |part: &Json, use_regex: bool| {
        part["type"] == "ByteLevel" && part["add_prefix_space"] == false && part["use_regex"].as_bool().unwrap_or(true) == use_regex
    };
    if bytes(json, true) {
        return Some(Split::Gpt2);
    }
    let parts = json["pretokenizers"].as_array().filter(|_| json["type"] == "Sequence")?;
    let [first, second] = parts.as_slice() else { return None };
    if first["type"] == "Digits" && first["individual_digits"] == true && bytes(second, true) {
        return Some(Split::DigitsThenGpt2);
    }
    let isolated = first["type"] == "Split" && first["behavior"] == "Isolated" && first["invert"] == false;
    let regex = first["pattern"]["Regex"].as_str()?;
    (isolated && bytes(second, false)).then_some(Split::Regex(regex))
}

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT_4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const fn pre(names: &'static [&'static str], split: Split<'static>) -> Pre {
    Pre { names, split, ignores_merges: false, composes: false, adds_bos: false }
}

static KNOWN: [Pre; 7] = [
    pre(&["gpt-2", "phi-2", "jina-es", "jina-de", "roberta-bpe", "exaone4"], Split::Gpt2),
    pre(&["smollm", "starcoder", "refact", "command-r", "codeshell"], Split::DigitsThenGpt2),
    Pre { ignores_merges: true, adds_bos: true, ..pre(&["llama-bpe", "llama3", "llama-v3"], Split::Regex(LLAMA3)) },
    pre(&["dbrx", "smaug-bpe"], Split::Regex(LLAMA3)),
    Pre { composes: true, ..pre(&["qwen2", "deepseek-r1-qwen"], Split::Regex(QWEN2)) },
    Pre { ignores_merges: true, ..pre(&["tekken"], Split::Regex(TEKKEN)) },
    pre(&["gpt-4o", "llama4"], Split::Regex(GPT_4O)),
];

impl Pre {
    /// The way with this name.
    pub(crate) fn named(name: &str) -> Option<&'static Pre> {
        KNOWN.iter().find(|pre| pre.names.contains(&name))
    }

    /// The name of the way that tokenizer.json's `pre_tokenizer` describes.
    pub(crate) fn name_of(json: &Json, ignores_merges: bool, composes: bool) -> Option<&'static str> {
        let split = described(json)?;
        let same = |pre: &&Pre| pre.split == split && pre.ignores_merges == ignores_merges && pre.composes == composes;
        KNOWN.iter().find(same).map(|pre| pre.names[0])
    }

    /// All names, for messages.
    pub(crate) fn names() -> String {
        KNOWN.iter().flat_map(|pre| pre.names).copied().collect::<Vec<_>>().join(", ")
    }

    /// `pre_tokenizer` of tokenizer.json.
    pub(super) fn json(&self) -> Json {
        let bytes = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
        match self.split {
            Split::Gpt2 => bytes(true),
            Split::DigitsThenGpt2 => {
                json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, bytes(true)]})
            }
            Split::Regex(regex) => json!({"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false},
                bytes(false),
            ]}),
        }
    }
}
