//! Chat templates: Jinja, set up as transformers' `apply_chat_template` sets it up (`utils/chat_template_utils.py`).

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, ValueKind};
use minijinja::{Environment, ErrorKind, Output, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::{Error, Result};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Message { role: role.into(), content: content.into() }
    }
}

/// Used when a checkpoint has no chat template: plain words that any tokenizer knows, each answer closed by the
/// end-of-sequence token. "Assistant:" opens an answer, so that the answer begins with the space that tokenizers join to a word.
const FALLBACK: &str = "{% for message in messages %}\
{% if message.role == 'system' %}{{ message.content + '\\n\\n' }}\
{% elif message.role == 'user' %}{{ 'User: ' + message.content + '\\n' }}\
{% else %}{{ 'Assistant: ' + message.content + eos_token + '\\n' }}{% endif %}\
{% endfor %}\
{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

/// A template from a stranger may loop for ever; one that is honest stays far below this many instructions.
const FUEL: u64 = 20_000_000;

/// A compiled chat template with its checkpoint's special tokens.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    special_tokens: Vec<(String, String)>,
    fallback: bool,
}

impl ChatTemplate {
    /// Compiles a template. `special_tokens` are the variables such as `bos_token`; `file` is what errors call it; `now` is
    /// the time that `strftime_now` tells, in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::Config`] with the template's line when it is not Jinja.
    pub fn new(file: &str, source: &str, special_tokens: Vec<(String, String)>, now: i64) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        let fault = |e: &minijinja::Error| {
            let line = e.line().map(|line| format!(" at line {line}")).unwrap_or_default();
            Error::config(file, "chat_template", format!("the chat template is broken{line}: {}", message_of(e)))
        };
        environment.set_syntax(syntax.map_err(|e| fault(&e))?);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.set_formatter(python_formatter);
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", |reason: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, reason))
        });
        environment.add_function("strftime_now", move |format: String| strftime(&format, now));
        environment.add_template_owned("chat", without_generation_tags(source)).map_err(|e| fault(&e))?;
        Ok(ChatTemplate { environment, source: source.to_string(), special_tokens, fallback: false })
    }

    /// The template for checkpoints that have none; `adds_bos` when their tokenizer begins every text with its bos token.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn fallback(special_tokens: Vec<(String, String)>, adds_bos: bool) -> Result<Self> {
        let source = if adds_bos { format!("{{{{ bos_token }}}}{FALLBACK}") } else { FALLBACK.to_string() };
        Ok(ChatTemplate { fallback: true, ..Self::new("chat_template.jinja", &source, special_tokens, 0)? })
    }

    /// The template's text, to be written beside a trained model.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the checkpoint had no template of its own, so that this program's is used: the user should be told.
    pub fn is_fallback(&self) -> bool {
        self.fallback
    }

    /// Writes a conversation as the text that the model sees; with `add_generation_prompt` the header of an answer follows.
    ///
    /// # Errors
    /// [`Error::Config`] with the template's own words when it refuses the conversation.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.render_with(Value::from(Serde(messages)), add_generation_prompt, &Json::Null, &[])
    }

    /// Like `render` for messages in any shape that a template may know, with tools and further variables.
    ///
    /// # Errors
    /// As `render`.
    pub fn render_json(&self, messages: &Json, add_generation_prompt: bool, tools: &Json, variables: &[(String, Json)]) -> Result<String> {
        self.render_with(Value::from(Serde(messages)), add_generation_prompt, tools, variables)
    }

    fn render_with(&self, messages: Value, add_generation_prompt: bool, tools: &Json, variables: &[(String, Json)]) -> Result<String> {
        let text = |name: &str, value: &str| (name.to_string(), Value::from(value));
        let context: BTreeMap<String, Value> = self
            .special_tokens
            .iter()
            .map(|(name, value)| text(name, value))
            .chain([
                ("messages".to_string(), messages),
                ("tools".to_string(), Value::from(Serde(tools))),
                ("documents".to_string(), Value::from(())),
                ("add_generation_prompt".to_string(), Value::from(add_generation_prompt)),
            ])
            .chain(variables.iter().map(|(name, value)| (name.clone(), Value::from(Serde(value)))))
            .collect();
        let template = self.environment.get_template("chat").expect("the only template was added when this was made");
        template.render(Value::from(context)).map_err(|e| {
            let reason = match e.kind() {
                ErrorKind::OutOfFuel => "it does not come to an end".to_string(),
                _ => message_of(&e),
            };
            Error::config("chat template", "chat_template", format!("the chat template refuses this conversation: {reason}"))
        })
    }
}

/// The innermost reason, without the engine's wrapping.
fn message_of(error: &minijinja::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<minijinja::Error>() {
        Some(e) => e.detail().map_or_else(|| e.kind().to_string(), str::to_string),
        None => innermost.to_string(),
    }
}

/// Prints as Python does: `None`, `True`, `False`.
fn python_formatter(out: &mut Output, state: &mut State, value: &Value) -> Result<(), minijinja::Error> {
    match value.kind() {
        ValueKind::None => Ok(out.write_str("None")?),
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "True" } else { "False" })?),
        _ => minijinja::escape_formatter(out, state, value),
    }
}

