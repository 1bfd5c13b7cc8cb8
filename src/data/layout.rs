//! Which fields of a record hold what.

use serde_json::Value as Json;

use super::answers::{Answers, refuse_preferences};

/// Which fields of a record hold what: given by dataset_info.json, or seen in a file's first record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// One field with the text.
    Text {
        /// Its name.
        column: String,
    },
    /// A question and an answer.
    Alpaca(AlpacaColumns),
    /// A list of messages.
    Messages(MessageColumns),
}

/// The fields of an alpaca record; a field without a name does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlpacaColumns {
    /// The instruction.
    pub prompt: String,
    /// What the instruction is about, put below it.
    pub query: Option<String>,
    /// The answer.
    pub response: String,
    /// The system message.
    pub system: Option<String>,
    /// Earlier turns, a list of [question, answer].
    pub history: Option<String>,
    /// The tools that the assistant may call.
    pub tools: Option<String>,
    /// How many answers there are; two are not in `response`.
    pub answers: Answers,
}

impl Default for AlpacaColumns {
    fn default() -> Self {
        AlpacaColumns {
            prompt: "instruction".into(),
            query: Some("input".into()),
            response: "output".into(),
            system: Some("system".into()),
            history: Some("history".into()),
            tools: Some("tools".into()),
            answers: Answers::One,
        }
    }
}

/// The fields of a record of messages, and what the roles are called in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "LLaMA-Factory's names for columns and tags")]
pub struct MessageColumns {
    pub messages: String,
    /// A field beside the list that holds the system message.
    pub system: Option<String>,
    /// A field beside the list that holds the tools.
    pub tools: Option<String>,
    pub role_tag: String,
    pub content_tag: String,
    pub user_tag: String,
    pub assistant_tag: String,
    pub system_tag: String,
    pub observation_tag: String,
    pub function_tag: String,
    /// How many answers there are; two are not among the messages.
    pub answers: Answers,
}

impl MessageColumns {
    /// `{"messages": [{"role": "user", "content": …}, …]}`
    pub fn openai(column: &str) -> Self {
        MessageColumns {
            messages: column.into(),
            system: Some("system".into()),
            tools: Some("tools".into()),
            role_tag: "role".into(),
            content_tag: "content".into(),
            user_tag: "user".into(),
            assistant_tag: "assistant".into(),
            system_tag: "system".into(),
            observation_tag: "tool".into(),
            function_tag: "function_call".into(),
            answers: Answers::One,
        }
    }

    /// `{"conversations": [{"from": "human", "value": …}, …]}`
    pub fn sharegpt(column: &str) -> Self {
        MessageColumns {
            role_tag: "from".into(),
            content_tag: "value".into(),
            user_tag: "human".into(),
            assistant_tag: "gpt".into(),
            observation_tag: "observation".into(),
            ..Self::openai(column)
        }
    }
}

/// What a record may look like, for messages.
pub(super) const EXPECTED: &str =
    "{\"text\": …}, {\"instruction\": …, \"output\": …} or {\"messages\": [{\"role\": …, \"content\": …}, …]}";

/// What kind of value it is, for messages.
pub(super) fn kind_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "a record",
    }
}

pub(super) fn missing(record: &Json, name: &str) -> String {
    format!("\"{name}\" is missing (found {}); every record of a file must have the same form", fields_of(record))
}

