//! The tokenizer files that a GGUF file's metadata amount to: `tokenizer.json` and `tokenizer_config.json`, with the chat template.

mod bpe;
pub(super) mod pre;
pub(super) mod spm;

use std::borrow::Cow;
use std::collections::HashSet;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json, json};

use super::metadata::Metadata;
use crate::error::Result;

/// The longest token: tokens of published models have up to 256 bytes.
const MAX_TOKEN: usize = 1024;

/// The kind of a token, as `tokenizer.ggml.token_type` numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// The kinds with their numbers.
pub(super) const KINDS: [(u32, Kind); 6] =
    [(1, Kind::Normal), (2, Kind::Unknown), (3, Kind::Control), (4, Kind::UserDefined), (5, Kind::Unused), (6, Kind::Byte)];

/// The vocabulary: a text and a kind for each token.
struct Vocabulary<'a> {
    metadata: &'a Metadata,
    tokens: &'a [Box<str>],
    kinds: Vec<Kind>,
}

/// tokenizer.json. Vocabulary and merges, of which there are hundreds of thousands, are written from what is there and not copied first.
#[derive(Serialize)]
struct TokenizerJson<'a> {
    version: &'static str,
    truncation: Option<()>,
    padding: Option<()>,
    added_tokens: Vec<Json>,
    normalizer: Json,
    pre_tokenizer: Json,
    post_processor: Option<Json>,
    decoder: Json,
    model: Bpe<'a>,
}

/// `model` of tokenizer.json.
#[derive(Serialize)]
struct Bpe<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    dropout: Option<()>,
    unk_token: Option<&'a str>,
    continuing_subword_prefix: Option<()>,
    end_of_word_suffix: Option<()>,
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    vocab: Ids<'a>,
    merges: Vec<(&'a str, &'a str)>,
}

/// Tokens with their ids; the first of each text counts.
#[derive(Default)]
struct Ids<'a> {
    list: Vec<(Cow<'a, str>, usize)>,
}

impl Serialize for Ids<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seen = HashSet::with_capacity(self.list.len());
        let first = self.list.iter().filter(|(token, _)| seen.insert(token.as_ref()));
        serializer.collect_map(first.map(|(token, id)| (token.as_ref(), id)))
    }
}

/// The files' contents by name, for a model whose embedding has `rows` rows.
pub(super) fn files(metadata: &Metadata, rows: u64, context: u64) -> Result<Vec<(String, Vec<u8>)>> {
    let vocabulary = Vocabulary::read(metadata, rows)?;
    let key = "tokenizer.ggml.model";
    let (tokenizer, adds_bos) = match metadata.text(key)? {
        Some("gpt2") => bpe::tokenizer(&vocabulary)?,
        Some("llama") => spm::tokenizer(&vocabulary)?,
        Some(other) => {
            return Err(metadata.error(key, format!("is {other}, a kind of tokenizer that is not read (gpt2 and llama are)")));
        }
        None => return Err(metadata.error(key, "is missing: the file has no tokenizer; take the model's Hugging Face directory")),
    };
    let config = vocabulary.config(adds_bos, context)?;
    Ok(vec![("tokenizer.json".to_string(), tokenizer), ("tokenizer_config.json".to_string(), bytes(metadata, &config)?)])
}

fn bytes(metadata: &Metadata, value: &impl Serialize) -> Result<Vec<u8>> {
    let bytes = serde_json::to_vec(value);
    bytes.map_err(|e| metadata.error("tokenizer.ggml.tokens", format!("cannot be written as JSON: {e}")))
}

