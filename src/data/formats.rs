//! Dataset files: plain text, tables, and JSON or JSON lines with `text`, alpaca's columns, or conversations. Every record is
//! read, or an error names its line.

use std::rc::Rc;

use serde_json::Value as Json;

use super::template::Message;
use crate::error::{Error, Result};
use crate::platform::{is_lfs_pointer, without_byte_order_mark};

/// One record of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it holds.
    pub content: Content,
    /// The file it came from, for messages.
    pub path: Rc<str>,
    /// Its first line in that file, from 1.
    pub line: usize,
}

/// What a record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// A conversation: perhaps a system message, then user and assistant in turns, the assistant last.
    Conversation(Vec<Message>),
}

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
}

impl Default for AlpacaColumns {
    fn default() -> Self {
        AlpacaColumns {
            prompt: "instruction".into(),
            query: Some("input".into()),
            response: "output".into(),
            system: Some("system".into()),
            history: Some("history".into()),
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
    pub role_tag: String,
    pub content_tag: String,
    pub user_tag: String,
    pub assistant_tag: String,
    pub system_tag: String,
}

impl MessageColumns {
    /// `{"messages": [{"role": "user", "content": …}, …]}`
    pub fn openai(column: &str) -> Self {
        MessageColumns {
            messages: column.into(),
            system: Some("system".into()),
            role_tag: "role".into(),
            content_tag: "content".into(),
            user_tag: "user".into(),
            assistant_tag: "assistant".into(),
            system_tag: "system".into(),
        }
    }

    /// `{"conversations": [{"from": "human", "value": …}, …]}`
    pub fn sharegpt(column: &str) -> Self {
        MessageColumns {
            role_tag: "from".into(),
            content_tag: "value".into(),
            user_tag: "human".into(),
            assistant_tag: "gpt".into(),
            ..Self::openai(column)
        }
    }
}

/// What a record may look like, for messages.
const EXPECTED: &str = "{\"text\": …}, {\"instruction\": …, \"output\": …} or {\"messages\": [{\"role\": …, \"content\": …}, …]}";

/// Reads the bytes of a dataset file whose name is `path`. Without a layout, the first record decides.
///
/// # Errors
/// [`Error::Line`] for a broken record, [`Error::Dataset`] for a file that holds none or is of a kind that is not read.
pub fn read_records(path: &str, bytes: &[u8], layout: Option<&Layout>) -> Result<Vec<Record>> {
    let extension = path.rsplit('.').next().unwrap_or_default().to_lowercase();
    if matches!(extension.as_str(), "parquet" | "arrow" | "xlsx" | "gz" | "zst" | "zip") {
        return Err(Error::dataset(path, format!(".{extension} files are not read; convert it to JSON lines (.jsonl)")));
    }
    let bytes = without_byte_order_mark(bytes);
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes[..e.valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
        Error::line(path, line, "this is not UTF-8 text; save the file as UTF-8")
    })?;
    if is_lfs_pointer(bytes) {
        return Err(Error::dataset(path, "this is a git-lfs pointer, not the file; run `git lfs pull` where it came from"));
    }
    let path: Rc<str> = path.into();
    let records = match extension.as_str() {
        "txt" => plain_lines(&path, text),
        "csv" => table_records(&path, text, b',', layout)?,
        "tsv" => table_records(&path, text, b'\t', layout)?,
        _ => json_records(&path, text, layout)?,
    };
    if records.is_empty() {
        return Err(Error::dataset(&*path, format!("the file holds no record; expected lines such as {EXPECTED}")));
    }
    Ok(records)
}

/// One sample per line, as LLaMA-Factory reads .txt files; longer documents go into JSON lines with `text`.
fn plain_lines(path: &Rc<str>, text: &str) -> Vec<Record> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(i, line)| Record { content: Content::Text(line.to_string()), path: path.clone(), line: i + 1 }).collect()
}

fn json_records(path: &Rc<str>, text: &str, layout: Option<&Layout>) -> Result<Vec<Record>> {
    let pieces = if text.trim_start().starts_with('[') { array_items(path, text)? } else { json_lines(text) };
    let mut layout = layout.cloned();
    let mut records = Vec::with_capacity(pieces.len());
    for (line, piece) in pieces {
        let json: Json = serde_json::from_str(piece).map_err(|e| {
            Error::line(&**path, line + e.line().saturating_sub(1), format!("this is not valid JSON: {}", without_place(&e)))
        })?;
        let fault = |reason: String| Error::line(&**path, line, reason);
        if !json.is_object() {
            return Err(fault(format!("found {}, expected a record such as {EXPECTED}", kind_of(&json))));
        }
        let layout = match &layout {
            Some(layout) => layout,
            None => layout.insert(detect(&json).map_err(fault)?),
        };
        let content = layout.read(&json).map_err(fault)?;
        records.push(Record { content, path: path.clone(), line });
    }
    Ok(records)
}

