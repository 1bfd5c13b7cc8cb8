//! Rows of new tokens that begin with what their descriptions' tokens have, as LLaMA-Factory makes them (`model/model_utils/embedding.py`).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::checkpoint::Checkpoint;
use crate::config::DescribedTokens;
use crate::data::{AddedTokens, Tokenizer};
use crate::error::{Error, Result};
use crate::model::ParamKind;
use crate::platform::{Directory, MemoryDirectory, open_beside, read_small};

const KEY: &str = "new_special_tokens_config";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Tokens and their descriptions, in the order in which they are written.
///
/// # Errors
/// [`Error::Recipe`] or [`Error::Line`] for a file that cannot be read or maps tokens to something else than text.
pub(super) async fn read(described: &DescribedTokens) -> Result<Vec<(String, String)>> {
    let entries = match described {
        DescribedTokens::Inline(entries) => entries.clone(),
        DescribedTokens::File(path) => {
            let (dir, name) = open_beside(path)?;
            if dir.size(&name).await?.is_none() {
                return Err(Error::recipe(
                    KEY,
                    format!("there is no file {path}; expected a YAML file with lines such as <think>: where a thought begins"),
                ));
            }
            return parse(path, &read_small(&*dir, &name).await?);
        }
    };
    not_empty(entries)
}

/// The tokens and descriptions of a file, which messages call `path`.
///
/// # Errors
/// When this is no YAML, or anything but a mapping of tokens to descriptions.
pub fn parse(path: &str, bytes: &[u8]) -> Result<Vec<(String, String)>> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::file(path, "this is not UTF-8 text"))?;
    let value: Value = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line() as usize);
        Error::line(path, line, format!("this is no YAML: {}", error.without_snippet()))
    })?;
    let expected = || Error::line(path, 1, "expected a mapping of tokens to descriptions: <think>: where a thought begins");
    let entries = value.as_object().ok_or_else(expected)?.iter();
    let entry = |(token, description): (&String, &Value)| Ok((token.clone(), description.as_str().ok_or_else(expected)?.to_string()));
    not_empty(entries.map(entry).collect::<Result<_>>()?)
}

fn not_empty(entries: Vec<(String, String)>) -> Result<Vec<(String, String)>> {
    if entries.is_empty() { Err(Error::recipe(KEY, "it describes no token")) } else { Ok(entries) }
}

/// The rows that described tokens begin with, by their index in the grown embedding. `rows` are those that the embedding had, `new_rows` what it
/// has then. Tokens that have a row already keep it.
///
/// As in LLaMA-Factory, the tokens of a description count whose ids are below the number of tokens less the number of new rows (the rows that only fill up
/// a multiple of 64 included), so that of a small vocabulary some known tokens do not; a description without one, here `None`, gives the mean of all rows.
pub(super) async fn rows(
    dir: &dyn Directory,
    checkpoint: &Checkpoint,
    added: &AddedTokens,
    descriptions: &[(String, String)],
    new_rows: usize,
) -> Result<BTreeMap<u64, Option<Vec<f32>>>> {
    let rows = checkpoint.config().vocab_size;
    let mut files = MemoryDirectory::new("the tokenizer with new tokens");
    for name in [TOKENIZER, TOKENIZER_CONFIG] {
        match added.files.get(name) {
            Some(bytes) => files = files.with(name, bytes.clone()),
            None if dir.size(name).await?.is_some() => files = files.with(name, read_small(dir, name).await?),
            None => {}
        }
    }
    let tokenizer = Tokenizer::load(&files).await?;
    let known = added.tokens.saturating_sub(new_rows - rows);
    let embedding = checkpoint.params().iter().find(|param| param.kind == ParamKind::Embedding);
    let embedding = embedding.ok_or_else(|| Error::recipe(KEY, "the model has no embedding of tokens"))?;
    let mut made = BTreeMap::new();
    for (token, description) in descriptions {
        let Some(id) = tokenizer.token_to_id(token).filter(|id| *id as usize >= rows) else { continue };
        let ids = tokenizer.encode(description, false)?;
        let ids: Vec<usize> = ids.into_iter().map(|id| id as usize).filter(|id| *id < known.min(rows)).collect();
        if ids.is_empty() {
            made.insert(u64::from(id), None);
            continue;
        }
        let mut sum = vec![0f64; embedding.cols];
        for id in &ids {
            let row = checkpoint.read_rows(embedding, *id..id + 1).await?;
            sum.iter_mut().zip(&row).for_each(|(sum, number)| *sum += f64::from(*number));
        }
        made.insert(u64::from(id), Some(sum.iter().map(|sum| (sum / ids.len() as f64) as f32).collect()));
    }
    Ok(made)
}
