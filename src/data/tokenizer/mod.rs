//! A checkpoint's tokenizer: `tokenizer.json` through the tokenizers library, and what the files beside it say about
//! special tokens and the chat template.

mod added;
mod bounds;
mod choice;
mod long;
mod read;
mod stream;

use std::collections::BTreeSet;

use serde_json::Value as Json;

pub use self::added::{AddedTokens, add_tokens};
use self::bounds::MAX_TOKEN;
use self::read::{add_configured_tokens, ids, load_inner, load_template, optional_json, special_tokens};
pub use self::stream::TextStream;
use super::named::{Named, TemplateChoice};
use super::template::{ChatTemplate, MARK, Message};
use crate::error::{Error, Result};
use crate::platform::{Directory, guard};

/// How many tokens of the prompt are decoded again in front of the answer's tokens, because a decoder depends on the token before.
const CONTEXT: usize = 6;

/// The longest text that is tokenised in one piece, in bytes: the tokenizers library takes some 160 bytes for each.
const MAX_AT_ONCE: usize = 4 << 20;

/// Begin and end of a token in the bytes of its text.
pub type ByteRange = (usize, usize);

/// A tokenizer with its chat template.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos: Option<u32>,
    eos: Option<u32>,
    pad: Option<u32>,
    unk: Option<u32>,
    /// What ends generation: also the end of a turn, where the checkpoint names it.
    eos_ids: Vec<u32>,
    special_ids: BTreeSet<u32>,
    largest_id: u32,
    adds_bos: bool,
    template: ChatTemplate,
    /// LLaMA-Factory's, where a recipe names one.
    named: Option<Named>,
    choice: TemplateChoice,
    template_notices: Vec<String>,
    warnings: Vec<String>,
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

    /// The time, in seconds since 1970 (UTC), that chat templates which write the date are told: when the tokenizer was loaded, unless
    /// [`Tokenizer::set_now`] said otherwise.
    pub fn now(&self) -> i64 {
        self.template.now()
    }

    /// Sets the time that chat templates are told. A run stores [`Tokenizer::now`] and sets it when it is resumed, so that its samples
    /// stay the same on another day.
    pub fn set_now(&self, now: i64) {
        self.template.set_now(now);
    }

    /// Like `load` with the time (in seconds since 1970) that chat templates which write the date are told: a resumed run must
    /// write the date that it began with.
    ///
    /// # Errors
    /// As `load`.
    pub async fn load_at(dir: &dyn Directory, now: i64) -> Result<Self> {
        let (mut inner, warnings) = load_inner(dir).await?;
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
        let (bos, eos, pad, unk) = (id_of("bos_token"), id_of("eos_token"), id_of("pad_token"), id_of("unk_token"));
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
        let vocabulary = inner.get_vocab(true);
        let largest_id = vocabulary.values().copied().max().unwrap_or(0);
        if let Some(length) = vocabulary.keys().map(String::len).find(|length| *length > MAX_TOKEN) {
            let reason =
                format!("a token has {length} bytes, and more than {MAX_TOKEN} are not read; take the file from the base model anew");
            return Err(Error::config(format!("{}/tokenizer.json", dir.label()), "model", reason));
        }
        Ok(Tokenizer {
            inner,
            bos,
            eos,
            pad,
            unk,
            eos_ids,
            special_ids,
            largest_id,
            adds_bos,
            template,
            named: None,
            choice: TemplateChoice::default(),
            template_notices: Vec::new(),
            warnings,
        })
    }

    /// Token ids of a text; with `add_special` also those that the tokenizer adds to every text (mostly bos, or nothing). A text above
    /// 1 MiB is tokenised in windows, with the same result.
    ///
    /// # Errors
    /// [`Error::Config`] when the tokenizer cannot express the text (a vocabulary without a token for unknown characters),
    /// or when it does not part texts into words and the text has more than 4 MiB.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>> {
        if text.len() > long::WINDOW {
            let ids = long::encode(self, text)?;
            return if add_special { self.framed(ids) } else { Ok(ids) };
        }
        let encoding = guarded(|| self.inner.encode_fast(text, add_special)).map_err(encode_fault)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Ids with what the tokenizer puts around every text, told by what it puts around a short one.
    fn framed(&self, ids: Vec<u32>) -> Result<Vec<u32>> {
        let (with, without) = (self.encode("a", true)?, self.encode("a", false)?);
        let at = with.windows(without.len().max(1)).position(|part| part == without);
        Ok(match at {
            Some(at) => [&with[..at], &ids, &with[at + without.len()..]].concat(),
            None => ids,
        })
    }

    /// Token ids of a text, nothing added, with the bytes of the text that each token stands for.
    ///
    /// # Errors
    /// As `encode`; a text of more than 4 MiB is refused.
    pub fn encode_with_offsets(&self, text: &str) -> Result<(Vec<u32>, Vec<ByteRange>)> {
        if text.len() > MAX_AT_ONCE {
            let reason = format!(
                "this conversation has {} bytes as text, and more than {} MiB are not tokenised at once; make several records of it",
                text.len(),
                MAX_AT_ONCE >> 20
            );
            return Err(Error::config("tokenizer.json", "", reason));
        }
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

    /// The text of each token; concatenated they give the whole text. A character that spans several tokens belongs to the last of them.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn token_texts(&self, ids: &[u32]) -> Result<Vec<String>> {
        let mut stream = self.stream(&[], false);
        let mut texts: Vec<String> = ids.iter().map(|id| stream.push(*id)).collect::<Result<_>>()?;
        let rest = stream.finish()?;
        if let Some(last) = texts.last_mut() {
            last.push_str(&rest);
        }
        Ok(texts)
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

    /// The token for what the vocabulary cannot express.
    pub fn unk(&self) -> Option<u32> {
        self.unk
    }

    /// All tokens at which generation stops, ascending.
    pub fn eos_ids(&self) -> &[u32] {
        &self.eos_ids
    }

    /// Whether a token is a special one (never part of a text).
    pub fn is_special(&self, id: u32) -> bool {
        self.special_ids.contains(&id)
    }

    /// Whether a token ends an answer: generation stops there, or it is the one that the chat template closes plain answers with.
    pub fn ends_turn(&self, id: u32) -> bool {
        self.eos_ids.contains(&id) || self.eos == Some(id) || self.end_of_turn() == Some(id)
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

    /// The tokens whose ids are `rows` or more, by id: an embedding of so many rows has none for them.
    pub fn tokens_from(&self, rows: u64) -> Vec<(u32, String)> {
        let mut beyond: Vec<(u32, String)> =
            self.inner.get_vocab(true).into_iter().map(|(token, id)| (id, token)).filter(|(id, _)| u64::from(*id) >= rows).collect();
        beyond.sort_unstable();
        beyond
    }

    /// Why no text can be expressed with it, if that is so: neither plain texts nor the texts of its own tokens.
    pub fn cannot_encode(&self) -> Option<String> {
        const TEXTS: [&str; 4] = ["In the morning the gardener went out to look at the trees.", "0 1 2 3", "Утром 朝 صباح", "a"];
        const OWN: usize = 200;
        let works = |text: &str| self.encode(text, false).is_ok_and(|ids| ids.iter().any(|id| Some(*id) != self.unk));
        if TEXTS.iter().any(|text| works(text)) {
            return None;
        }
        let step = (self.largest_id as usize / OWN).max(1);
        let mut own = (0..=self.largest_id).step_by(step).filter_map(|id| self.decode(&[id], true).ok()).filter(|text| !text.is_empty());
        if own.any(|text| works(&text)) {
            return None;
        }
        Some(match self.encode(TEXTS[0], false) {
            Err(Error::Config { reason, .. }) => reason,
            Err(other) => other.to_string(),
            Ok(ids) if ids.is_empty() => "it makes no token of any text".into(),
            Ok(_) => "it knows no word of any text, and gives the token for unknown ones".into(),
        })
    }

    /// What the user should be told about tokenizer.json, each a clause without the file's name.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The id of a token by its spelling in the vocabulary.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// A token's spelling in the vocabulary.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The first special token that the chat template writes after an answer; none where it writes plain text only, which training
    /// closes with the end-of-sequence token.
    pub fn end_of_turn(&self) -> Option<u32> {
        let messages = [Message::new("user", "?"), Message::new("assistant", MARK)];
        let rendered = self.template.render(&messages, false).ok()?;
        let (_, after) = rendered.rsplit_once(MARK)?;
        self.encode(after, false).ok()?.into_iter().find(|id| self.is_special(*id))
    }

    /// The chat template.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }
}

/// Calls the tokenizers library, which may panic where a stranger's file contradicts itself.
fn guarded<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    guard(call)?.map_err(|error| error.to_string())
}

fn encode_fault(reason: String) -> Error {
    Error::config("tokenizer.json", "model", format!("the tokenizer cannot express this text: {reason}"))
}