/// A table whose first row names the columns: each further row is a record of texts, and an empty cell is no field.
fn table_records(path: &Rc<str>, text: &str, delimiter: u8, layout: Option<&Layout>) -> Result<Vec<Record>> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let fault = |e: &csv::Error| {
        let line = e.position().map_or(1, |p| p.line() as usize);
        let reason = match e.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("this row has {len} cells, the first row names {expected_len} columns; put text that holds commas into quotes")
            }
            _ => format!("this table cannot be read: {e}"),
        };
        Error::line(&**path, line, reason)
    };
    let columns = reader.headers().map_err(|e| fault(&e))?.clone();
    let mut layout = layout.cloned();
    let mut records = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|e| fault(&e))?;
        let line = row.position().map_or(1, |p| p.line() as usize);
        let cells = columns.iter().zip(&row).filter(|(_, cell)| !cell.is_empty());
        let json = Json::Object(cells.map(|(column, cell)| (column.trim().to_string(), Json::from(cell))).collect());
        let fault = |reason: String| Error::line(&**path, line, reason);
        let layout = match &layout {
            Some(layout) => layout,
            None => layout.insert(detect(&json).map_err(fault)?),
        };
        let content = layout.read(&json).map_err(fault)?;
        records.push(Record { content, path: path.clone(), line });
    }
    Ok(records)
}

fn json_lines(text: &str) -> Vec<(usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(|(i, line)| (i + 1, line)).collect()
}

/// The items of a JSON array as text, each with its first line: a message can then name the record's place.
fn array_items<'a>(path: &str, text: &'a str) -> Result<Vec<(usize, &'a str)>> {
    let (mut depth, mut in_string, mut escaped, mut line) = (0usize, false, false, 1usize);
    let mut items = Vec::new();
    let mut item: Option<(usize, usize)> = None; // line and byte where the current item began
    for (i, byte) in text.bytes().enumerate() {
        line += usize::from(byte == b'\n');
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        let at_top = depth == 1;
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let ends = at_top && byte == b',' || depth == 0 && byte == b']';
        if ends {
            if let Some((start_line, start)) = item.take() {
                items.push((start_line, &text[start..i]));
            }
            if depth == 0 {
                let rest = text[i + 1..].trim();
                let after =
                    if rest.is_empty() { Ok(items) } else { Err(Error::line(path, line, "the JSON list ends here, but text follows")) };
                return after;
            }
        } else if item.is_none() && depth >= 1 && !byte.is_ascii_whitespace() && !(byte == b'[' && !at_top && depth == 1) {
            item = Some((line, i));
        }
    }
    Err(Error::line(path, line, "the JSON list is not closed: the file seems to be cut off"))
}

/// serde_json's message without "at line 1 column 9": the line is of the file, and said elsewhere.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.split(" at line ").next().unwrap_or_default().to_string()
}

fn kind_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "a record",
    }
}

