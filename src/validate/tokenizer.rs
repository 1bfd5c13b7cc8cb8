//! Checks tokenizer, chat template, special tokens and generation settings.

use serde_json::{Value, json};

use super::base::Base;
use super::code::{Code, Severity};
use super::infer;
use super::json::{self, lookup, unreadable};
use super::repair::Repair;
use super::report::Finding;
use super::said::said;
use super::view::View;
use crate::checkpoint::SAMPLING_SETTINGS;
use crate::data::Tokenizer;
use crate::error::{Cause, Error};
use crate::model::ModelConfig;
use crate::model::config::CONFIG_FILE as CONFIG;
use crate::platform::{Directory, Entry};

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
/// Files that make up a tokenizer.
const FILES: [&str; 5] = [TOKENIZER, TOKENIZER_CONFIG, "special_tokens_map.json", "chat_template.jinja", "added_tokens.json"];

/// Checks the small files beside the weights; returns the tokenizer if it is usable.
pub(super) async fn check(
    dir: &dyn Directory,
    entries: &[Entry],
    view: &View,
    config: Option<&ModelConfig>,
    base: Option<&Base>,
    findings: &mut Vec<Finding>,
) -> Option<Tokenizer> {
    let tokenizer = tokenizer(dir, entries, base, findings).await;
    if let Some(tokenizer) = &tokenizer {
        tokenizer_config(dir, entries, findings).await;
        if let Some(config) = config {
            vocabulary(tokenizer, view, config, findings);
        }
        usable(tokenizer, entries, base, findings);
        if tokenizer.template().is_fallback() {
            let message = "there is no chat template: fine for a base model. Conversations are written as lines that begin with \"User:\" and \
                           \"Assistant:\", and a trained model gets that template; for another form put chat_template.jinja here before training";
            findings.push(Finding::new(Code::NoChatTemplate, message));
        }
    }
    let generation = generation(dir, entries, findings).await;
    if let Some(config) = config {
        special_ids(view, config, generation.as_ref(), tokenizer.as_ref(), findings);
    }
    tokenizer
}

/// Checks that texts and conversations can be tokenised, and deterministically.
fn usable(tokenizer: &Tokenizer, entries: &[Entry], base: Option<&Base>, findings: &mut Vec<Finding>) {
    if let Some(reason) = tokenizer.cannot_encode() {
        let message = said!("no text becomes tokens: {reason}; take the tokenizer from the base model");
        findings.push(Finding { repair: from_base(base), ..Finding::new(Code::DamagedTokenizer, message).file(TOKENIZER) });
    }
    for warning in tokenizer.warnings() {
        findings.push(Finding::new(Code::RandomTokenizer, warning.clone()).file(TOKENIZER));
    }
    if let Err(error) = tokenizer.template().try_out() {
        let reason = match error {
            Error::Config { reason, .. } => reason,
            other => other.to_string(),
        };
        let reason = reason.split_once("refuses this conversation: ").map_or(reason.as_str(), |(_, reason)| reason);
        let message =
            said!("the chat template takes no conversation of those that were tried: {reason}. Mend it, or take it from the base model");
        let file = ["chat_template.jinja", "chat_template.json"].into_iter().find(|name| entries.iter().any(|entry| entry.name == *name));
        let finding = Finding::new(Code::BadTemplate, message).file(file.unwrap_or(TOKENIZER_CONFIG));
        findings.push(Finding { repair: from_base(base), ..finding });
    }
}

/// The repair that copies files from the base.
fn from_base(base: Option<&Base>) -> Option<Repair> {
    let entries = &base?.entries;
    let there = |name: &&str| entries.iter().any(|entry| entry.name == **name);
    let files: Vec<String> = FILES.iter().filter(|name| there(name)).map(ToString::to_string).collect();
    files.iter().any(|name| name == TOKENIZER).then_some(Repair::CopyFromBase(files))
}

