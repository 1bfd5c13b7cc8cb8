//! How a record's JSON becomes a text or a conversation, by the layout of its file.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::answers::{Answers, pair, refuse_preferences};
use super::layout::{AlpacaColumns, EXPECTED, Layout, MessageColumns, kind_of, missing};
use super::record::{Content, Conversation};
use super::template::Message;
use super::tools::{number_calls, read_calls, read_function_call, read_tools};

/// Fields that say something about what is learned: where one stands in a record and is not read, the user is told.
const MEANT: [&str; 7] = ["system", "history", "tools", "input", "query", "reasoning_content", "weight"];

/// A record as it was read, and the fields with a meaning that its layout does not name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadContent {
    pub(super) content: Content,
    pub(super) unread: BTreeSet<&'static str>,
}

/// A text field; absent and null are None.
fn text_field(record: &Json, name: &str) -> Result<Option<String>, String> {
    match record.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(format!("\"{name}\" is {}, expected text", kind_of(other))),
    }
}

fn required_text(record: &Json, name: &str) -> Result<String, String> {
    text_field(record, name)?.ok_or_else(|| missing(record, name))
}

fn optional_text(record: &Json, name: Option<&String>) -> Result<Option<String>, String> {
    name.map_or(Ok(None), |name| text_field(record, name).map(|text| text.filter(|t| !t.is_empty())))
}

impl Layout {
    /// Reads one record.
    ///
    /// # Errors
    /// The reason, without the place.
    pub(super) fn read(&self, record: &Json) -> Result<ReadContent, String> {
        if !record.is_object() {
            return Err(format!("found {}, expected a record such as {EXPECTED}", kind_of(record)));
        }
        let content = match self {
            Layout::Text { column } => {
                let text = required_text(record, column)?;
                if text.is_empty() {
                    return Err(format!("\"{column}\" is empty; remove this record"));
                }
                return Ok(ReadContent { content: Content::Text(text), unread: BTreeSet::new() });
            }
            Layout::Alpaca(columns) => {
                refuse_preferences(record, &columns.answers)?;
                columns.read(record)?
            }
            Layout::Messages(columns) => {
                refuse_preferences(record, &columns.answers)?;
                columns.read(record)?
            }
        };
        refuse_media(record)?;
        let names = self.names();
        let says_something = |value: &Json| match value {
            Json::Null => false,
            Json::String(text) => !text.is_empty(),
            Json::Array(list) => !list.is_empty(),
            _ => true,
        };
        let unread = MEANT.into_iter().filter(|name| !names.contains(name) && record.get(*name).is_some_and(says_something)).collect();
        Ok(ReadContent { content, unread })
    }
}

fn refuse_media(record: &Json) -> Result<(), String> {
    let filled = |name: &&&str| match &record[**name] {
        Json::Array(list) => !list.is_empty(),
        Json::String(path) => !path.is_empty(),
        _ => false,
    };
    match ["images", "videos", "audios", "image", "video", "audio"].iter().find(filled) {
        Some(name) => Err(format!("the record has \"{name}\"; only text is trained")),
        None => Ok(()),
    }
}

impl AlpacaColumns {
    fn read(&self, record: &Json) -> Result<Content, String> {
        let mut messages = Vec::new();
        if let Some(system) = optional_text(record, self.system.as_ref())? {
            messages.push(Message::new("system", system));
        }
        let history = self.history.as_ref().map_or(&Json::Null, |name| &record[name.as_str()]);
        let turns = match history {
            Json::Null => &Vec::new(),
            Json::Array(turns) => turns,
            other => return Err(format!("the history is {}, expected a list of [question, answer]", kind_of(other))),
        };
        for turn in turns {
            match turn.as_array().map(Vec::as_slice) {
                Some([Json::String(question), Json::String(answer)]) => {
                    messages.push(Message::new("user", question));
                    messages.push(Message::new("assistant", answer));
                }
                _ => return Err("a turn of the history is not [question, answer] in texts".into()),
            }
        }
        let prompt = required_text(record, &self.prompt)?;
        let query = optional_text(record, self.query.as_ref())?;
        let parts: Vec<&str> = [Some(prompt.as_str()), query.as_deref()].into_iter().flatten().filter(|p| !p.is_empty()).collect();
        if parts.is_empty() {
            return Err(format!("the question (\"{}\") is empty", self.prompt));
        }
        messages.push(Message::new("user", parts.join("\n")));
        let tools = tools_of(record, self.tools.as_ref())?;
        if let Answers::Ranked { chosen, rejected } = &self.answers {
            let [preferred, other] = [chosen, rejected].map(|name| -> Result<Vec<Message>, String> {
                Ok([messages.clone(), vec![Message::new("assistant", required_text(record, name)?)]].concat())
            });
            return pair([chosen, rejected], [preferred?, other?], tools);
        }
        messages.push(Message::new("assistant", required_text(record, &self.response)?));
        self.answers.rate(record, checked(messages, tools)?)
    }
}

