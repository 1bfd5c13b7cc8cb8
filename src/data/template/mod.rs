//! Chat templates: Jinja, set up as transformers' `apply_chat_template` sets it up (`utils/chat_template_utils.py`).

mod abilities;
mod bounds;
mod date;
mod json;
mod meter;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, ValueKind};
use minijinja::{Environment, ErrorKind, Output, State, Value};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use self::abilities::Abilities;
pub(super) use self::date::strftime;
pub(crate) use self::date::time_stamp;
pub(super) use self::json::dumps;
use self::json::tojson;
use crate::data::record::Conversation;
use crate::error::{Error, Result};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text of the turn.
    pub content: String,
    /// What else a template may know of it: `tool_calls`, `reasoning_content`, `name` …
    #[serde(flatten)]
    pub more: Map<String, Json>,
    /// Whether an answer is learned; what a conversation gives the weight 0 is only read.
    #[serde(skip, default = "learned")]
    pub learned: bool,
}

fn learned() -> bool {
    true
}

impl Message {
    /// A message of text alone.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Message { role: role.into(), content: content.into(), more: Map::new(), learned: true }
    }

    /// The tools that it calls.
    pub fn tool_calls(&self) -> &[Json] {
        self.more.get("tool_calls").and_then(Json::as_array).map_or(&[], Vec::as_slice)
    }

    /// About how many bytes a template is given with it.
    fn bytes(&self) -> usize {
        let more: usize = self.more.values().map(|value| value.as_str().map_or_else(|| value.to_string().len(), str::len)).sum();
        self.role.len() + self.content.len() + more + 64
    }
}

/// Text that no answer holds, put in an answer's place to see what a template writes around it.
pub(super) const MARK: &str = "\u{e000}answer\u{e001}";

/// Used when a checkpoint has no chat template: plain words that any tokenizer knows, each answer closed by the
/// end-of-sequence token. "Assistant:" opens an answer, so that the answer begins with the space that tokenizers join to a word.
const FALLBACK: &str = "{% for message in messages %}\
{% if message.role == 'system' %}{{ message.content + '\\n\\n' }}\
{% elif message.role == 'user' %}{{ 'User: ' + message.content + '\\n' }}\
{% else %}{{ 'Assistant: ' + message.content + eos_token + '\\n' }}{% endif %}\
{% endfor %}\
{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

/// Conversations of more bytes get fuel by their length.
const LONG: usize = 256 << 10;
/// The longest reason from a template that is shown, in characters.
const MAX_REASON: usize = 1000;

/// A compiled chat template with its checkpoint's special tokens.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    special_tokens: Vec<(String, String)>,
    /// The time that `strftime_now` tells.
    now: Arc<AtomicI64>,
    fallback: bool,
    /// Whether it takes the place of the checkpoint's own.
    chosen: bool,
    /// Variables beside those of every template.
    variables: Vec<(String, Json)>,
    abilities: OnceLock<Abilities>,
}

