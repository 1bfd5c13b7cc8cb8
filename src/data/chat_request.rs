//! The messages and tools of a request in OpenAI's form, as a conversation.

use serde_json::{Map, Value as Json};

use super::layout::kind_of;
use super::record::Conversation;
use super::template::Message;
use super::tools::{number_calls, read_calls, read_tools};
use crate::error::{Error, Result};

impl Conversation {
    /// Reads `messages` and `tools` of a chat completion's request. It ends with whatever message is to be answered.
    ///
    /// # Errors
    /// [`Error::Recipe`] whose key is the place, such as `messages[2].content`.
    pub fn of_request(messages: &Json, tools: &Json) -> Result<Conversation> {
        let Some(list) = messages.as_array() else {
            return Err(Error::recipe("messages", format!("it is {}, expected a list of messages", kind_of(messages))));
        };
        if list.is_empty() {
            return Err(Error::recipe("messages", "it is empty; give at least one message"));
        }
        let read = |(i, message): (usize, &Json)| {
            read_message(message).map_err(|(field, reason)| {
                let dot = if field.is_empty() { "" } else { "." };
                Error::recipe(format!("messages[{i}]{dot}{field}"), reason)
            })
        };
        let mut messages = list.iter().enumerate().map(read).collect::<Result<Vec<Message>>>()?;
        number_calls(&mut messages);
        let tools = read_tools("tools", tools).map_err(|reason| Error::recipe("tools", reason))?;
        Ok(Conversation { messages, tools })
    }
}

/// A field, empty for the message itself, and what is wrong with it.
type Fault = (&'static str, String);

fn read_message(message: &Json) -> Result<Message, Fault> {
    let Json::Object(fields) = message else {
        return Err(("", format!("it is {}, expected {{\"role\": …, \"content\": …}}", kind_of(message))));
    };
    let role = match fields.get("role").and_then(Json::as_str) {
        Some("developer") => "system",
        Some(role @ ("system" | "user" | "assistant" | "tool")) => role,
        Some(other) => return Err(("role", format!("there is no role \"{other}\"; expected system, user, assistant or tool"))),
        None => return Err(("role", "it is missing; expected system, user, assistant or tool".into())),
    };
    let calls = read_calls(fields.get("tool_calls").unwrap_or(&Json::Null)).map_err(|reason| ("tool_calls", reason))?;
    let content = match fields.get("content").unwrap_or(&Json::Null) {
        Json::Null if role == "assistant" && !calls.is_empty() => String::new(),
        Json::String(text) => text.clone(),
        Json::Array(parts) => parts.iter().map(read_part).collect::<Result<Vec<&str>, Fault>>()?.concat(),
        Json::Null => return Err(("content", "it is missing".into())),
        other => return Err(("content", format!("it is {}, expected text", kind_of(other)))),
    };
    let mut more = Map::new();
    if !calls.is_empty() {
        more.insert("tool_calls".into(), Json::Array(calls));
    }
    for name in ["tool_call_id", "name", "reasoning_content"] {
        match fields.get(name) {
            None | Some(Json::Null) => {}
            // A person's name, which templates do not write; of a tool's result they may.
            Some(Json::String(_)) if name == "name" && role != "tool" => {}
            Some(text @ Json::String(_)) => drop(more.insert(name.into(), text.clone())),
            Some(other) => return Err((name, format!("it is {}, expected text", kind_of(other)))),
        }
    }
    Ok(Message { more, ..Message::new(role, content) })
}

fn read_part(part: &Json) -> Result<&str, Fault> {
    match part["type"].as_str() {
        Some("text") => part["text"].as_str().ok_or_else(|| ("content", "a part of type text has no text".into())),
        Some(kind) => Err(("content", format!("this model reads text, and a part is of type {kind}"))),
        None => Err(("content", "a part has no type; expected {\"type\": \"text\", \"text\": …}".into())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_read_as_clients_write_them() {
        let messages = json!([
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Who "}, {"type": "text", "text": "waters?"}], "name": "Ada"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{\"tree\": \"pear\"}"}}
            ]},
            {"role": "tool", "tool_call_id": "call_1", "content": "Berta"},
        ]);
        let tools = json!([{"type": "function", "function": {"name": "look", "parameters": {}}}]);
        let read = Conversation::of_request(&messages, &tools).expect("it is right");
        let roles: Vec<&str> = read.messages.iter().map(|m| m.role.as_str()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "tool"]);
        assert_eq!(read.messages[1], Message::new("user", "Who waters?"));
        assert_eq!(read.messages[2].tool_calls()[0]["function"]["arguments"], json!({"tree": "pear"}));
        assert_eq!(read.messages[3].more["tool_call_id"], "call_1");
        assert_eq!(read.tools.len(), 1);
    }

    #[test]
    fn a_wrong_message_is_named_by_its_place() {
        for (messages, key, word) in [
            (json!("hello"), "messages", "text"),
            (json!([]), "messages", "empty"),
            (json!(["hello"]), "messages[0]", "expected {"),
            (json!([{"role": "user", "content": "a"}, {"role": "bot", "content": "b"}]), "messages[1].role", "bot"),
            (json!([{"role": "user"}]), "messages[0].content", "missing"),
            (json!([{"role": "user", "content": 5}]), "messages[0].content", "a number"),
            (json!([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]), "messages[0].content", "image_url"),
            (json!([{"role": "assistant", "content": "", "tool_calls": [{"id": "a"}]}]), "messages[0].tool_calls", "no name"),
        ] {
            match Conversation::of_request(&messages, &Json::Null) {
                Err(Error::Recipe { key: at, reason }) => assert!(at == key && reason.contains(word), "{messages}: {at}: {reason}"),
                other => panic!("{messages}: {other:?}"),
            }
        }
    }
}
