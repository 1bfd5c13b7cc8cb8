//! Chat templates by LLaMA-Factory's names (`template: qwen` in a recipe): the tokens and labels that it makes of a conversation.
//!
//! Its templates are pieces of text that are tokenised one by one, so that the tokens at their seams are others than those of a text
//! that is rendered whole. templates.json holds the declarations; scripts/fixtures/make_templates.py writes it.

mod jinja;
mod tools;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use fancy_regex::{NoExpand, Regex};
use serde::Deserialize;

use super::conversation::{Earlier, Opening, Turn, Turns};
use super::record::Conversation;
use super::template::Message;
use super::tokenizer::Tokenizer;
use crate::error::{Error, Result};

pub(super) use self::tools::ToolFormat;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Slot {
    /// Text, in which `{{content}}` stands for the message.
    Text(String),
    /// The tokenizer's own `bos_token` or `eos_token`.
    Special { special: String },
    /// A token by its spelling.
    Token { token: String },
}

/// How a template treats system messages and thoughts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Class {
    Plain,
    /// The system message stands in the first question.
    SystemInQuestion,
    /// Answers begin with a thought, which may be empty.
    Reasoning,
}

/// A template's declaration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Declaration {
    class: Class,
    prefix: Vec<Slot>,
    system: Vec<Slot>,
    user: Vec<Slot>,
    assistant: Vec<Slot>,
    function: Vec<Slot>,
    observation: Vec<Slot>,
    tool_format: Option<ToolFormat>,
    default_system: String,
    stop_words: Vec<String>,
    thought_words: (String, String),
    efficient_eos: bool,
    replace_eos: bool,
    replace_jinja_template: bool,
}

fn declarations() -> &'static BTreeMap<String, Declaration> {
    static DECLARATIONS: OnceLock<BTreeMap<String, Declaration>> = OnceLock::new();
    DECLARATIONS.get_or_init(|| serde_json::from_str(include_str!("templates.json")).expect("the file is committed; a test reads it"))
}

/// What a recipe says about the template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateChoice {
    /// LLaMA-Factory's name; without, the checkpoint's own template is used.
    pub name: Option<String>,
    /// How tools are written, by LLaMA-Factory's name, where the template's own way is not wanted.
    pub tool_format: Option<String>,
    /// The system message of conversations that have none.
    pub default_system: Option<String>,
    /// Whether the model thinks before it answers, if the recipe says so.
    pub enable_thinking: Option<bool>,
    /// Whether thoughts of earlier answers stay where only the last answer is learned.
    pub preserve_thinking: bool,
}

/// A template of LLaMA-Factory's, ready for a tokenizer.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) name: Arc<str>,
    declaration: Declaration,
    enable_thinking: bool,
    preserve_thinking: bool,
    /// The date that llama3's tools are told.
    now: i64,
}

impl Named {
    /// Looks a template up.
    ///
    /// # Errors
    /// [`Error::Recipe`] naming the nearest one.
    pub(super) fn of(choice: &TemplateChoice, name: &str, now: i64) -> Result<Named> {
        let Some(declaration) = declarations().get(name) else {
            let nearest = declarations().keys().map(|known| (strsim::jaro_winkler(known, name), known)).max_by(|a, b| a.0.total_cmp(&b.0));
            let hint = nearest.filter(|(score, _)| *score > 0.85).map(|(_, near)| format!("did you mean {near}? ")).unwrap_or_default();
            return Err(Error::recipe(
                "template",
                format!(
                    "there is no template {name} here; {hint}Leave it out to use the checkpoint's own, or choose one that docs/datasets.md lists"
                ),
            ));
        };
        let mut declaration = declaration.clone();
        if let Some(format) = &choice.tool_format {
            declaration.tool_format = Some(ToolFormat::named(format)?);
            // As LLaMA-Factory: a call ends like any answer of the default template then.
            let content = Slot::Text("{{content}}".into());
            let eos = Slot::Special { special: "eos_token".into() };
            declaration.function = if declaration.efficient_eos { vec![content] } else { vec![content, eos] };
        }
        if let Some(system) = &choice.default_system {
            declaration.default_system.clone_from(system);
        }
        Ok(Named {
            name: name.into(),
            declaration,
            enable_thinking: choice.enable_thinking.unwrap_or(true),
            preserve_thinking: choice.preserve_thinking,
            now,
        })
    }