/// The layout of a file by its first record.
fn detect(record: &Json) -> Result<Layout, String> {
    for column in ["messages", "conversations", "conversation"] {
        if let Some(list) = record[column].as_array() {
            let sharegpt = list.first().is_some_and(|m| m.get("from").is_some());
            return Ok(Layout::Messages(if sharegpt { MessageColumns::sharegpt(column) } else { MessageColumns::openai(column) }));
        }
    }
    let has = |name: &str| record.get(name).is_some();
    if has("instruction") && has("output") {
        return Ok(Layout::Alpaca(AlpacaColumns::default()));
    }
    if has("text") {
        return Ok(Layout::Text { column: "text".into() });
    }
    let prompt_and_answer = |prompt: &str, response: &str| {
        let columns = AlpacaColumns { prompt: prompt.into(), query: None, response: response.into(), ..Default::default() };
        (has(prompt) && has(response)).then_some(Layout::Alpaca(columns))
    };
    if let Some(layout) = prompt_and_answer("prompt", "completion").or(prompt_and_answer("prompt", "response")) {
        return Ok(layout);
    }
    Err(format!("found the fields {}; expected {EXPECTED}, or name the columns in dataset_info.json", fields_of(record)))
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

fn missing(record: &Json, name: &str) -> String {
    format!("\"{name}\" is missing (found {}); every record of a file must have the same form", fields_of(record))
}

fn fields_of(record: &Json) -> String {
    let names = record.as_object().map(|o| o.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
    names.unwrap_or_else(|| kind_of(record).to_string())
}

impl Layout {
    /// Reads one record; the error is the reason without the place.
    fn read(&self, record: &Json) -> Result<Content, String> {
        match self {
            Layout::Text { column } => {
                let text = required_text(record, column)?;
                if text.is_empty() { Err(format!("\"{column}\" is empty; remove this record")) } else { Ok(Content::Text(text)) }
            }
            Layout::Alpaca(columns) => columns.read(record),
            Layout::Messages(columns) => columns.read(record),
        }
    }
}

impl AlpacaColumns {
    fn read(&self, record: &Json) -> Result<Content, String> {
        let optional = |name: &Option<String>| match name {
            Some(name) => text_field(record, name).map(|text| text.filter(|t| !t.is_empty())),
            None => Ok(None),
        };
        let mut messages = Vec::new();
        if let Some(system) = optional(&self.system)? {
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
        let query = optional(&self.query)?;
        let parts: Vec<&str> = [Some(prompt.as_str()), query.as_deref()].into_iter().flatten().filter(|p| !p.is_empty()).collect();
        if parts.is_empty() {
            return Err(format!("the question (\"{}\") is empty", self.prompt));
        }
        messages.push(Message::new("user", parts.join("\n")));
        messages.push(Message::new("assistant", required_text(record, &self.response)?));
        checked(messages)
    }
}

impl MessageColumns {
    fn read(&self, record: &Json) -> Result<Content, String> {
        let list = match record.get(&self.messages) {
            Some(Json::Array(list)) => list,
            Some(other) => return Err(format!("\"{}\" is {}, expected a list of messages", self.messages, kind_of(other))),
            None => return Err(missing(record, &self.messages)),
        };
        let mut messages = Vec::with_capacity(list.len() + 1);
        if let Some(system) = self.system.as_ref().and_then(|name| record[name.as_str()].as_str()).filter(|s| !s.is_empty()) {
            messages.push(Message::new("system", system));
        }
        for (i, message) in list.iter().enumerate() {
            let fault = |reason: String| format!("message {}: {reason}", i + 1);
            if message.get("tool_calls").is_some_and(|calls| calls.as_array().is_some_and(|c| !c.is_empty())) {
                return Err(fault("tool calls are not trained; remove this record".into()));
            }
            let tag = required_text(message, &self.role_tag).map_err(fault)?;
            let role = self.role(&tag).ok_or_else(|| {
                fault(format!("the role is '{tag}', expected {}, {} or {}", self.system_tag, self.user_tag, self.assistant_tag))
            })?;
            let content = match message.get(&self.content_tag) {
                Some(Json::Array(parts)) => joined_parts(parts).map_err(fault)?,
                _ => required_text(message, &self.content_tag).map_err(fault)?,
            };
            messages.push(Message::new(role, content));
        }
        checked(messages)
    }

    fn role(&self, tag: &str) -> Option<&'static str> {
        let known = [(&self.user_tag, "user"), (&self.assistant_tag, "assistant"), (&self.system_tag, "system")];
        known.into_iter().find(|(t, _)| *t == tag).map(|(_, role)| role)
    }
}

/// OpenAI's content parts, as far as they are text.
fn joined_parts(parts: &[Json]) -> Result<String, String> {
    let text = |part: &Json| match (part["type"].as_str(), part["text"].as_str()) {
        (Some("text") | None, Some(text)) => Ok(text.to_string()),
        (kind, _) => Err(format!("a part is of type '{}'; only text is trained", kind.unwrap_or("unknown"))),
    };
    parts.iter().map(text).collect()
}

/// Checks the order of roles, which templates and masks rely on.
fn checked(messages: Vec<Message>) -> Result<Content, String> {
    let turns = if messages.first().is_some_and(|m| m.role == "system") { &messages[1..] } else { &messages[..] };
    let offset = messages.len() - turns.len();
    if turns.is_empty() {
        return Err("the conversation is empty; expected a question and its answer".into());
    }
    for (i, message) in turns.iter().enumerate() {
        let expected = ["user", "assistant"][i % 2];
        if message.role != expected {
            let number = i + offset + 1;
            return Err(format!(
                "message {number} is from {}, expected {expected}: after an optional system message, user and assistant take turns",
                message.role
            ));
        }
        if message.role == "assistant" && message.content.trim().is_empty() {
            return Err("the answer is empty: there is nothing to learn; write one, or remove this record".into());
        }
    }
    if turns.len() % 2 == 1 {
        return Err("the last message is from user; a conversation must end with the answer to be learned".into());
    }
    Ok(Content::Conversation(messages))
}
