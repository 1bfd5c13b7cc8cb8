//! A record of a dataset: a text or a conversation, and where it stood.

use std::sync::Arc;

use serde_json::Value as Json;

use super::template::Message;

/// One record of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it holds.
    pub content: Content,
    /// The file it came from, for messages.
    pub path: Arc<str>,
    /// Its first line in that file, from 1; in a table without lines (parquet) its row.
    pub line: usize,
}

/// What a record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// A conversation.
    Conversation(Conversation),
    /// A conversation that ends with the preferred answer, and one that ends with the rejected answer to the same.
    Pair(Conversation, Conversation),
    /// A conversation whose last answer is good (true) or bad.
    Rated(Conversation, bool),
}

impl Content {
    /// The conversation that it is: of a pair, the one that ends with the preferred answer.
    pub fn conversation(&self) -> Option<&Conversation> {
        match self {
            Content::Text(_) => None,
            Content::Conversation(conversation) | Content::Pair(conversation, _) | Content::Rated(conversation, _) => Some(conversation),
        }
    }
}

/// Perhaps a system message, then user (or tools) and assistant in turns, the assistant last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversation {
    /// The turns.
    pub messages: Vec<Message>,
    /// The tools that the assistant may call, each `{"type": "function", "function": {…}}`.
    pub tools: Vec<Json>,
}

impl From<Vec<Message>> for Conversation {
    fn from(messages: Vec<Message>) -> Conversation {
        Conversation { messages, tools: Vec::new() }
    }
}
