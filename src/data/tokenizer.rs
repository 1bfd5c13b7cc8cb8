//! A checkpoint's tokenizer: `tokenizer.json` through the tokenizers library, and what the files beside it say about
//! special tokens and the chat template.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use tokenizers::AddedToken;

use super::template::ChatTemplate;
use super::well_formed::WellFormed;
use crate::error::{Error, Result};
use crate::platform::{Directory, guard};

/// The special tokens that transformers names, in the order of its `special_tokens_map`.
const NAMED: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// How many tokens of the prompt are decoded again in front of an answer's: a decoder looks at its neighbours.
const CONTEXT: usize = 6;

/// Begin and end of a token in the bytes of its text.
pub type ByteRange = (usize, usize);

/// A tokenizer with its chat template.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos: Option<u32>,
    eos: Option<u32>,
    pad: Option<u32>,
    /// What ends generation: also the end of a turn, where the checkpoint names it.
    eos_ids: Vec<u32>,
    special_ids: BTreeSet<u32>,
    largest_id: u32,
    adds_bos: bool,
    template: ChatTemplate,
}

impl Tokenizer {
    /// Reads the tokenizer of a model directory.
    ///
    /// # Errors
    /// [`Error::File`] when there is no `tokenizer.json` (naming what to do with what is there), [`Error::Config`] when a
    /// file is broken.
    pub async fn load(dir: &dyn Directory) -> Result<Self> {
        let now = web_time::SystemTime::now().duration_since(web_time::UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        Self::load_at(dir, now).await
    }

    /// Like `load` with the time (in seconds since 1970) that chat templates which write the date are told: a resumed run must
    /// write the date that it began with.
    ///
    /// # Errors
    /// As `load`.
    pub async fn load_at(dir: &dyn Directory, now: i64) -> Result<Self> {
        let mut inner = load_inner(dir).await?;
        let config = optional_json(dir, "tokenizer_config.json").await?.unwrap_or(Json::Null);
        let map = optional_json(dir, "special_tokens_map.json").await?.unwrap_or(Json::Null);
        let generation = optional_json(dir, "generation_config.json").await?.unwrap_or(Json::Null);
        let model = optional_json(dir, "config.json").await?.unwrap_or(Json::Null);
        add_configured_tokens(&mut inner, &config)?;

        let special_tokens = special_tokens(&config, &map);
        let id_of = |name: &str| {
            let (_, token) = special_tokens.iter().find(|(n, _)| n == name)?;
            inner.token_to_id(token)
        };
        let (bos, eos, pad) = (id_of("bos_token"), id_of("eos_token"), id_of("pad_token"));
        // transformers stops at generation_config's ids; without that file it derives one from config.json.
        let stops = if generation.is_null() { &model } else { &generation };
        let mut eos_ids = ids(&stops["eos_token_id"]);
        eos_ids.extend(eos);
        eos_ids.sort_unstable();
        eos_ids.dedup();
        let eos = eos.or_else(|| ids(&model["eos_token_id"]).first().copied()).or_else(|| eos_ids.first().copied());

        let adds_bos = match guarded(|| inner.encode_fast("", true)) {
            Ok(encoding) => bos.is_some() && encoding.get_ids().first() == bos.as_ref(),
            Err(_) => false,
        };
        let template = load_template(dir, &config, &special_tokens, adds_bos, now).await?;
        let special_ids = inner.get_added_tokens_decoder().iter().filter(|(_, t)| t.special).map(|(id, _)| *id).collect();
        let largest_id = inner.get_vocab(true).values().copied().max().unwrap_or(0);
        Ok(Tokenizer { inner, bos, eos, pad, eos_ids, special_ids, largest_id, adds_bos, template })
    }

    /// Token ids of a text; `add_special` lets the tokenizer add what it adds by itself (mostly bos, or nothing).
    ///
    /// # Errors
    /// [`Error::Config`] when the tokenizer cannot express the text (a vocabulary without a token for unknown characters).
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>> {
        let encoding = guarded(|| self.inner.encode_fast(text, add_special)).map_err(encode_fault)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Token ids of a text, nothing added, with the bytes of the text that each token stands for.
    ///
    /// # Errors
    /// As `encode`.
    pub fn encode_with_offsets(&self, text: &str) -> Result<(Vec<u32>, Vec<ByteRange>)> {
        let encoding = guarded(|| self.inner.encode(text, false)).map_err(encode_fault)?;
        Ok((encoding.get_ids().to_vec(), encoding.get_offsets().to_vec()))
    }

    /// The text of token ids. Ids that the vocabulary lacks stand for nothing.
    ///
    /// # Errors
    /// [`Error::Config`] when the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        guarded(|| self.inner.decode(ids, skip_special))
            .map_err(|reason| Error::config("tokenizer.json", "decoder", format!("decoding failed: {reason}")))
    }

    /// A decoder for text that grows token by token after `context` (the last tokens of the prompt decide about a leading space).
    pub fn stream(&self, context: &[u32], skip_special: bool) -> TextStream<'_> {
        // A few tokens will do, but not from the middle of a character.
        let last = |n: usize| &context[context.len().saturating_sub(n)..];
        let whole = |ids: &[u32]| self.decode(ids, skip_special).is_ok_and(|text| !text.starts_with('\u{fffd}'));
        let ids = (CONTEXT..CONTEXT + 8).map(last).find(|ids| whole(ids)).unwrap_or_default().to_vec();
        TextStream { tokenizer: self, skip_special, read: ids.len(), ids }
    }