async fn tokenizer(dir: &dyn Directory, entries: &[Entry], base: Option<&Base>, findings: &mut Vec<Finding>) -> Option<Tokenizer> {
    let has = |name: &str| entries.iter().any(|entry| entry.name == name);
    if !has(TOKENIZER) {
        let way_out = match base.map(|_| from_base(base)) {
            Some(Some(_)) => "take it from the base",
            Some(None) => "the base has none either",
            None => "copy tokenizer.json and tokenizer_config.json from the base model (--base DIR does)",
        };
        let slow = [
            ("tokenizer.model", "a SentencePiece model"),
            ("vocab.json", "a slow tokenizer's files"),
            ("vocab.txt", "a slow tokenizer's files"),
        ]
        .into_iter()
        .find(|(name, _)| has(name));
        let finding = match slow {
            Some((name, what)) => {
                let label = dir.label();
                let message = said!(
                    "there is only {name} ({what}), no tokenizer.json; convert it once with: python -c \"from transformers import AutoTokenizer; \
                     AutoTokenizer.from_pretrained('{label}').save_pretrained('{label}')\", or {way_out}"
                );
                Finding::new(Code::SlowTokenizer, message).file(name)
            }
            None => {
                let message = said!("there is no tokenizer; transformers says \"Couldn't instantiate the backend tokenizer\"; {way_out}");
                Finding::new(Code::NoTokenizer, message).file(TOKENIZER)
            }
        };
        findings.push(Finding { repair: from_base(base), ..finding });
        return None;
    }
    // The tokenizer's parser also reads the configurations; their faults are reported elsewhere.
    match Tokenizer::load(dir).await {
        Ok(tokenizer) => Some(tokenizer),
        Err(error) => {
            let label = format!("{}/", dir.label());
            let (path, reason) = match &error {
                Error::Config { file, reason, .. } => (file.clone(), reason.clone()),
                Error::File { path, reason, .. } => (path.clone(), reason.clone()),
                Error::Line { path, line, reason, .. } => (path.clone(), format!("{reason} (line {line})")),
                other => (TOKENIZER.to_string(), other.to_string()),
            };
            let file = path.strip_prefix(&label).unwrap_or(&path).to_string();
            if file == CONFIG || file == GENERATION_CONFIG {
                return None;
            }
            let is_template =
                file.starts_with("chat_template") || matches!(&error, Error::Config { field, .. } if field == "chat_template");
            let code = match error.cause() {
                Cause::LfsPointer => Code::LfsPointer,
                Cause::OutsideDirectory => return push(findings, unreadable(&file, &error)),
                _ if is_template => Code::BadTemplate,
                _ => Code::DamagedTokenizer,
            };
            push(findings, Finding { repair: from_base(base), ..Finding::new(code, reason).file(file) })
        }
    }
}

fn push<T>(findings: &mut Vec<Finding>, finding: Finding) -> Option<T> {
    findings.push(finding);
    None
}

async fn tokenizer_config(dir: &dyn Directory, entries: &[Entry], findings: &mut Vec<Finding>) {
    let Ok(Some(json)) = json::read(dir, entries, TOKENIZER_CONFIG).await else { return };
    findings.extend(json.finding);
    if json.map.get("tokenizer_class").and_then(Value::as_str) == Some("TokenizersBackend") {
        let message = "tokenizer_class is TokenizersBackend, which only transformers 5 knows; version 4 says \"Tokenizer class TokenizersBackend \
                       does not exist\". Every directory that is written here says PreTrainedTokenizerFast, which both know";
        let repair = Repair::SetTokenizerConfig { key: "tokenizer_class".into(), value: json!("PreTrainedTokenizerFast") };
        findings.push(Finding::new(Code::TokenizerClass, message).file(TOKENIZER_CONFIG).repair(repair));
    }
}

