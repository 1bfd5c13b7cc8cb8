//! Decoding token by token: text is shown as soon as its characters are whole.

use super::Tokenizer;
use crate::error::Result;

/// Text that grows token by token and shows only whole characters.
#[derive(Debug)]
pub struct TextStream<'a> {
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) skip_special: bool,
    /// A few tokens that were shown already, then those that were not.
    pub(super) ids: Vec<u32>,
    /// How many of `ids` were shown.
    pub(super) read: usize,
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
        // one and begins another: what is still U+FFFD then is part of the text.
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
        // If a decoder rewrites the text before, the new tokens are decoded on their own.
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