    /// The begin-of-sequence token.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text: what training appends to plain text.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// The padding token.
    pub fn pad(&self) -> Option<u32> {
        self.pad
    }

    /// All tokens at which generation stops, ascending.
    pub fn eos_ids(&self) -> &[u32] {
        &self.eos_ids
    }

    /// Whether a token is a special one (never part of a text).
    pub fn is_special(&self, id: u32) -> bool {
        self.special_ids.contains(&id)
    }

    /// Whether the tokenizer begins every text with its bos token by itself.
    pub fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// How many tokens it has, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The largest id it can give: the model's embedding needs a row for it.
    pub fn largest_id(&self) -> u32 {
        self.largest_id
    }

    /// The id of a token by its spelling in the vocabulary.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// A token's spelling in the vocabulary.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The chat template.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }
}

/// Text that grows token by token and shows only whole characters.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    skip_special: bool,
    /// A few tokens that were shown already, then those that were not.
    ids: Vec<u32>,
    /// How many of `ids` were shown.
    read: usize,
}

impl TextStream<'_> {
    /// Takes one more token and returns the text that it completes; empty while a character's bytes are incomplete.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.ids.push(id);
        let text = self.unseen()?;
        // A character that lacks bytes decodes to U+FFFD. Eight tokens hold the bytes of any character, also when a token ends
        // one and begins another: what is still U+FFFD then is meant so.
        if text.ends_with('\u{fffd}') && self.ids.len() - self.read < 8 {
            return Ok(String::new());
        }
        self.show(text)
    }

    /// What is left at the end, incomplete characters shown as U+FFFD.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn finish(mut self) -> Result<String> {
        let text = self.unseen()?;
        self.show(text)
    }

    /// The text of the tokens not shown yet, decoded after those shown: a decoder strips the space in front of the first word only.
    fn unseen(&self) -> Result<String> {
        let before = self.tokenizer.decode(&self.ids[..self.read], self.skip_special)?;
        let all = self.tokenizer.decode(&self.ids, self.skip_special)?;
        // Should a decoder rewrite what came before, the new tokens speak for themselves.
        match all.strip_prefix(&before) {
            Some(text) => Ok(text.to_string()),
            None => self.tokenizer.decode(&self.ids[self.read..], self.skip_special),
        }
    }

    fn show(&mut self, text: String) -> Result<String> {
        // What was shown last is the context of what comes; it ends and begins with whole characters. Tokens that show nothing
        // (special ones) are no context of their own.
        if !text.is_empty() {
            self.ids.drain(..self.read);
        }
        self.read = self.ids.len();
        Ok(text)
    }
}

async fn load_inner(dir: &dyn Directory) -> Result<tokenizers::Tokenizer> {
    let path = format!("{}/tokenizer.json", dir.label());
    if dir.size("tokenizer.json").await?.is_none() {
        for (other, what) in [("tokenizer.model", "a SentencePiece model"), ("vocab.json", "a slow tokenizer's files")] {
            if dir.size(other).await?.is_some() {
                let label = dir.label();
                return Err(Error::file(
                    path,
                    format!(
                        "there is no such file, only {other} ({what}); convert it once with: python -c \"from transformers import \
                         AutoTokenizer; AutoTokenizer.from_pretrained('{label}').save_pretrained('{label}')\""
                    ),
                ));
            }
        }
        return Err(Error::file(path, "there is no tokenizer; copy tokenizer.json and tokenizer_config.json from the base model"));
    }
    let bytes = dir.read("tokenizer.json").await?;
    if bytes.starts_with(b"version https://git-lfs") {
        return Err(Error::file(path, "this is a git-lfs pointer, not the file; run `git lfs pull` in the model's repository"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let fault = |reason: String| {
        Error::config(&path, "", format!("the tokenizers library cannot read it: {reason}; take it from the base model anew"))
    };
    // The library panics on some texts that are no JSON, and on some JSON that is no tokenizer.
    serde_json::from_slice::<WellFormed>(bytes).map_err(|e| fault(e.to_string()))?;
    let mut inner = guarded(|| tokenizers::Tokenizer::from_bytes(bytes)).map_err(fault)?;
    // A tokenizer saved by a training run keeps that run's truncation; lengths are decided here.
    inner.with_padding(None);
    inner.with_truncation(None).map_err(|e| Error::config(&path, "truncation", e.to_string()))?;
    Ok(inner)
}

/// Calls the tokenizers library, which may panic where a stranger's file contradicts itself.
fn guarded<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    guard(call)?.map_err(|error| error.to_string())
}

fn encode_fault(reason: String) -> Error {
    Error::config("tokenizer.json", "model", format!("the tokenizer cannot express this text: {reason}"))
}

async fn optional_json(dir: &dyn Directory, name: &str) -> Result<Option<Json>> {
    if dir.size(name).await?.is_none() {
        return Ok(None);
    }
    let bytes = dir.read(name).await?;
    let json = serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes));
    json.map(Some).map_err(|e| Error::line(format!("{}/{name}", dir.label()), e.line(), format!("not valid JSON: {e}")))
}