/// Jinja's test: as in Python, None is not iterable, though here a loop over it has no rounds. Templates ask so whether there are tools.
fn iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
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
        let syntax = syntax.map_err(|e| fault(&e))?;
        environment.set_syntax(syntax.clone());
        meter::install(&mut environment);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_formatter(python_formatter);
        environment.add_filter("tojson", tojson);
        environment.add_test("iterable", iterable);
        environment.add_function("raise_exception", |reason: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, reason))
        });
        let now = Arc::new(AtomicI64::new(now));
        let told = now.clone();
        environment.add_function("strftime_now", move |state: &State, format: String| {
            meter::pay(state, 5 * format.len())?; // "%B" may become "September"
            strftime(&format, told.load(Ordering::Relaxed))
        });
        let metered = bounds::metered(&without_generation_tags(source), syntax);
        let metered = metered.map_err(|reason| Error::config(file, "chat_template", format!("the chat template is refused: {reason}")))?;
        environment.add_template_owned("chat", metered).map_err(|e| fault(&e))?;
        Ok(ChatTemplate {
            environment,
            source: source.to_string(),
            special_tokens,
            now,
            fallback: false,
            chosen: false,
            variables: Vec::new(),
            abilities: OnceLock::new(),
        })
    }

    /// The time that `strftime_now` tells, in seconds since 1970 (UTC).
    pub fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Sets the time that `strftime_now` tells, in seconds since 1970 (UTC).
    pub fn set_now(&self, now: i64) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// The template for checkpoints that have none; `adds_bos` when their tokenizer begins every text with its bos token.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn fallback(special_tokens: Vec<(String, String)>, adds_bos: bool, now: i64) -> Result<Self> {
        let source = if adds_bos { format!("{{{{ bos_token }}}}{FALLBACK}") } else { FALLBACK.to_string() };
        Ok(ChatTemplate { fallback: true, ..Self::new("chat_template.jinja", &source, special_tokens, now)? })
    }

    /// A template that is chosen in the place of this one, for the same tokenizer but for its end of sequence.
    ///
    /// # Errors
    /// As [`ChatTemplate::new`].
    pub(super) fn replaced_by(&self, source: &str, eos: Option<String>) -> Result<ChatTemplate> {
        let mut special_tokens = self.special_tokens.clone();
        if let Some(eos) = eos {
            special_tokens.retain(|(name, _)| name != "eos_token");
            special_tokens.push(("eos_token".into(), eos));
        }
        Ok(ChatTemplate { chosen: true, ..Self::new("chat_template.jinja", source, special_tokens, self.now())? })
    }

    /// Sets a variable that the template may read, such as `enable_thinking`.
    pub(super) fn set_variable(&mut self, name: &str, value: Json) {
        self.variables.retain(|(other, _)| other != name);
        self.variables.push((name.into(), value));
    }

    /// Whether it is not the checkpoint's own, so that it is written beside a trained model.
    pub fn is_new(&self) -> bool {
        self.fallback || self.chosen
    }

    /// The template's text, to be written beside a trained model.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the checkpoint had no template of its own, so that this program's is used: the user should be told.
    pub fn is_fallback(&self) -> bool {
        self.fallback
    }

    /// What it writes of a conversation, tried out once.
    fn abilities(&self) -> Abilities {
        *self.abilities.get_or_init(|| Abilities::of(self))
    }

    /// Whether the template takes conversations at all: a question alone, one with its answer, or one with a system message before it.
    ///
    /// # Errors
    /// What it says to the question, when it refuses all of them or does not come to an end.
    pub fn try_out(&self) -> Result<()> {
        let messages = [Message::new("system", "Be brief."), Message::new("user", "Who lives here?"), Message::new("assistant", "Anna.")];
        let asked = self.render(&messages[1..2], true).map(drop);
        if asked.is_ok() || self.render(&messages[1..], false).is_ok() || self.render(&messages[..2], true).is_ok() {
            return Ok(());
        }
        asked
    }

    /// Writes a conversation as the text that the model sees; with `add_generation_prompt` the header of an answer follows.
    ///
    /// # Errors
    /// [`Error::Config`] with the template's own words when it refuses the conversation.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.render_tools(messages, &[], add_generation_prompt)
    }

    /// The same with tools that the assistant may call.
    ///
    /// # Errors
    /// As `render`.
    pub fn render_tools(&self, messages: &[Message], tools: &[Json], add_generation_prompt: bool) -> Result<String> {
        let bytes = messages.iter().map(Message::bytes).sum::<usize>() + tools.iter().map(|tool| tool.to_string().len()).sum::<usize>();
        let tools = if tools.is_empty() { Json::Null } else { Json::Array(tools.to_vec()) };
        self.render_with(Value::from(Serde(messages)), add_generation_prompt, &tools, &[], bytes)
    }

    /// A conversation with its tools and the header of an answer, with further variables for the template.
    ///
    /// # Errors
    /// As `render`.
    pub fn render_conversation(&self, conversation: &Conversation, variables: &[(String, Json)]) -> Result<String> {
        let Conversation { messages, tools } = conversation;
        let bytes = messages.iter().map(Message::bytes).sum::<usize>() + tools.iter().map(|tool| tool.to_string().len()).sum::<usize>();
        let tools = if tools.is_empty() { Json::Null } else { Json::Array(tools.clone()) };
        self.render_with(Value::from(Serde(messages)), true, &tools, variables, bytes)
    }

    /// Like `render` for messages in any shape that a template may know, with tools and further variables.
    ///
    /// # Errors
    /// As `render`.
    pub fn render_json(&self, messages: &Json, add_generation_prompt: bool, tools: &Json, variables: &[(String, Json)]) -> Result<String> {
        let bytes = messages.to_string().len() + tools.to_string().len();
        self.render_with(Value::from(Serde(messages)), add_generation_prompt, tools, variables, bytes)
    }

    /// `bytes` is the size of what is given to the template.
    fn render_with(
        &self,
        messages: Value,
        add_generation_prompt: bool,
        tools: &Json,
        variables: &[(String, Json)],
        bytes: usize,
    ) -> Result<String> {
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
            .chain(self.variables.iter().chain(variables).map(|(name, value)| (name.clone(), Value::from(Serde(value)))))
            .collect();
        let mut environment = Cow::Borrowed(&self.environment);
        if bytes > LONG {
            environment.to_mut().set_fuel(Some(meter::fuel_for(bytes)));
        }
        let template = environment.get_template("chat").expect("the only template was added when this was made");
        template.render(Value::from(context)).map_err(|e| {
            let reason = match e.kind() {
                ErrorKind::OutOfFuel => "it does not come to an end, or makes far more of the conversation than a prompt".to_string(),
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
    let reason = match innermost.downcast_ref::<minijinja::Error>() {
        Some(e) => e.detail().map_or_else(|| e.kind().to_string(), str::to_string),
        None => innermost.to_string(),
    };
    match reason.char_indices().nth(MAX_REASON) {
        Some((end, _)) => format!("{} …", &reason[..end]),
        None => reason,
    }
}

/// Prints as Python does: `None`, `True`, `False`.
fn python_formatter(out: &mut Output, state: &mut State, value: &Value) -> Result<(), minijinja::Error> {
    match value.kind() {
        ValueKind::None => Ok(out.write_str("None")?),
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "True" } else { "False" })?),
        kind => {
            if !matches!(kind, ValueKind::String | ValueKind::Number | ValueKind::Undefined) {
                meter::weigh(state, value, true)?;
            }
            minijinja::escape_formatter(out, state, value)
        }
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