impl<'a> Vocabulary<'a> {
    fn read(metadata: &'a Metadata, rows: u64) -> Result<Vocabulary<'a>> {
        let key = "tokenizer.ggml.tokens";
        let tokens = metadata.texts(key)?.unwrap_or_default();
        if tokens.len() as u64 != rows {
            let reason = format!("has {} tokens, and token_embd.weight a row for {rows}: they are not of one model", tokens.len());
            return Err(metadata.error(key, reason));
        }
        if let Some(long) = tokens.iter().find(|token| token.len() > MAX_TOKEN) {
            return Err(metadata.error(key, format!("has a token of {} bytes, more than {MAX_TOKEN}; the file is damaged", long.len())));
        }
        let key = "tokenizer.ggml.token_type";
        let kinds = match metadata.numbers(key)? {
            None => vec![Kind::Normal; tokens.len()],
            Some(numbers) if numbers.len() == tokens.len() => {
                let kind = |number: &f64| KINDS.iter().find(|(known, _)| f64::from(*known) == *number).map(|(_, kind)| *kind);
                let kinds = numbers
                    .iter()
                    .map(|number| kind(number).ok_or_else(|| metadata.error(key, format!("has the kind {number}, which is unknown"))));
                kinds.collect::<Result<_>>()?
            }
            Some(numbers) => {
                return Err(metadata.error(key, format!("has {} entries for {} tokens; the file is damaged", numbers.len(), tokens.len())));
            }
        };
        Ok(Vocabulary { metadata, tokens, kinds })
    }

    /// The tokens with their ids and kinds, without those that only fill up the vocabulary.
    fn used(&self) -> impl Iterator<Item = (usize, &'a str, Kind)> {
        let tokens = self.tokens;
        let filler = |token: &str| token.strip_prefix("[PAD").and_then(|rest| rest.strip_suffix(']')).is_some_and(is_number);
        tokens
            .iter()
            .zip(&self.kinds)
            .enumerate()
            .map(|(id, (token, kind))| (id, &**token, *kind))
            .filter(move |(_, token, kind)| *kind != Kind::Unused || !filler(token))
    }

    /// The token that a key names by its id.
    fn named(&self, name: &str) -> Result<Option<&'a str>> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        let Some(id) = self.metadata.count(&key)? else {
            // Older converters leave this id to the token's kind.
            let unknown = self.kinds.iter().position(|kind| *kind == Kind::Unknown).filter(|_| name == "unknown");
            return Ok(unknown.map(|id| &*self.tokens[id]));
        };
        match usize::try_from(id).ok().and_then(|id| self.tokens.get(id)) {
            Some(token) => Ok(Some(token)),
            None => Err(self.metadata.error(&key, format!("is {id}, and there are {} tokens", self.tokens.len()))),
        }
    }

    /// The template that puts special tokens around every text; `None` if there are none.
    fn frame(&self, adds_bos: bool) -> Result<Option<Json>> {
        let adds_eos = self.metadata.flag("tokenizer.ggml.add_eos_token")?.unwrap_or(false);
        let (bos, eos) = (self.named("bos")?.filter(|_| adds_bos), self.named("eos")?.filter(|_| adds_eos));
        if bos.is_none() && eos.is_none() {
            return Ok(None);
        }
        let special = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
        let part = |letter: &str| {
            let text = json!({"Sequence": {"id": letter, "type_id": 0}});
            bos.map(special).into_iter().chain([text]).chain(eos.map(special)).collect::<Vec<_>>()
        };
        let single = part("A");
        let pair = [single.clone(), part("B")].concat();
        let mut tokens = Map::new();
        for token in bos.into_iter().chain(eos) {
            let id = self.tokens.iter().position(|other| &**other == token).unwrap_or(0);
            tokens.insert(token.to_string(), json!({"id": token, "ids": [id], "tokens": [token]}));
        }
        Ok(Some(json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens})))
    }

    fn config(&self, adds_bos: bool, context: u64) -> Result<Map<String, Json>> {
        let mut config = Map::new();
        config.insert("tokenizer_class".into(), json!("PreTrainedTokenizerFast"));
        config.insert("model_max_length".into(), json!(context));
        config.insert("clean_up_tokenization_spaces".into(), json!(false));
        config.insert("add_bos_token".into(), json!(adds_bos));
        for (name, field) in [("bos", "bos_token"), ("eos", "eos_token"), ("unknown", "unk_token"), ("padding", "pad_token")] {
            if let Some(token) = self.named(name)? {
                config.insert(field.into(), json!(token));
            }
        }
        let default = self.metadata.text("tokenizer.chat_template")?;
        let mut named = Vec::new();
        for name in self.metadata.texts("tokenizer.chat_templates")?.unwrap_or_default() {
            if let Some(template) = self.metadata.text(&format!("tokenizer.chat_template.{name}"))? {
                named.push(json!({"name": name, "template": template}));
            }
        }
        match default {
            Some(template) if named.is_empty() => drop(config.insert("chat_template".into(), json!(template))),
            Some(template) => {
                named.insert(0, json!({"name": "default", "template": template}));
                config.insert("chat_template".into(), json!(named));
            }
            None => {}
        }
        Ok(config)
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// An entry of `added_tokens`.
fn added(id: usize, content: &str, normalized: bool, special: bool) -> Json {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": normalized, "special": special})
}
