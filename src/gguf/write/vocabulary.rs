//! The tokenizer's metadata.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value as Json;

use super::header::Head;
use crate::data::Tokenizer;
use crate::error::{Error, Result};
use crate::gguf::metadata::Number;
use crate::gguf::tokenizer::{KINDS, Kind, pre::Pre, spm};
use crate::model::ModelConfig;
use crate::platform::{Directory, read_small};

/// The file that everything is read from.
const FILE: &str = "tokenizer.json";

fn cannot(field: &str, reason: impl std::fmt::Display) -> Error {
    Error::config(FILE, field, format!("the tokenizer cannot be written as GGUF: {reason}"))
}

/// Writes the tokenizer of a directory; returns remarks.
///
/// # Errors
/// [`Error::Config`] for a tokenizer that llama.cpp does not have.
pub(super) async fn write(head: &mut Head, directory: &dyn Directory, config: &ModelConfig) -> Result<Vec<String>> {
    let loaded = Tokenizer::load(directory).await?;
    let json: Json = serde_json::from_slice(&read_small(directory, FILE).await?).map_err(|e| cannot("", e))?;
    let model = &json["model"];
    let vocab = model["vocab"].as_object().filter(|_| model["type"].as_str().unwrap_or("BPE") == "BPE");
    let vocab = vocab.ok_or_else(|| cannot("model", "it is not a BPE, the only kind that llama.cpp and this program share"))?;
    let mut remarks = Vec::new();
    let bytes = model["byte_fallback"] == true;
    let mut tokens: BTreeMap<u64, (String, Kind)> = BTreeMap::new();
    for (token, id) in vocab {
        let id = id.as_u64().ok_or_else(|| cannot("vocab", format!("the token {token:?} has no number")))?;
        let kind = if bytes && is_byte(token) { Kind::Byte } else { Kind::Normal };
        tokens.insert(id, (token.clone(), kind));
    }
    for added in json["added_tokens"].as_array().into_iter().flatten() {
        let (Some(id), Some(content)) = (added["id"].as_u64(), added["content"].as_str()) else { continue };
        let special = added["special"] == true || looks_special(content);
        // What is looked for in texts is written as it stands there.
        let text = if special || !bytes { content.to_string() } else { content.replace(spm::SPACE, " ") };
        tokens.insert(id, (text, if special { Kind::Control } else { Kind::UserDefined }));
    }
    let rows = config.vocab_size as u64;
    if let Some((id, (token, _))) = tokens.range(rows..).next() {
        return Err(cannot("vocab", format!("the token {token:?} has the number {id}, and the embedding {rows} rows")));
    }
    let merges = merges(model)?;
    let (kind, pre, scores) = match bytes {
        true => ("llama", "default", Some(scores(&tokens, &merges, rows)?)),
        false => ("gpt2", pre_name(&json)?, None),
    };
    if scores.is_some()
        && let Some(unknown) = model["unk_token"].as_str().and_then(|token| vocab.get(token)).and_then(Json::as_u64)
        && let Some(token) = tokens.get_mut(&unknown)
    {
        token.1 = Kind::Unknown;
    }
    let filler = |id: u64| (format!("[PAD{id}]"), Kind::Unused);
    let all: Vec<(String, Kind)> = (0..rows).map(|id| tokens.remove(&id).unwrap_or_else(|| filler(id))).collect();
    head.text("tokenizer.ggml.model", kind);
    head.text("tokenizer.ggml.pre", pre);
    let number = |kind: Kind| KINDS.iter().find(|(_, known)| *known == kind).map_or(1, |(number, _)| *number as i32);
    head.numbers("tokenizer.ggml.token_type", Number::I32, all.iter().flat_map(|(_, kind)| number(*kind).to_le_bytes()).collect());
    head.texts("tokenizer.ggml.tokens", all.into_iter().map(|(token, _)| token.into()).collect());
    match scores {
        Some(scores) => {
            head.numbers("tokenizer.ggml.scores", Number::F32, scores.iter().flat_map(|score| score.to_le_bytes()).collect());
            head.flag("tokenizer.ggml.add_space_prefix", json["normalizer"].to_string().contains("\"Prepend\""));
        }
        None => {
            let text = |(left, right): &(String, String)| format!("{left} {right}").into();
            head.texts("tokenizer.ggml.merges", merges.iter().map(text).collect());
        }
    }
    for (key, id) in [("bos", loaded.bos()), ("eos", loaded.eos()), ("unknown", loaded.unk()), ("padding", loaded.pad())] {
        if let Some(id) = id {
            head.u32(&format!("tokenizer.ggml.{key}_token_id"), id);
        }
    }
    if let Some(turn) = loaded.end_of_turn().filter(|turn| Some(*turn) != loaded.eos()) {
        head.u32("tokenizer.ggml.eot_token_id", turn);
    }
    head.flag("tokenizer.ggml.add_bos_token", loaded.adds_bos());
    match loaded.template().is_fallback() {
        false => head.text("tokenizer.chat_template", loaded.template().source()),
        true => remarks.push("the model has no chat template, so the file has none: other programs will take one of their own".to_string()),
    }
    Ok(remarks)
}