async fn optional_text(dir: &dyn Directory, name: &str) -> Result<Option<String>> {
    if dir.size(name).await?.is_none() {
        return Ok(None);
    }
    let text = String::from_utf8(dir.read(name).await?);
    text.map(Some).map_err(|_| Error::file(format!("{}/{name}", dir.label()), "this file must be UTF-8 text"))
}

/// A token as text: it stands as `"</s>"` or as `{"content": "</s>", …}`.
fn token_text(value: &Json) -> Option<&str> {
    value.as_str().or_else(|| value["content"].as_str())
}

/// The variables that a template gets: tokenizer_config.json wins over the older special_tokens_map.json.
fn special_tokens(config: &Json, map: &Json) -> Vec<(String, String)> {
    let named = NAMED.into_iter().filter_map(|name| {
        let token = token_text(&config[name]).or_else(|| token_text(&map[name]))?;
        Some((name.to_string(), token.to_string()))
    });
    named.collect()
}

/// One id or a list of them, as `eos_token_id` stands in configurations.
fn ids(value: &Json) -> Vec<u32> {
    let one = |v: &Json| v.as_u64().and_then(|n| u32::try_from(n).ok());
    match value {
        Json::Array(items) => items.iter().filter_map(one).collect(),
        other => one(other).into_iter().collect(),
    }
}

/// tokenizer_config.json may name added tokens that tokenizer.json lacks; transformers adds them, so they count here too.
fn add_configured_tokens(inner: &mut tokenizers::Tokenizer, config: &Json) -> Result<()> {
    let Some(decoder) = config["added_tokens_decoder"].as_object() else { return Ok(()) };
    let mut tokens: Vec<(u32, &Json)> = decoder.iter().filter_map(|(id, token)| Some((id.parse().ok()?, token))).collect();
    tokens.sort_by_key(|(id, _)| *id);
    for (id, token) in tokens {
        let Some(text) = token_text(token) else { continue };
        if inner.token_to_id(text).is_some() {
            continue;
        }
        let flag = |name: &str| token[name].as_bool().unwrap_or(false);
        let special = flag("special");
        let added = AddedToken::from(text, special)
            .single_word(flag("single_word"))
            .lstrip(flag("lstrip"))
            .rstrip(flag("rstrip"))
            .normalized(token["normalized"].as_bool().unwrap_or(!special));
        guarded(|| Ok(inner.add_tokens(&[added])))
            .map_err(|reason| Error::config("tokenizer_config.json", "added_tokens_decoder", reason))?;
        let got = inner.token_to_id(text);
        if got != Some(id) {
            return Err(Error::config(
                "tokenizer_config.json",
                "added_tokens_decoder",
                format!(
                    "the token {text:?} should have id {id}, but tokenizer.json leaves it {got:?}; the two files are of different models"
                ),
            ));
        }
    }
    Ok(())
}

/// chat_template.jinja wins over tokenizer_config.json, as in transformers; of several named templates, "default".
async fn load_template(
    dir: &dyn Directory,
    config: &Json,
    special_tokens: &[(String, String)],
    adds_bos: bool,
    now: i64,
) -> Result<ChatTemplate> {
    if let Some(source) = optional_text(dir, "chat_template.jinja").await? {
        return ChatTemplate::new("chat_template.jinja", &source, special_tokens.to_vec(), now);
    }
    let older = optional_json(dir, "chat_template.json").await?.unwrap_or(Json::Null);
    let template = if config["chat_template"].is_null() { &older["chat_template"] } else { &config["chat_template"] };
    let source = match template {
        Json::String(source) => Some(source.as_str()),
        Json::Array(named) => {
            let default = named.iter().find(|t| t["name"] == "default").or(named.first());
            default.and_then(|t| t["template"].as_str())
        }
        _ => None,
    };
    match source {
        Some(source) => ChatTemplate::new("tokenizer_config.json", source, special_tokens.to_vec(), now),
        None => ChatTemplate::fallback(special_tokens.to_vec(), adds_bos),
    }
}