/// transformers' `{% generation %}` marks answers for its own mask and prints nothing: an `if` that always holds.
fn without_generation_tags(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        text.push_str(before);
        let Some(inner) = tag[2..].find("%}").map(|length| &tag[2..2 + length]) else {
            rest = tag;
            break;
        };
        let end = 2 + inner.len();
        let word = inner.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        match word {
            "generation" | "endgeneration" => {
                let replacement = if word == "generation" { "if true" } else { "endif" };
                text.push_str("{%");
                text.push_str(&inner.replacen(word, replacement, 1));
                text.push_str("%}");
            }
            _ => text.push_str(&tag[..end + 2]),
        }
        rest = &tag[end + 2..];
    }
    text.push_str(rest);
    text
}

/// transformers' `tojson`: `json.dumps` with `ensure_ascii=False`, keys in their order, nothing escaped for HTML.
fn tojson(value: &Value, indent: Option<usize>, kwargs: Kwargs) -> Result<String, minijinja::Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => kwargs.get::<Option<usize>>("indent")?,
    };
    let ensure_ascii = kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sort_keys = kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let separators = kwargs.get::<Option<Vec<String>>>("separators")?;
    kwargs.assert_all_used()?;
    let default_item = if indent.is_some() { "," } else { ", " };
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.as_str(), key.as_str()),
        _ => (default_item, ": "),
    };
    let json = serde_json::to_value(value)
        .map_err(|e| minijinja::Error::new(ErrorKind::BadSerialization, "this value cannot be written as JSON").with_source(e))?;
    let mut out = String::new();
    Dumps { indent, item, key, ensure_ascii, sort_keys }.write(&json, 0, &mut out);
    Ok(out)
}

/// The options of Python's `json.dumps`.
struct Dumps<'a> {
    indent: Option<usize>,
    item: &'a str,
    key: &'a str,
    ensure_ascii: bool,
    sort_keys: bool,
}

impl Dumps<'_> {
    fn write(&self, value: &Json, depth: usize, out: &mut String) {
        match value {
            Json::String(text) => self.write_text(text, out),
            Json::Array(items) => self.write_all('[', ']', items.iter().map(|item| (None, item)).collect(), depth, out),
            Json::Object(map) => {
                let mut entries: Vec<_> = map.iter().map(|(key, value)| (Some(key.as_str()), value)).collect();
                if self.sort_keys {
                    entries.sort_by_key(|(key, _)| *key);
                }
                self.write_all('{', '}', entries, depth, out);
            }
            other => out.push_str(&other.to_string()),
        }
    }

    fn write_all(&self, open: char, close: char, entries: Vec<(Option<&str>, &Json)>, depth: usize, out: &mut String) {
        let line = |depth: usize, out: &mut String| {
            if let Some(indent) = self.indent {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent * depth));
            }
        };
        out.push(open);
        for (i, (key, value)) in entries.iter().enumerate() {
            if i > 0 {
                out.push_str(self.item);
            }
            line(depth + 1, out);
            if let Some(key) = key {
                self.write_text(key, out);
                out.push_str(self.key);
            }
            self.write(value, depth + 1, out);
        }
        if !entries.is_empty() {
            line(depth, out);
        }
        out.push(close);
    }

    fn write_text(&self, text: &str, out: &mut String) {
        let quoted = Json::from(text).to_string();
        if !self.ensure_ascii {
            out.push_str(&quoted);
            return;
        }
        for unit in quoted.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => out.push(byte as char),
                _ => out.push_str(&format!("\\u{unit:04x}")),
            }
        }
    }
}

/// The parts of `strftime` that chat templates use; anything else is an error rather than a wrong date.
fn strftime(format: &str, now: i64) -> Result<String, minijinja::Error> {
    const MONTHS: [&str; 12] =
        ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
    const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    let (days, seconds) = (now.div_euclid(86_400), now.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    let month_name = MONTHS[month as usize - 1];
    let day_name = DAYS[(days + 4).rem_euclid(7) as usize];
    let mut out = String::new();
    let mut characters = format.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match characters.next() {
            Some('d') => out.push_str(&format!("{day:02}")),
            Some('m') => out.push_str(&format!("{month:02}")),
            Some('b') => out.push_str(&month_name[..3]),
            Some('B') => out.push_str(month_name),
            Some('a') => out.push_str(&day_name[..3]),
            Some('A') => out.push_str(day_name),
            Some('y') => out.push_str(&format!("{:02}", year.rem_euclid(100))),
            Some('Y') => out.push_str(&year.to_string()),
            Some('H') => out.push_str(&format!("{:02}", seconds / 3600)),
            Some('M') => out.push_str(&format!("{:02}", seconds / 60 % 60)),
            Some('S') => out.push_str(&format!("{:02}", seconds % 60)),
            Some('%') => out.push('%'),
            other => {
                let code = other.map(String::from).unwrap_or_default();
                return Err(minijinja::Error::new(ErrorKind::InvalidOperation, format!("strftime_now does not know %{code}")));
            }
        }
    }
    Ok(out)
}

/// Year, month and day of a number of days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468; // days since 0000-03-01
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
