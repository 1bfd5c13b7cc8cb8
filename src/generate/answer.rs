//! An answer that is written token by token, at the caller's pace.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value as Json;
use web_time::Instant;

use super::{Generator, Sampler, SamplingOptions};
use crate::data::{Conversation, Message, TextStream, Tokenizer};
use crate::error::{Error, Result};
use crate::model::ModelConfig;

/// What an answer should be like.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerOptions {
    /// How tokens are chosen.
    pub sampling: SamplingOptions,
    /// Most tokens of the answer.
    pub max_new_tokens: usize,
    /// Tokens that end it; see [`stop_ids`].
    pub stop_ids: BTreeSet<u32>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended it: a token of [`AnswerOptions::stop_ids`] came.
    Stop,
    /// It has `max_new_tokens`.
    Length,
    /// Prompt and answer fill the context.
    Context,
}

/// An answer that is being written.
pub struct Answer<'g> {
    generator: &'g mut Generator,
    sampler: Sampler,
    options: AnswerOptions,
    /// The prompt and the answer so far.
    ids: Vec<u32>,
    prompt_tokens: usize,
    /// Of the token that comes next.
    logits: Option<Vec<f32>>,
    finish: Option<FinishReason>,
    /// When the prompt was done.
    started: Instant,
}

impl Generator {
    /// Begins an answer to a prompt: computes the prompt.
    ///
    /// # Errors
    /// [`Error::Recipe`] for a prompt that is empty, leaves no room in the context or is of another vocabulary, and for sampling
    /// options out of range; [`Error::Gpu`] when the device failed.
    pub async fn answer(&mut self, prompt: &[u32], options: AnswerOptions) -> Result<Answer<'_>> {
        let sampler = Sampler::new(options.sampling.clone())?;
        if prompt.len() >= self.context() {
            let (tokens, context) = (prompt.len(), self.context());
            return Err(Error::recipe(
                "prompt",
                format!("it has {tokens} tokens, which leaves no room in a context of {context}; shorten it or ask for a longer context"),
            ));
        }
        self.clear_if_shared();
        let logits = self.next_logits(prompt).await?;
        Ok(Answer {
            generator: self,
            sampler,
            options,
            ids: prompt.to_vec(),
            prompt_tokens: prompt.len(),
            logits: Some(logits),
            finish: None,
            started: Instant::now(),
        })
    }
}

impl<'g> Answer<'g> {
    /// The next token; `None` when the answer has ended (the token that ended it is not given).
    ///
    /// # Errors
    /// [`Error::NotFinite`] when the model's logits are no numbers, [`Error::Gpu`] when the device failed.
    pub async fn next_token(&mut self) -> Result<Option<u32>> {
        if self.finish.is_none() {
            if self.tokens().len() >= self.options.max_new_tokens {
                self.finish = Some(FinishReason::Length);
            } else if self.ids.len() >= self.generator.context() {
                self.finish = Some(FinishReason::Context);
            }
        }
        if self.finish.is_some() {
            return Ok(None);
        }
        let logits = match self.logits.take() {
            Some(logits) => logits,
            None => self.generator.next_logits(&self.ids).await?,
        };
        let id = self.sampler.next(&logits, &self.ids)?;
        if self.options.stop_ids.contains(&id) {
            self.finish = Some(FinishReason::Stop);
            return Ok(None);
        }
        self.ids.push(id);
        Ok(Some(id))
    }

    /// The answer's tokens so far.
    pub fn tokens(&self) -> &[u32] {
        &self.ids[self.prompt_tokens..]
    }

    /// Tokens of the prompt.
    pub fn prompt_tokens(&self) -> usize {
        self.prompt_tokens
    }

    /// Why it ended; `None` while it goes on.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finish
    }

    /// Tokens of the answer a second since the prompt was done.
    pub fn tokens_per_second(&self) -> f64 {
        self.tokens().len() as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// The answer as text that grows. `skip_special` leaves tokens out that are never part of a text.
    pub fn text<'t>(self, tokenizer: &'t Tokenizer, skip_special: bool) -> TextAnswer<'g, 't> {
        let stream = tokenizer.stream(&self.ids, skip_special);
        TextAnswer { answer: self, stream: Some(stream) }
    }
}

/// An answer as text: [`TextAnswer::next_text`] gives it token by token, never a part of a character.
pub struct TextAnswer<'g, 't> {
    answer: Answer<'g>,
    /// Gone once the end was given.
    stream: Option<TextStream<'t>>,
}

impl<'g> TextAnswer<'g, '_> {
    /// The text that the next token completes; empty while a character's bytes are incomplete, so that the caller can stop at any token.
    /// `None` at the end.
    ///
    /// # Errors
    /// As [`Answer::next_token`]; [`Error::Config`] when the tokenizer's decoder fails.
    pub async fn next_text(&mut self) -> Result<Option<String>> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        match self.answer.next_token().await? {
            Some(id) => stream.push(id).map(Some),
            None => {
                let rest = self.rest()?;
                Ok(if rest.is_empty() { None } else { Some(rest) })
            }
        }
    }

    /// What is left of an answer that is not continued: bytes of a character that did not come to its end.
    ///
    /// # Errors
    /// [`Error::Config`] when the tokenizer's decoder fails.
    pub fn rest(&mut self) -> Result<String> {
        self.stream.take().map_or_else(|| Ok(String::new()), TextStream::finish)
    }

    /// The answer's tokens, its end and its speed.
    pub fn answer(&self) -> &Answer<'g> {
        &self.answer
    }
}

/// The tokens that end an answer: the end-of-sequence tokens of the configurations and of the tokenizer, and the one that the chat
/// template closes an answer with.
pub fn stop_ids(config: &ModelConfig, tokenizer: &Tokenizer) -> BTreeSet<u32> {
    let ids = config.eos_token_ids.iter().chain(tokenizer.eos_ids()).copied();
    ids.chain(tokenizer.eos()).chain(tokenizer.end_of_turn()).collect()
}

/// The tokens of a conversation, ready for the model's answer.
///
/// # Errors
/// [`Error::Config`] with the template's own words when it refuses the conversation.
pub fn chat_prompt(tokenizer: &Tokenizer, messages: &[Message]) -> Result<Vec<u32>> {
    tokenizer.encode(&tokenizer.template().render(messages, true)?, false)
}

/// The tokens of a conversation with tools, as a program asked for its answer. `variables` are what the chat template may read beside it,
/// such as `enable_thinking`.
///
/// # Errors
/// As [`chat_prompt`]; [`Error::Recipe`] for what the template would leave out.
pub fn request_prompt(tokenizer: &Tokenizer, conversation: &Conversation, variables: &[(String, Json)]) -> Result<Vec<u32>> {
    let left_out = tokenizer.template().left_out(conversation);
    if !left_out.is_empty() {
        let reason = format!("the model's chat template does not write {}, so the model would not see it", left_out.join(" and "));
        return Err(Error::recipe(if conversation.tools.is_empty() { "messages" } else { "tools" }, reason));
    }
    tokenizer.encode(&tokenizer.template().render_conversation(conversation, variables)?, false)
}

/// The tokens of a text that the model continues, with those that the tokenizer begins a text with. An empty text is the beginning
/// of one where the tokenizer has a token for that.
///
/// # Errors
/// [`Error::Config`] when the tokenizer cannot express the text.
pub fn text_prompt(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    let ids = tokenizer.encode(text, true)?;
    Ok(if ids.is_empty() { tokenizer.bos().or(tokenizer.eos()).into_iter().collect() } else { ids })
}