fn tools_of(record: &Json, name: Option<&String>) -> Result<Vec<Json>, String> {
    name.map_or(Ok(Vec::new()), |name| read_tools(name, &record[name.as_str()]))
}

impl MessageColumns {
    fn read(&self, record: &Json) -> Result<Content, String> {
        let tools = tools_of(record, self.tools.as_ref())?;
        let Answers::Ranked { chosen, rejected } = &self.answers else {
            return self.answers.rate(record, checked(self.list(record, &self.messages)?, tools)?);
        };
        let [preferred, other] = [chosen, rejected].map(|name| -> Result<Vec<Message>, String> {
            let of = |reason: String| format!("\"{name}\": {reason}");
            let answer = match record.get(name) {
                // The whole conversation with this answer.
                Some(Json::Array(list)) if list.len() > 1 => return self.list(record, name),
                Some(Json::Array(list)) => list.first().map_or(Err("the list is empty".into()), |one| self.message(one)).map_err(of)?,
                Some(message @ Json::Object(_)) => self.message(message).map_err(of)?,
                _ => Message::new("assistant", required_text(record, name)?),
            };
            let mut messages = self.list(record, &self.messages)?;
            messages.push(answer);
            number_calls(&mut messages);
            Ok(messages)
        });
        pair([chosen, rejected], [preferred?, other?], tools)
    }

    /// The messages of a field, the system message beside it included.
    fn list(&self, record: &Json, name: &str) -> Result<Vec<Message>, String> {
        let list = match record.get(name) {
            Some(Json::Array(list)) => list,
            Some(other) => return Err(format!("\"{name}\" is {}, expected a list of messages", kind_of(other))),
            None => return Err(missing(record, name)),
        };
        let mut messages = Vec::with_capacity(list.len() + 2);
        for (i, message) in list.iter().enumerate() {
            messages.push(self.message(message).map_err(|reason| format!("message {}: {reason}", i + 1))?);
        }
        // As in LLaMA-Factory, a system message among the others wins over the field beside them.
        let begins_with_system = messages.first().is_some_and(|message| message.role == "system");
        if let Some(system) = optional_text(record, self.system.as_ref())?.filter(|_| !begins_with_system) {
            messages.insert(0, Message::new("system", system));
        }
        number_calls(&mut messages);
        Ok(messages)
    }

