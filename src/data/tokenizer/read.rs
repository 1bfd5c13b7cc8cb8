//! What the files of a model directory say about its tokenizer, as transformers reads them.

use std::collections::HashSet;

use serde_json::Value as Json;
use tokenizers::{AddedToken, ModelWrapper};

use super::super::template::ChatTemplate;
use super::bounds::{MAX_ADDED, inspect};
use super::guarded;
use crate::error::{Cause, Error, Result};
use crate::platform::{Directory, is_lfs_pointer, read_small, without_byte_order_mark};

/// The special tokens that transformers names, in the order of its `special_tokens_map`.
const NAMED: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The tokenizer as tokenizer.json describes it, and what the user should be told about it.
pub(super) async fn load_inner(dir: &dyn Directory) -> Result<(tokenizers::Tokenizer, Vec<String>)> {
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
    let bytes = read_small(dir, "tokenizer.json").await?;
    if is_lfs_pointer(&bytes) {
        return Err(Error::file(path, "this is a git-lfs pointer, not the file; run `git lfs pull` in the model's repository")
            .because(Cause::LfsPointer));
    }
    let bytes = without_byte_order_mark(&bytes);
    let fault = |reason: String| {
        Error::config(&path, "", format!("the tokenizers library cannot read it: {reason}; take it from the base model anew"))
    };
    let dropout = inspect(bytes).map_err(fault)?;
    // The library panics on some JSON that is not a tokenizer.
    let mut inner = guarded(|| tokenizers::Tokenizer::from_bytes(bytes)).map_err(fault)?;
    // A tokenizer saved by a training run keeps that run's truncation; lengths are decided here.
    inner.with_padding(None);
    inner.with_truncation(None).map_err(|e| Error::config(&path, "truncation", e.to_string()))?;
    let mut warnings = Vec::new();
    if let (Some(p), ModelWrapper::BPE(bpe)) = (dropout, inner.get_model()) {
        let mut bpe = bpe.clone();
        bpe.dropout = None;
        inner.with_model(ModelWrapper::BPE(bpe));
        warnings.push(format!(
            "sets dropout to {p}: transformers would leave out merges at random, so that a text has other tokens each time. It is off here, \
             so that a run can be repeated; set \"dropout\": null in it, so that other tools do the same"
        ));
    }
    Ok((inner, warnings))
}

pub(super) async fn optional_json(dir: &dyn Directory, name: &str) -> Result<Option<Json>> {
    if dir.size(name).await?.is_none() {
        return Ok(None);
    }
    let bytes = read_small(dir, name).await?;
    let json = serde_json::from_slice(without_byte_order_mark(&bytes));
    json.map(Some)
        .map_err(|e| Error::line(format!("{}/{name}", dir.label()), e.line(), format!("not valid JSON: {e}")).because(Cause::NotJson))
}

async fn optional_text(dir: &dyn Directory, name: &str) -> Result<Option<String>> {
    if dir.size(name).await?.is_none() {
        return Ok(None);
    }
    let text = String::from_utf8(read_small(dir, name).await?);
    text.map(Some).map_err(|_| Error::file(format!("{}/{name}", dir.label()), "this file must be UTF-8 text"))
}

/// A token as text: it stands as `"</s>"` or as `{"content": "</s>", …}`.
fn token_text(value: &Json) -> Option<&str> {
    value.as_str().or_else(|| value["content"].as_str())
}

/// The variables that a template gets: tokenizer_config.json wins over the older special_tokens_map.json.
pub(super) fn special_tokens(config: &Json, map: &Json) -> Vec<(String, String)> {
    let named = NAMED.into_iter().filter_map(|name| {
        let token = token_text(&config[name]).or_else(|| token_text(&map[name]))?;
        Some((name.to_string(), token.to_string()))
    });
    named.collect()
}

/// One id or a list of them, as `eos_token_id` stands in configurations.
pub(super) fn ids(value: &Json) -> Vec<u32> {
    let one = |v: &Json| v.as_u64().and_then(|n| u32::try_from(n).ok());
    match value {
        Json::Array(items) => items.iter().filter_map(one).collect(),
        other => one(other).into_iter().collect(),
    }
}

/// tokenizer_config.json may name added tokens that tokenizer.json lacks; transformers adds them, so they count here too.
pub(super) fn add_configured_tokens(inner: &mut tokenizers::Tokenizer, config: &Json) -> Result<()> {
    let fault = |reason: String| Error::config("tokenizer_config.json", "added_tokens_decoder", reason);
    let Some(decoder) = config["added_tokens_decoder"].as_object() else { return Ok(()) };
    if decoder.len() > MAX_ADDED {
        return Err(fault(format!("added_tokens_decoder has {} tokens, and more than {MAX_ADDED} are not read", decoder.len())));
    }
    let mut tokens: Vec<(u32, &Json)> = decoder.iter().filter_map(|(id, token)| Some((id.parse().ok()?, token))).collect();
    tokens.sort_by_key(|(id, _)| *id);
    let mut seen = HashSet::new();
    let missing: Vec<(u32, &str, &Json)> = tokens
        .into_iter()
        .filter_map(|(id, token)| Some((id, token_text(token)?, token)))
        .filter(|(_, text, _)| inner.token_to_id(text).is_none() && seen.insert(*text))
        .collect();
    let added: Vec<AddedToken> = missing
        .iter()
        .map(|(_, text, token)| {
            let flag = |name: &str| token[name].as_bool().unwrap_or(false);
            let special = flag("special");
            AddedToken::from(*text, special)
                .single_word(flag("single_word"))
                .lstrip(flag("lstrip"))
                .rstrip(flag("rstrip"))
                .normalized(token["normalized"].as_bool().unwrap_or(!special))
        })
        .collect();
    // All at once: the library builds its search for added tokens anew with each call.
    guarded(|| Ok(inner.add_tokens(&added))).map_err(fault)?;
    for (id, text, _) in missing {
        let got = inner.token_to_id(text);
        if got != Some(id) {
            return Err(fault(format!(
                "the token {text:?} should have id {id}, but tokenizer.json leaves it {got:?}; the two files are of different models"
            )));
        }
    }
    Ok(())
}

/// chat_template.jinja wins over tokenizer_config.json, as in transformers; of several named templates, "default".
pub(super) async fn load_template(
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
        None => ChatTemplate::fallback(special_tokens.to_vec(), adds_bos, now),
    }
}
