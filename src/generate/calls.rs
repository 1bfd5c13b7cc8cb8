//! Calls of tools in an answer that comes piece by piece: `<tool_call>` blocks (Qwen, SmolLM3, Hermes), or an answer that is JSON as a
//! whole (Llama 3, Mistral).

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::stops::beginning_at_end;
use crate::data::read_tool_calls;

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

/// Parts an answer into its text and the tools that it calls.
#[derive(Debug, Clone, Default)]
pub struct CallReader {
    /// The names of the tools that may be called; without any, everything is text.
    names: BTreeSet<String>,
    /// What may be a call.
    held: String,
    /// Whether anything but white space was given on.
    begun: bool,
}

impl CallReader {
    /// For these tools, as [`crate::data::Conversation`] has them.
    pub fn new(tools: &[Json]) -> CallReader {
        let name = |tool: &Json| tool["function"]["name"].as_str().map(str::to_string);
        CallReader { names: tools.iter().filter_map(name).collect(), ..CallReader::default() }
    }

    /// Takes the next piece; gives the text that is certain to be no call.
    pub fn push(&mut self, piece: &str) -> String {
        if self.names.is_empty() {
            return piece.to_string();
        }
        self.held.push_str(piece);
        let words = self.held.trim_start();
        if !self.begun && (words.is_empty() || words.starts_with(['{', '['])) {
            return String::new();
        }
        let keep = match self.held.find(OPEN) {
            Some(at) => self.held.len() - at,
            None => beginning_at_end(&self.held, &[OPEN]),
        };
        let rest = self.held.split_off(self.held.len() - keep);
        let text = std::mem::replace(&mut self.held, rest);
        self.begun |= !text.trim().is_empty();
        text
    }

    /// The rest when no more text comes: text, and the calls in OpenAI's form with the arguments as an object. What cannot be read as calls
    /// of the tools is text.
    pub fn finish(&mut self) -> (String, Vec<Json>) {
        let held = std::mem::take(&mut self.held);
        match self.calls(&held) {
            Some((text, calls)) if !calls.is_empty() => (text, calls),
            _ => (held, Vec::new()),
        }
    }

    fn calls(&self, held: &str) -> Option<(String, Vec<Json>)> {
        if self.names.is_empty() {
            return None;
        }
        if !held.starts_with(OPEN) {
            return Some((String::new(), self.read(held.trim())?));
        }
        let (mut text, mut calls, mut rest) = (String::new(), Vec::new(), held);
        while let Some((before, block)) = rest.split_once(OPEN) {
            // A model may end its turn right behind the call, without closing it.
            let (call, after) = block.split_once(CLOSE).unwrap_or((block, ""));
            text.push_str(before);
            calls.extend(self.read(call.trim())?);
            rest = after;
        }
        text.push_str(rest);
        Some((text.trim().to_string(), calls))
    }

    fn read(&self, json: &str) -> Option<Vec<Json>> {
        let calls = read_tool_calls(&serde_json::from_str(json).ok()?).ok()?;
        let known = |call: &Json| call["function"]["name"].as_str().is_some_and(|name| self.names.contains(name));
        calls.iter().all(known).then_some(calls)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> (String, Vec<String>) {
        let tools = [json!({"type": "function", "function": {"name": "water"}})];
        // In pieces of one character, and at once.
        let through = |pieces: &[String]| {
            let mut reader = CallReader::new(&tools);
            let mut out: String = pieces.iter().map(|piece| reader.push(piece)).collect();
            let (rest, calls) = reader.finish();
            out += &rest;
            (out, calls.iter().map(|call| call["function"]["arguments"].to_string()).collect::<Vec<_>>())
        };
        let pieces: Vec<String> = text.chars().map(String::from).collect();
        let (small, whole) = (through(&pieces), through(&[text.to_string()]));
        assert_eq!(small, whole);
        whole
    }

    #[test]
    fn calls_are_told_from_text() {
        let call = r#"{"name": "water", "arguments": {"tree": "pear"}}"#;
        let arguments = vec![r#"{"tree":"pear"}"#.to_string()];
        assert_eq!(read("The pear is dry."), ("The pear is dry.".into(), vec![]));
        assert_eq!(read(call), (String::new(), arguments.clone()));
        assert_eq!(read(&format!(" [{call}]")), (String::new(), arguments.clone()));
        assert_eq!(read(&format!("<tool_call>\n{call}\n</tool_call>")), (String::new(), arguments.clone()));
        assert_eq!(read(&format!("I will.\n<tool_call>\n{call}")), ("I will.\n".into(), arguments.clone()));
        let two = format!("<tool_call>{call}</tool_call>\n<tool_call>{call}</tool_call>");
        assert_eq!(read(&two), (String::new(), [arguments.clone(), arguments].concat()));
        // Not a tool of the request, not JSON, no call at all: it stays text.
        for text in [r#"{"name": "fell", "arguments": {}}"#, "{ a set }", "<tool_call>nonsense</tool_call>", "a <tool", "[1, 2]", "  ", ""]
        {
            assert_eq!(read(text), (text.into(), vec![]), "{text}");
        }
    }
}