    fn message(&self, json: &Json) -> Result<Message, String> {
        let tag = required_text(json, &self.role_tag)?;
        let role = self
            .role(&tag)
            .ok_or_else(|| format!("the role is '{tag}', expected {}, {} or {}", self.system_tag, self.user_tag, self.assistant_tag))?;
        let mut message = Message::new(role, "");
        let mut calls = read_calls(json.get("tool_calls").unwrap_or(&Json::Null))?;
        calls.extend(read_calls(json.get("function_call").unwrap_or(&Json::Null))?);
        match json.get(&self.content_tag) {
            Some(Json::Array(parts)) => read_parts(parts, &mut message, &mut calls)?,
            // An answer that is nothing but tool calls has no content in OpenAI's format.
            None | Some(Json::Null) if !calls.is_empty() => {}
            _ => message.content = required_text(json, &self.content_tag)?,
        }
        if tag == self.function_tag {
            let (thought, more) = read_function_call(&message.content)?;
            message.content = thought;
            calls.extend(more);
        }
        if !calls.is_empty() {
            if role != "assistant" {
                return Err(format!("tool calls in a message from {tag}; only the assistant calls tools"));
            }
            message.more.insert("tool_calls".into(), Json::Array(calls));
        }
        message.learned = weight(json, role)?;
        // Everything else is the chat template's, as in transformers: reasoning_content, name, tool_call_id …
        let known = [&self.role_tag, &self.content_tag].into_iter().map(String::as_str);
        let known: Vec<&str> = known.chain(["role", "content", "tool_calls", "function_call", "weight", "loss_weight"]).collect();
        for (name, value) in json.as_object().into_iter().flatten() {
            let says_something = !value.is_null() && value.as_str() != Some("");
            if !known.contains(&name.as_str()) && says_something {
                message.more.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        Ok(message)
    }

    fn role(&self, tag: &str) -> Option<&'static str> {
        let known = [
            (&self.user_tag, "user"),
            (&self.assistant_tag, "assistant"),
            (&self.system_tag, "system"),
            (&self.observation_tag, "tool"),
            (&self.function_tag, "assistant"),
        ];
        known.into_iter().find(|(t, _)| *t == tag).map(|(_, role)| role)
    }
}

/// Whether an answer is learned: OpenAI's `weight` and LLaMA-Factory's `loss_weight` switch that off with 0.
fn weight(message: &Json, role: &str) -> Result<bool, String> {
    let Some((name, value)) = ["weight", "loss_weight"].into_iter().find_map(|name| Some((name, message.get(name)?))) else {
        return Ok(true);
    };
    match (value.as_f64(), role) {
        (_, _) if value.is_null() => Ok(true),
        (Some(0.0), _) => Ok(false),
        (Some(1.0), "assistant") => Ok(true),
        (Some(1.0), _) => {
            Err(format!("\"{name}\": 1 on a message from {role}; answers alone are learned (train_on_prompt: true learns everything)"))
        }
        _ => Err(format!("\"{name}\" is {value}, expected 0 (not learned) or 1 (learned)")),
    }
}

/// OpenAI's content parts, and LLaMA-Factory's of version 1, as far as they are text.
fn read_parts(parts: &[Json], message: &mut Message, calls: &mut Vec<Json>) -> Result<(), String> {
    let mut reasoning = String::new();
    for part in parts {
        let kind = part["type"].as_str().unwrap_or("text");
        let text = part["text"].as_str().or_else(|| part["value"].as_str());
        match (kind, text) {
            ("text", Some(text)) => message.content.push_str(text),
            ("reasoning", Some(text)) => reasoning.push_str(text),
            ("tool_call", Some(text)) => {
                let call = serde_json::from_str::<Json>(text).map_err(|e| format!("a tool call is not JSON: {e}"))?;
                calls.extend(read_calls(&call)?);
            }
            (kind, _) => return Err(format!("a part is of type '{kind}'; only text is trained")),
        }
    }
    if !reasoning.is_empty() {
        message.more.insert("reasoning_content".into(), reasoning.into());
    }
    Ok(())
}

/// Whether a message holds something beside its content that the model may say.
fn says_more(more: &Map<String, Json>) -> bool {
    more.contains_key("tool_calls") || more.contains_key("reasoning_content")
}

/// Checks the order of roles, which templates and masks rely on.
pub(super) fn checked(messages: Vec<Message>, tools: Vec<Json>) -> Result<Conversation, String> {
    let turns = if messages.first().is_some_and(|m| m.role == "system") { &messages[1..] } else { &messages[..] };
    let offset = messages.len() - turns.len();
    let Some(last) = turns.last() else {
        return Err("the conversation is empty; expected a question and its answer".into());
    };
    let mut before = "";
    for (i, message) in turns.iter().enumerate() {
        let expected = match (before, message.role.as_str()) {
            ("" | "assistant", "user") | ("assistant" | "tool", "tool") | ("user" | "tool", "assistant") => None,
            ("" | "assistant", _) => Some("user"),
            _ => Some("assistant"),
        };
        if let Some(expected) = expected {
            return Err(format!(
                "message {} is from {}, expected {expected}: after an optional system message, user and assistant take turns",
                i + offset + 1,
                message.role
            ));
        }
        if message.role == "assistant" && message.content.trim().is_empty() && !says_more(&message.more) {
            return Err("the answer is empty: there is nothing to learn; write one, or remove this record".into());
        }
        before = &message.role;
    }
    if last.role != "assistant" {
        return Err(format!("the last message is from {}; a conversation must end with the answer to be learned", last.role));
    }
    if !turns.iter().any(|message| message.role == "assistant" && message.learned) {
        return Err("every answer has weight 0: there is nothing to learn; remove this record".into());
    }
    Ok(Conversation { messages, tools })
}
