//! More tokens for a tokenizer, as transformers' `add_tokens` adds them.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use tokenizers::AddedToken;

use super::read::{add_configured_tokens, load_inner, optional_json};
use crate::error::{Error, Result};
use crate::model::config::parse_object;
use crate::platform::{Directory, read_small};

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// A tokenizer that got tokens.
pub struct AddedTokens {
    /// How many tokens it has now.
    pub tokens: usize,
    /// How many of them it did not have before.
    pub new: usize,
    /// Its files that changed.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Adds tokens to the tokenizer of a directory: ordinary ones, which are found in normalised text, and special ones, which are not shown in
/// answers. Tokens that it has are left as they are.
///
/// # Errors
/// As [`super::Tokenizer::load`]; [`Error::Recipe`] for an empty token.
pub async fn add_tokens(dir: &dyn Directory, tokens: &[String], special: &[String]) -> Result<AddedTokens> {
    let (mut inner, _) = load_inner(dir).await?;
    add_configured_tokens(&mut inner, &optional_json(dir, TOKENIZER_CONFIG).await?.unwrap_or(Json::Null))?;
    let mut new = Vec::new();
    for (key, list, is_special) in [("add_tokens", tokens, false), ("add_special_tokens", special, true)] {
        for text in list {
            if text.trim().is_empty() {
                return Err(Error::recipe(key, "a token is empty; write them comma-separated, for example <think>,</think>"));
            }
            let known = inner.token_to_id(text).is_some();
            let token = AddedToken::from(text.as_str(), is_special);
            let added = if is_special { inner.add_special_tokens(&[token]) } else { inner.add_tokens(&[token]) };
            if added > 0 && !known {
                let id = inner.token_to_id(text).unwrap_or_default();
                new.push((text.clone(), id, is_special));
            }
        }
    }
    let count = inner.get_vocab_size(true);
    let mut files = BTreeMap::new();
    if !(tokens.is_empty() && special.is_empty()) {
        let text = inner.to_string(true).map_err(|e| Error::config(TOKENIZER, "", format!("it cannot be written: {e}")))?;
        files.insert(TOKENIZER.to_string(), text.into_bytes());
        if dir.size(TOKENIZER_CONFIG).await?.is_some() {
            let mut config = parse_object(TOKENIZER_CONFIG, &read_small(dir, TOKENIZER_CONFIG).await?)?;
            // transformers 4 reads the added tokens here as well.
            if let Some(Json::Object(decoder)) = config.get_mut("added_tokens_decoder") {
                for (text, id, special) in &new {
                    let token = json!({
                        "content": text, "lstrip": false, "normalized": !special, "rstrip": false, "single_word": false, "special": special,
                    });
                    decoder.insert(id.to_string(), token);
                }
                files.insert(TOKENIZER_CONFIG.to_string(), format!("{:#}\n", Json::Object(config)).into_bytes());
            }
        }
    }
    Ok(AddedTokens { tokens: count, new: new.len(), files })
}
