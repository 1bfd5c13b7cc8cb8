//! What a chat template writes of a conversation. A template says nothing when it leaves out tools, results or thoughts that it does not
//! know; a model would then learn answers that follow from what it was never shown.

use serde_json::{Value as Json, json};

use super::{ChatTemplate, Message};
use crate::data::record::Conversation;
use crate::error::{Error, Result};

/// Words that no template writes by itself.
const TOOL: &str = "zqtool";
const CALLED: &str = "zqcalled";
const RESULT: &str = "zqresult";
const THOUGHT: &str = "zqthought";

/// What a template writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abilities {
    tools: bool,
    calls: bool,
    results: bool,
    reasoning: bool,
}

impl Abilities {
    /// Tries a template out. What it refuses in its own words counts as written: it says so again to a conversation that needs it.
    pub(super) fn of(template: &ChatTemplate) -> Abilities {
        let message = |value: Json| serde_json::from_value::<Message>(value).ok();
        let user = Message::new("user", "Why?");
        let tool = json!({"type": "function", "function": {
            "name": TOOL, "description": "A tool.", "parameters": {"type": "object", "properties": {}}
        }});
        let call = message(json!({"role": "assistant", "content": "", "tool_calls": [
            {"id": "callAAAAA", "type": "function", "function": {"name": CALLED, "arguments": {"key": "value"}}}
        ]}));
        let result = message(json!({"role": "tool", "content": RESULT, "name": CALLED, "tool_call_id": "callAAAAA"}));
        let thought = message(json!({"role": "assistant", "content": "So.", "reasoning_content": THOUGHT}));
        let so = Message::new("assistant", "So.");
        let writes = |messages: Vec<Option<Message>>, tools: &[Json], word: &str| {
            let Some(messages) = messages.into_iter().collect::<Option<Vec<Message>>>() else { return true };
            template.render_tools(&messages, tools, false).map_or(true, |text| text.contains(word))
        };
        let tools = std::slice::from_ref(&tool);
        Abilities {
            tools: writes(vec![Some(user.clone()), Some(so.clone())], tools, TOOL),
            calls: writes(vec![Some(user.clone()), call.clone()], tools, CALLED),
            results: writes(vec![Some(user.clone()), call, result, Some(so)], tools, RESULT),
            reasoning: writes(vec![Some(user), thought], &[], THOUGHT),
        }
    }
}

impl ChatTemplate {
    /// What a conversation holds that the template would leave out without a word, such as "tool calls".
    pub fn left_out(&self, conversation: &Conversation) -> Vec<&'static str> {
        let Conversation { messages, tools } = conversation;
        let plain = tools.is_empty() && messages.iter().all(|message| message.more.is_empty() && message.role != "tool");
        if plain {
            return Vec::new();
        }
        let abilities = self.abilities();
        let calls = messages.iter().any(|message| !message.tool_calls().is_empty());
        let results = messages.iter().any(|message| message.role == "tool");
        let reasoning = messages.iter().any(|message| message.more.contains_key("reasoning_content"));
        let left_out = [
            (!tools.is_empty() && !abilities.tools, "tools"),
            (calls && !abilities.calls, "tool calls"),
            (results && !abilities.results, "the results of tools"),
            (reasoning && !abilities.reasoning, "reasoning_content"),
        ];
        left_out.into_iter().filter(|(missing, _)| *missing).map(|(_, what)| what).collect()
    }

    /// Whether the template writes what a record holds beside texts.
    ///
    /// # Errors
    /// [`Error::Config`] naming what it leaves out.
    pub(in crate::data) fn check_writes(&self, conversation: &Conversation) -> Result<()> {
        let left_out = self.left_out(conversation);
        if left_out.is_empty() {
            return Ok(());
        }
        let left_out: Vec<&str> = left_out.into_iter().map(|what| if what == "tools" { "the record's tools" } else { what }).collect();
        let reason = format!(
            "the chat template does not write {}, so that the model would not be shown what it learns from; choose a template that does \
             (template: NAME in the recipe), or remove it from the record",
            left_out.join(" and ")
        );
        Err(Error::config("chat template", "chat_template", reason))
    }
}