    /// The names of all templates.
    #[cfg(test)]
    fn names() -> impl Iterator<Item = &'static str> {
        declarations().keys().map(String::as_str)
    }

    /// The token that ends texts in the tokenizer's place, if the template replaces it.
    pub(super) fn replaced_eos(&self) -> Option<&str> {
        self.declaration.stop_words.first().filter(|_| self.declaration.replace_eos).map(String::as_str)
    }

    /// What ends a turn.
    pub(super) fn stop_words(&self) -> impl Iterator<Item = &str> {
        self.declaration.stop_words.iter().map(String::as_str)
    }

    /// Whether the template is written into the result also where the checkpoint has one of its own.
    pub(super) fn replaces_own(&self) -> bool {
        self.declaration.replace_jinja_template
    }

    /// The tokens that the template writes and that must be single ones.
    pub(super) fn needed_tokens(&self) -> impl Iterator<Item = &str> {
        let d = &self.declaration;
        let slots = [&d.prefix, &d.system, &d.user, &d.assistant, &d.observation].into_iter().flatten();
        let texts: Vec<&str> =
            slots.clone().filter_map(|slot| if let Slot::Text(text) = slot { Some(text.as_str()) } else { None }).collect();
        let written = d.stop_words.iter().filter(move |word| texts.iter().any(|text| text.contains(word.as_str())));
        let tokens = slots.filter_map(|slot| if let Slot::Token { token } = slot { Some(token.as_str()) } else { None });
        written.map(String::as_str).chain(tokens).chain(self.replaced_eos())
    }

    /// Whether every token but those of answers may be learned (`train_on_prompt`).
    ///
    /// # Errors
    /// [`Error::Recipe`] if not.
    pub(super) fn check_train_on_prompt(&self) -> Result<()> {
        if !self.declaration.efficient_eos {
            return Ok(());
        }
        let reason = format!(
            "the template {} learns the end of an answer in the place of the next question, so prompts cannot be learned",
            self.name
        );
        Err(Error::recipe("train_on_prompt", reason))
    }

    /// The turns of a conversation as LLaMA-Factory makes them.
    ///
    /// # Errors
    /// [`Error::Config`] for tools that the template cannot write, and what the tokenizer fails with.
    pub(super) fn encode(&self, tokenizer: &Tokenizer, conversation: &Conversation, earlier: Earlier) -> Result<Turns> {
        let pieces = self.pieces(tokenizer, conversation, earlier)?;
        let pieces = pieces.iter().map(|bits| ids(bits, tokenizer)).collect::<Result<Vec<_>>>()?;
        let eos = tokenizer.eos().filter(|_| self.declaration.efficient_eos);
        let opening = eos.map_or(Opening::Nothing, Opening::UnlessFirst);
        let learned = conversation.messages.iter().filter(|message| message.role == "assistant").map(|message| message.learned);
        let turns = pieces.chunks_exact(2).zip(learned);
        let turns = turns.map(|(pair, learned)| Turn { source: pair[0].clone(), target: pair[1].clone(), learned, opening });
        Ok(Turns { turns: turns.collect(), eos })
    }

    /// The conversation as text, to compare it with another template's.
    pub(super) fn text(&self, tokenizer: &Tokenizer, conversation: &Conversation) -> Result<String> {
        let pieces = self.pieces(tokenizer, conversation, Earlier::Learned)?;
        let bits = pieces.into_iter().flatten();
        let text = |bit| match bit {
            Bit::Text(text) => text,
            Bit::Id(id) => tokenizer.id_to_token(id).unwrap_or_default(),
        };
        Ok(bits.map(text).collect())
    }

    /// The bits of each message.
    fn pieces(&self, tokenizer: &Tokenizer, conversation: &Conversation, earlier: Earlier) -> Result<Vec<Vec<Bit>>> {
        let d = &self.declaration;
        let (system, messages) = match conversation.messages.split_first() {
            Some((first, rest)) if first.role == "system" => (first.content.as_str(), rest),
            _ => ("", conversation.messages.as_slice()),
        };
        let system = if system.is_empty() { d.default_system.as_str() } else { system };
        let tools = match (conversation.tools.is_empty(), d.tool_format) {
            (true, _) => String::new(),
            (false, Some(format)) => format.tools(&conversation.tools, self.now)?,
            (false, None) => return Err(self.fault("writes no tools; name a tool_format (default, glm4, llama3, mistral or qwen)")),
        };
        let mut messages = self.as_pairs(messages)?;
        self.cut_thoughts(&mut messages, earlier)?;

        let mut pieces: Vec<Vec<Bit>> = Vec::with_capacity(messages.len());
        for (i, (kind, content)) in messages.iter().enumerate() {
            let mut bits = Vec::new();
            let mut before = String::new();
            if i == 0 {
                put(&d.prefix, "", tokenizer, &mut bits);
                if !(system.is_empty() && tools.is_empty()) {
                    let text = format!("{system}{tools}");
                    match d.class {
                        Class::SystemInQuestion => before = d.system.first().map(|slot| slot.with(&text)).unwrap_or_default(),
                        Class::Plain | Class::Reasoning => put(&d.system, &text, tokenizer, &mut bits),
                    }
                }
            }
            let slots = match kind {
                Kind::User => &d.user,
                Kind::Assistant => &d.assistant,
                Kind::Function => &d.function,
                Kind::Observation => &d.observation,
            };
            let text = if *kind == Kind::User { format!("{before}{content}") } else { content.clone() };
            put(slots, &text, tokenizer, &mut bits);
            pieces.push(bits);
        }
        self.add_empty_thoughts(&messages, &mut pieces, earlier);
        Ok(pieces)
    }

    fn fault(&self, reason: &str) -> Error {
        Error::config("chat template", "template", format!("the template {} {reason}", self.name))
    }

    /// Questions and answers in turns: calls as one text, the results of several calls as one message.
    fn as_pairs(&self, messages: &[Message]) -> Result<Vec<(Kind, String)>> {
        let d = &self.declaration;
        let mut pairs: Vec<(Kind, String)> = Vec::with_capacity(messages.len());
        for message in messages {
            let mut content = message.content.clone();
            if let Some(reasoning) = message.more.get("reasoning_content").and_then(|value| value.as_str()) {
                content = format!("{}{}{}{content}", d.thought_words.0, reasoning.trim_matches('\n'), d.thought_words.1);
            }
            let calls = message.tool_calls();
            match message.role.as_str() {
                "user" => pairs.push((Kind::User, content)),
                "tool" => match pairs.last_mut() {
                    Some((Kind::Observation, earlier)) => {
                        earlier.push_str("\n</tool_response>\n<tool_response>\n");
                        earlier.push_str(&content);
                    }
                    _ => pairs.push((Kind::Observation, content)),
                },
                _ if calls.is_empty() => pairs.push((Kind::Assistant, content)),
                _ => {
                    let format = d.tool_format.ok_or_else(|| self.fault("writes no tool calls; name a tool_format"))?;
                    pairs.push((Kind::Function, format!("{content}{}", format.calls(calls)?)));
                }
            }
        }
        Ok(pairs)
    }

    /// Leaves thoughts out of answers where they are not wanted.
    fn cut_thoughts(&self, messages: &mut [(Kind, String)], earlier: Earlier) -> Result<()> {
        let d = &self.declaration;
        if d.class != Class::Reasoning {
            return Ok(());
        }
        let pattern = format!("(?s){}(.*?){}", fancy_regex::escape(&d.thought_words.0), fancy_regex::escape(&d.thought_words.1));
        let pattern = Regex::new(&pattern).map_err(|e| self.fault(&e.to_string()))?;
        let last = messages.len().saturating_sub(1);
        let discards = earlier != Earlier::Learned && !self.preserve_thinking;
        for (i, (_, content)) in messages.iter_mut().enumerate().skip(1).step_by(2) {
            if !self.enable_thinking || discards && i < last {
                *content = pattern.replace_all(content, NoExpand("")).trim_start_matches('\n').to_string();
            }
        }
        Ok(())
    }

    /// Puts an empty thought before answers without one: as part of the answer where the model thinks, else as part of the prompt.
    fn add_empty_thoughts(&self, messages: &[(Kind, String)], pieces: &mut [Vec<Bit>], earlier: Earlier) {
        let (open, close) = &self.declaration.thought_words;
        if self.declaration.class != Class::Reasoning {
            return;
        }
        let last_alone = match earlier {
            Earlier::Learned => false,
            Earlier::Masked => !self.preserve_thinking,
            Earlier::Prompt => true,
        };
        let first = if last_alone { messages.len().saturating_sub(2) } else { 0 };
        for i in (first..messages.len().saturating_sub(1)).step_by(2) {
            let answer = &messages[i + 1].1;
            if answer.contains(open.trim()) || answer.contains(close.trim()) {
                continue;
            }
            let empty = Bit::Text(format!("{open}{close}"));
            if self.enable_thinking { pieces[i + 1].insert(0, empty) } else { pieces[i].push(empty) }
        }
    }
}