pub(super) fn fields_of(record: &Json) -> String {
    let names = record.as_object().map(|o| o.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
    names.unwrap_or_else(|| kind_of(record).to_string())
}

impl Layout {
    /// The layout of a file by its first record.
    ///
    /// # Errors
    /// What was found, and what is expected.
    pub(super) fn detect(record: &Json) -> Result<Layout, String> {
        let has = |name: &str| record.get(name).is_some();
        let answers = if has("chosen") && has("rejected") {
            Answers::ranked()
        } else if has("chosen_messages") && has("rejected_messages") {
            // LLaMA-Factory's version 1.
            Answers::Ranked { chosen: "chosen_messages".into(), rejected: "rejected_messages".into() }
        } else {
            let tag = ["label", "kto_tag"].into_iter().find(|name| record[*name].is_boolean());
            tag.map_or(Answers::One, |tag| Answers::Rated(tag.into()))
        };
        let ranked = matches!(answers, Answers::Ranked { .. });
        // Preferences in the form of TRL's "conversational" datasets have the messages before the answers in `prompt`, or none apart.
        let lists =
            if ranked { &["messages", "conversations", "conversation", "prompt", "chosen", "chosen_messages"][..] } else { &MESSAGES[..] };
        for column in lists {
            if let Some(list) = record[*column].as_array() {
                let sharegpt = list.first().is_some_and(|m| m.get("from").is_some());
                let columns = if sharegpt { MessageColumns::sharegpt(column) } else { MessageColumns::openai(column) };
                return Ok(Layout::Messages(MessageColumns { answers, ..columns }));
            }
        }
        if has("instruction") && (ranked || has("output")) {
            return Ok(Layout::Alpaca(AlpacaColumns { answers, ..Default::default() }));
        }
        if ranked && has("prompt") {
            return Ok(Layout::Alpaca(AlpacaColumns { prompt: "prompt".into(), query: None, answers, ..Default::default() }));
        }
        refuse_preferences(record, &answers)?;
        if has("text") {
            return Ok(Layout::Text { column: "text".into() });
        }
        let prompt_and_answer = |prompt: &str, response: &str| {
            let (prompt, response, answers) = (prompt.to_string(), response.to_string(), answers.clone());
            let columns = AlpacaColumns { prompt, query: None, response, answers, ..Default::default() };
            (has(&columns.prompt) && has(&columns.response)).then_some(Layout::Alpaca(columns))
        };
        if let Some(layout) = prompt_and_answer("prompt", "completion").or(prompt_and_answer("prompt", "response")) {
            return Ok(layout);
        }
        if let Some(list) = sole_list(record) {
            return Err(format!("the records stand in \"{list}\"; write the list itself into the file: [{{…}}, {{…}}]"));
        }
        Err(format!("found the fields {}; expected {EXPECTED}, or name the columns in dataset_info.json", fields_of(record)))
    }

    /// The fields that say what answers are worth.
    pub(super) fn answers(&self) -> &Answers {
        match self {
            Layout::Text { .. } => &Answers::One,
            Layout::Alpaca(columns) => &columns.answers,
            Layout::Messages(columns) => &columns.answers,
        }
    }

    /// The layout as LLaMA-Factory reads a file whose entry in dataset_info.json names no columns: it knows of no system message, no
    /// history and no tools then.
    pub(super) fn without_unmapped(self) -> Layout {
        match self {
            Layout::Alpaca(columns) => Layout::Alpaca(columns.without_unmapped()),
            Layout::Messages(columns) => Layout::Messages(MessageColumns { system: None, tools: None, ..columns }),
            text @ Layout::Text { .. } => text,
        }
    }

    /// The fields that are read.
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Layout::Text { column } => vec![column],
            Layout::Alpaca(c) => {
                let optional = [&c.query, &c.system, &c.history, &c.tools].into_iter().flatten().map(String::as_str);
                [c.prompt.as_str(), c.response.as_str()].into_iter().chain(optional).chain(c.answers.names()).collect()
            }
            Layout::Messages(c) => {
                let optional = [&c.system, &c.tools].into_iter().flatten().map(String::as_str);
                std::iter::once(c.messages.as_str()).chain(optional).chain(c.answers.names()).collect()
            }
        }
    }
}

/// The usual names of lists of messages.
const MESSAGES: [&str; 3] = ["messages", "conversations", "conversation"];

/// The one field of an object whose value is a list of records, as in `{"data": [{…}, …]}`.
fn sole_list(record: &Json) -> Option<&str> {
    let mut lists = record.as_object()?.iter().filter(|(_, v)| v.as_array().is_some_and(|list| list.first().is_some_and(Json::is_object)));
    let (name, _) = lists.next()?;
    lists.next().is_none().then_some(name)
}

impl AlpacaColumns {
    pub(super) fn without_unmapped(self) -> AlpacaColumns {
        AlpacaColumns { system: None, history: None, tools: None, ..self }
    }
}
