//! A loaded model that answers messages and continues texts.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::data::{Message, Tokenizer};
use crate::error::Result;
use crate::generate::{AnswerOptions, Generator, SamplingOptions, TextAnswer, chat_prompt, stop_ids, text_prompt};

/// A generator with the tokenizer and the end-of-answer tokens that belong to it.
pub struct Responder {
    /// The model on the GPU.
    pub generator: Generator,
    /// Its tokenizer.
    pub tokenizer: Rc<Tokenizer>,
    /// Tokens that end an answer.
    pub stop_ids: BTreeSet<u32>,
}

/// A conversation cut to what the context holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted {
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// How many of the oldest messages were left out.
    pub forgotten: usize,
}

impl Responder {
    /// Puts a generator and its tokenizer together.
    pub fn new(generator: Generator, tokenizer: Rc<Tokenizer>) -> Responder {
        let stop_ids = stop_ids(generator.config(), &tokenizer);
        Responder { generator, tokenizer, stop_ids }
    }

    /// The tokens of a conversation, ready for the answer. Its oldest turns (a question and its answer) are left out while they would
    /// leave no room for an answer of `max_new_tokens` (or a quarter of the context, if that is less); a system message and the last
    /// question stay.
    ///
    /// # Errors
    /// [`crate::Error::Config`] with the template's own words when it refuses the conversation.
    pub fn fit(&self, messages: &[Message], max_new_tokens: usize) -> Result<Fitted> {
        let room = max_new_tokens.min(self.generator.context() / 4).max(1);
        let first = usize::from(messages.first().is_some_and(|message| message.role == "system"));
        let mut messages = messages.to_vec();
        let mut forgotten = 0;
        loop {
            let prompt = chat_prompt(&self.tokenizer, &messages)?;
            if prompt.len() + room <= self.generator.context() || messages.len() < first + 3 {
                return Ok(Fitted { prompt, forgotten });
            }
            messages.drain(first..first + 2);
            forgotten += 2;
        }
    }

    /// Begins an answer to a prompt's tokens, as text that grows.
    ///
    /// # Errors
    /// As [`Generator::answer`].
    pub async fn begin(&mut self, prompt: &[u32], sampling: SamplingOptions, max_new_tokens: usize) -> Result<TextAnswer<'_, '_>> {
        let options = AnswerOptions { sampling, max_new_tokens, stop_ids: self.stop_ids.clone() };
        Ok(self.generator.answer(prompt, options).await?.text(&self.tokenizer, true))
    }

    /// The whole answer to a conversation.
    ///
    /// # Errors
    /// As [`Responder::fit`] and [`Generator::answer`].
    pub async fn respond(&mut self, messages: &[Message], sampling: SamplingOptions, max_new_tokens: usize) -> Result<String> {
        let Fitted { prompt, .. } = self.fit(messages, max_new_tokens)?;
        self.collect(&prompt, sampling, max_new_tokens).await
    }

    /// The whole continuation of a text.
    ///
    /// # Errors
    /// As [`Generator::answer`].
    pub async fn complete(&mut self, text: &str, sampling: SamplingOptions, max_new_tokens: usize) -> Result<String> {
        let prompt = text_prompt(&self.tokenizer, text)?;
        self.collect(&prompt, sampling, max_new_tokens).await
    }

    async fn collect(&mut self, prompt: &[u32], sampling: SamplingOptions, max_new_tokens: usize) -> Result<String> {
        let mut answer = self.begin(prompt, sampling, max_new_tokens).await?;
        let mut text = String::new();
        while let Some(piece) = answer.next_text().await? {
            text.push_str(&piece);
        }
        Ok(text)
    }
}