/// What is tokenised on its own, or a token.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Bit {
    Text(String),
    Id(u32),
}

fn put(slots: &[Slot], content: &str, tokenizer: &Tokenizer, bits: &mut Vec<Bit>) {
    for slot in slots {
        match slot {
            Slot::Text(_) => bits.push(Bit::Text(slot.with(content))),
            Slot::Special { special } if special == "bos_token" => bits.extend(tokenizer.bos().map(Bit::Id)),
            Slot::Special { .. } => bits.extend(tokenizer.eos().map(Bit::Id)),
            Slot::Token { token } => bits.extend(tokenizer.token_to_id(token).map(Bit::Id)),
        }
    }
}

fn ids(bits: &[Bit], tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    for bit in bits {
        match bit {
            Bit::Text(text) if text.is_empty() => {}
            Bit::Text(text) => ids.extend(tokenizer.encode(text, false)?),
            Bit::Id(id) => ids.push(*id),
        }
    }
    Ok(ids)
}

/// Whose message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Assistant,
    Function,
    Observation,
}

impl Slot {
    /// The text with a message in its place.
    fn with(&self, content: &str) -> String {
        match self {
            Slot::Text(text) => text.replacen("{{content}}", content, 1),
            Slot::Special { .. } | Slot::Token { .. } => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_on_datasets_lists_every_template() {
        let page = include_str!("../../../docs/datasets.md");
        let missing: Vec<&str> = Named::names().filter(|name| !page.contains(&format!("`{name}`"))).collect();
        assert!(missing.is_empty(), "docs/datasets.md lacks {missing:?}");
    }

    #[test]
    fn every_declaration_is_read_and_an_unknown_name_is_answered() {
        assert!(Named::names().count() > 60);
        for name in [
            "default",
            "empty",
            "alpaca",
            "vicuna",
            "chatml",
            "llama2",
            "llama3",
            "mistral",
            "gemma",
            "gemma3",
            "phi",
            "phi4",
            "qwen",
            "qwen3",
            "qwen3_nothink",
            "smollm2",
            "deepseek",
            "granite3",
        ] {
            assert!(Named::of(&TemplateChoice::default(), name, 0).is_ok(), "{name}");
        }
        let error = Named::of(&TemplateChoice::default(), "quen3", 0).expect_err("no such template").to_string();
        assert!(error.contains("did you mean qwen3?"), "{error}");
        let choice = TemplateChoice { tool_format: Some("xml".into()), ..Default::default() };
        assert!(Named::of(&choice, "qwen", 0).expect_err("no such format").to_string().contains("default, glm4, llama3, mistral, qwen"));
    }
}