/// Checks that every id of the tokenizer has a row in the embedding.
fn vocabulary(tokenizer: &Tokenizer, view: &View, config: &ModelConfig, findings: &mut Vec<Finding>) {
    let name = infer::embedding_name(config.architecture);
    let rows = view.get(name).and_then(|tensor| tensor.shape.first()).copied().unwrap_or(config.vocab_size as u64);
    let largest = u64::from(tokenizer.largest_id());
    if largest < rows || rows == 0 {
        return;
    }
    // Gemma 3 without its vision part has this extra token, as published.
    if tokenizer.tokens_from(rows).iter().all(|(_, token)| token == "<image_soft_token>") {
        return;
    }
    let token = tokenizer.id_to_token(tokenizer.largest_id()).map(|token| format!(" ({token:?})")).unwrap_or_default();
    let last = format!("{largest}{token}");
    let message = said!(
        "the tokenizer gives ids up to {last}, but {name} has {rows} rows; other tools fail with an index error or compute \
         nonsense as soon as such a token comes. Use the tokenizer that the model was trained with, or add rows"
    );
    let repair = Repair::AddEmbeddingRows { rows: largest + 1 };
    findings.push(Finding::new(Code::TokenizerTooLarge, message).file(TOKENIZER).tensor(name).repair(repair));
}

async fn generation(dir: &dyn Directory, entries: &[Entry], findings: &mut Vec<Finding>) -> Option<serde_json::Map<String, Value>> {
    match json::read(dir, entries, GENERATION_CONFIG).await {
        Ok(Some(json)) => {
            findings.extend(json.finding);
            let mut map = json.map;
            findings.extend(wrong_settings(&mut map));
            sampling(&map, findings);
            Some(map)
        }
        Ok(None) => {
            let message = "there is no generation_config.json; transformers derives one from config.json";
            findings.push(Finding::new(Code::NoGenerationConfig, message).file(GENERATION_CONFIG).repair(Repair::WriteGenerationConfig));
            None
        }
        Err(finding) => {
            let code = if finding.code == Code::InvalidJson { Code::BadGenerationConfig } else { finding.code };
            let repair = (code == Code::BadGenerationConfig).then_some(Repair::WriteGenerationConfig);
            findings.push(Finding { code, repair, ..*finding });
            None
        }
    }
}