/// Whether llama.cpp's converter takes an added token for a control token although the tokenizer does not say so.
fn looks_special(token: &str) -> bool {
    let within = |open: &str, close: &str| token.len() > open.len() + close.len() && token.starts_with(open) && token.ends_with(close);
    ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(&token) || within("<|", "|>") || within("<｜", "｜>") || within("<unused", ">")
}

/// Whether a token stands for a byte: `<0x0A>`.
fn is_byte(token: &str) -> bool {
    token.len() == 6 && token.starts_with("<0x") && token.ends_with('>') && token[3..5].bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn merges(model: &Json) -> Result<Vec<(String, String)>> {
    let list = model["merges"].as_array().ok_or_else(|| cannot("merges", "it has no merges"))?;
    let pair = |merge: &Json| match merge {
        Json::String(text) => text.split_once(' ').map(|(left, right)| (left.to_string(), right.to_string())),
        Json::Array(pair) => Some((pair.first()?.as_str()?.to_string(), pair.get(1)?.as_str()?.to_string())),
        _ => None,
    };
    list.iter().map(|merge| pair(merge).ok_or_else(|| cannot("merges", format!("{merge} is no merge")))).collect()
}

/// The name of the way in which a text is parted into words.
fn pre_name(json: &Json) -> Result<&'static str> {
    let composes = match &json["normalizer"] {
        Json::Null => false,
        normalizer if normalizer["type"] == "NFC" => true,
        _ => return Err(cannot("normalizer", "it changes texts in a way that llama.cpp has no name for")),
    };
    let name = Pre::name_of(&json["pre_tokenizer"], json["model"]["ignore_merges"] == true, composes);
    name.ok_or_else(|| {
        cannot("pre_tokenizer", "it parts texts into words in a way that llama.cpp has no name for, or none that is known here")
    })
}

/// Scores with which SentencePiece's rule makes the same merges: the earlier a token is merged, the higher. Tokens whose merges interlace have
/// the same score.
fn scores(tokens: &BTreeMap<u64, (String, Kind)>, merges: &[(String, String)], rows: u64) -> Result<Vec<f32>> {
    let ids: HashMap<&str, u64> = tokens.iter().map(|(id, (token, _))| (token.as_str(), *id)).collect();
    // A token that is looked for in texts is found before anything is merged.
    let normal = |token: &str| ids.get(token).is_none_or(|id| tokens[id].1 == Kind::Normal);
    let given = merges.iter().filter(|(left, right)| normal(left) && normal(right) && normal(&format!("{left}{right}")));
    let mut given: Vec<(&str, &str)> = given.map(|(left, right)| (left.as_str(), right.as_str())).collect();
    // The places of each token's first and last merge.
    let mut spans: HashMap<u64, (usize, usize)> = HashMap::new();
    for (at, (left, right)) in given.iter().enumerate() {
        let whole = format!("{left}{right}");
        let id = *ids.get(whole.as_str()).ok_or_else(|| cannot("merges", format!("{whole:?} is merged and no token")))?;
        spans.entry(id).or_insert((at, at)).1 = at;
    }
    let mut spans: Vec<(u64, (usize, usize))> = spans.into_iter().collect();
    spans.sort_unstable_by_key(|(_, span)| *span);
    // Below all of these: what is never merged.
    let mut scores = vec![-(spans.len() as f32) - 1.0; rows as usize];
    let (mut score, mut end, mut interlaced) = (0f32, 0, false);
    for (at, (id, (first, last))) in spans.into_iter().enumerate() {
        if at == 0 || first > end {
            score -= 1.0;
        } else {
            interlaced = true;
        }
        end = end.max(last);
        scores[id as usize] = score;
    }
    let pieces =
        tokens.iter().filter(|(_, (_, kind))| *kind == Kind::Normal).map(|(id, (token, _))| (token.as_str(), *id as usize)).collect();
    let wide: Vec<f64> = scores.iter().map(|score| f64::from(*score)).collect();
    let mut possible: Vec<(&str, &str)> = spm::merges(&pieces, &wide);
    // Between tokens of one score the order matters; between the merges of one token it does not.
    if !interlaced {
        possible.sort_unstable();
        given.sort_unstable();
    }
    match possible == given {
        true => Ok(scores),
        false => Err(cannot("merges", "its merges are not those that its tokens allow, which SentencePiece's scores cannot express")),
    }
}