/// Reports settings with invalid values and removes them from `map`.
fn wrong_settings(map: &mut serde_json::Map<String, Value>) -> Option<Finding> {
    let is_id = |value: &Value| value.as_u64().is_some_and(|id| u32::try_from(id).is_ok());
    let is_good = |key: &str, value: &Value| match key {
        "eos_token_id" => is_id(value) || value.as_array().is_some_and(|ids| ids.iter().all(is_id)),
        "bos_token_id" | "pad_token_id" => is_id(value),
        "temperature" | "repetition_penalty" => value.as_f64().is_some_and(|number| number >= 0.0),
        "top_p" | "min_p" | "typical_p" => value.as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)),
        "top_k" | "max_new_tokens" | "max_length" => value.as_u64().is_some(),
        "do_sample" => value.is_boolean(),
        _ => true,
    };
    let wrong: Vec<(String, Value)> = map
        .iter()
        .filter(|(key, value)| !value.is_null() && !is_good(key, value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if wrong.is_empty() {
        return None;
    }
    for (key, _) in &wrong {
        map.shift_remove(key);
    }
    let list: Vec<String> = wrong.iter().map(|(key, value)| format!("{key} is {}", shortened(value))).collect();
    let message = said!(
        "{}, which it cannot be: a token is named by its number, and the others are numbers too (do_sample is true or false). transformers stops \
         when it generates; correct or remove it",
        list.join(", ")
    );
    let repair = Repair::SetGenerationConfig(wrong.into_iter().map(|(key, _)| (key, Value::Null)).collect());
    Some(Finding::new(Code::BadGenerationConfig, message).file(GENERATION_CONFIG).repair(repair))
}

/// A value as written in the file, shortened if it is long.
fn shortened(value: &Value) -> String {
    const SHOWN: usize = 40;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// Reports sampling settings without sampling: transformers loads that but refuses to save it.
fn sampling(map: &serde_json::Map<String, Value>, findings: &mut Vec<Finding>) {
    if map.get("do_sample").and_then(Value::as_bool) == Some(true) {
        return;
    }
    let neutral = |key: &str, value: &Value| match key {
        "temperature" | "top_p" | "typical_p" => value.as_f64() == Some(1.0),
        "top_k" => value.as_u64() == Some(50),
        "epsilon_cutoff" | "eta_cutoff" => value.as_f64() == Some(0.0),
        _ => false,
    };
    let set: Vec<&str> =
        SAMPLING_SETTINGS.into_iter().filter(|key| map.get(*key).is_some_and(|value| !value.is_null() && !neutral(key, value))).collect();
    let Some(first) = set.first() else { return };
    let list = set.iter().map(|key| format!("{key} {}", map[*key])).collect::<Vec<_>>().join(", ");
    let message = said!(
        "{list} while do_sample is false: {first} does nothing then, and transformers refuses to save the model again, at the end of a \
         training run"
    );
    let repair = Repair::SetGenerationConfig(set.iter().map(|key| ((*key).to_string(), Value::Null)).collect());
    findings.push(Finding::new(Code::SamplingFlags, message).file(GENERATION_CONFIG).repair(repair));
}

/// Checks that ids of special tokens are rows of the embedding. Defaults of a configuration class are not the user's mistake.
fn special_ids(
    view: &View,
    config: &ModelConfig,
    generation: Option<&serde_json::Map<String, Value>>,
    tokenizer: Option<&Tokenizer>,
    findings: &mut Vec<Finding>,
) {
    const KEYS: [&str; 3] = ["eos_token_id", "bos_token_id", "pad_token_id"];
    let mut without = view.config.clone();
    for key in KEYS {
        without.shift_remove(key);
    }
    let defaults = ModelConfig::from_map(CONFIG, without).ok();
    let vocabulary = config.vocab_size as u64;
    for key in KEYS {
        let by_tokenizer = tokenizer.and_then(|tokenizer| match key {
            "eos_token_id" => tokenizer.eos(),
            "bos_token_id" => tokenizer.bos(),
            _ => tokenizer.pad(),
        });
        let by_tokenizer = by_tokenizer.filter(|id| u64::from(*id) < vocabulary);
        let default = defaults.as_ref().map(|defaults| match key {
            "eos_token_id" => defaults.eos_token_ids.clone(),
            "bos_token_id" => defaults.bos_token_id.into_iter().collect(),
            _ => defaults.pad_token_id.into_iter().collect(),
        });
        let bad = |map: &serde_json::Map<String, Value>| {
            let ids: Vec<u64> = match lookup(map, key) {
                Some(Value::Array(list)) => list.iter().filter_map(Value::as_u64).collect(),
                Some(value) => value.as_u64().into_iter().collect(),
                None => Vec::new(),
            };
            ids.into_iter().find(|id| *id >= vocabulary)
        };
        for (file, map) in [(CONFIG, Some(&view.config)), (GENERATION_CONFIG, generation)] {
            let Some(id) = map.and_then(bad) else { continue };
            let is_default = default.as_ref().is_some_and(|ids| ids.iter().any(|default| u64::from(*default) == id));
            let effect = match key {
                "eos_token_id" => "generation would never stop",
                "bos_token_id" => "the first token of a text would have no embedding",
                _ => "transformers stops with \"Padding_idx must be within num_embeddings\"",
            };
            let code = if key == "pad_token_id" && file == CONFIG { Code::PadId } else { Code::SpecialIds };
            let there = by_tokenizer.map_or("remove it".to_string(), |id| format!("the tokenizer's is {id}"));
            let default_note = if is_default { " (the default of its configuration class)" } else { "" };
            let given = format!("{id}{default_note}");
            let message = said!("{key} is {given}, but the vocabulary has {vocabulary} tokens; {effect}; {there}");
            let fields = vec![(key.to_string(), by_tokenizer.map_or(Value::Null, |id| json!(id)))];
            let repair = if file == CONFIG { Repair::SetConfig(fields) } else { Repair::SetGenerationConfig(fields) };
            let finding = Finding::new(code, message).file(file).repair(repair);
            let harmless = is_default && code == Code::SpecialIds;
            findings.push(if harmless { finding.severity(Severity::Info) } else { finding });
        }
    }
}
