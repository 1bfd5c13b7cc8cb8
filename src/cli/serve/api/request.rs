//! Requests in OpenAI's form. A field is honoured, without effect on the answer, or refused: nothing is dropped in silence.

use std::fmt::Display;

use hyper::StatusCode;
use rootstock::data::{Conversation, Message};
use rootstock::generate::SamplingOptions;
use serde_json::{Map, Value as Json};

use super::fault::Fault;

/// What holds for requests that do not say.
#[derive(Debug, Clone)]
pub(super) struct Defaults {
    /// The name of the model that is served.
    pub(super) model: String,
    /// The system message of conversations that have none.
    pub(super) system: Option<String>,
    pub(super) max_new_tokens: usize,
    pub(super) sampling: SamplingOptions,
    /// Whether `sampling.seed` is meant; else each request draws with a seed of its own.
    pub(super) seeded: bool,
}

/// What is to be answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Prompt {
    /// A conversation, and what the chat template may read beside it.
    Chat(Conversation, Vec<(String, Json)>),
    /// A text to continue.
    Text(String),
    /// The same in tokens.
    Tokens(Vec<u32>),
}

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ask {
    pub(super) prompt: Prompt,
    pub(super) sampling: SamplingOptions,
    pub(super) max_new_tokens: usize,
    pub(super) stop: Vec<String>,
    pub(super) stream: bool,
    /// Whether a stream ends with the counts of tokens.
    pub(super) include_usage: bool,
    /// Whether a completion begins with its prompt.
    pub(super) echo: bool,
}

/// Stop words of one request; OpenAI takes four.
const STOP_WORDS: usize = 16;

/// Fields that change no answer here: who asks, where and how it is billed, kept or scheduled.
const WITHOUT_EFFECT: [&str; 7] =
    ["user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"];

/// Fields that would change the answer and are not there, with what is and says the same as their absence.
const MISSING: [(&str, &[&str], &str); 17] = [
    ("n", &["1"], "one answer is written for each request; ask several times, each with a seed of its own"),
    ("best_of", &["1"], "one answer is written for each request"),
    ("presence_penalty", &["0", "0.0"], "it is not computed here; repetition_penalty is"),
    ("frequency_penalty", &["0", "0.0"], "it is not computed here; repetition_penalty is"),
    ("logit_bias", &["{}"], "single tokens cannot be favoured"),
    ("logprobs", &["false"], "probabilities are not given; `rootstock logits` writes them"),
    ("top_logprobs", &["0"], "probabilities are not given; `rootstock logits` writes them"),
    ("response_format", &["{\"type\":\"text\"}"], "answers are not held to a form; ask for it in the messages"),
    ("tool_choice", &["\"auto\"", "\"none\""], "a model cannot be made to call a tool here; auto and none are taken"),
    ("parallel_tool_calls", &["true"], "the number of calls cannot be limited"),
    ("verbosity", &[], "ask for it in the messages"),
    ("modalities", &["[\"text\"]"], "this model writes text only"),
    ("audio", &[], "this model writes text only"),
    ("prediction", &[], "predicted outputs are not used"),
    ("web_search_options", &[], "this server searches nowhere"),
    ("suffix", &["\"\""], "texts are continued, not filled in"),
    ("functions", &["[]"], "OpenAI has replaced it; write tools"),
];

/// The fields of a request, each taken once.
struct Fields(Map<String, Json>);

impl Fields {
    /// A field; null counts as absent.
    fn take(&mut self, name: &str) -> Option<Json> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    fn read<T>(&mut self, name: &str, expected: &str, read: impl Fn(&Json) -> Option<T>) -> Result<Option<T>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        read(&value).map(Some).ok_or_else(|| unlike(name, &value, expected))
    }

    fn flag(&mut self, name: &str) -> Result<bool, Fault> {
        Ok(self.read(name, "true or false", Json::as_bool)?.unwrap_or(false))
    }

    fn number(&mut self, name: &str) -> Result<Option<f32>, Fault> {
        self.read(name, "a number", |value| value.as_f64().map(|x| x as f32))
    }

    fn count(&mut self, name: &str) -> Result<Option<usize>, Fault> {
        self.read(name, "a whole number from 1", |value| value.as_u64().filter(|n| *n > 0).and_then(|n| usize::try_from(n).ok()))
    }
}

fn unlike(name: impl Display, value: &Json, expected: &str) -> Fault {
    let mut shown = value.to_string();
    if shown.len() > 80 {
        shown = format!("{} …", shown.chars().take(80).collect::<String>());
    }
    Fault::bad(name.to_string(), format!("{name} is {shown}, expected {expected}"))
}

impl Ask {
    /// Reads a request for an answer to a conversation (`chat`) or for the continuation of a text. `fresh` is the seed of one that
    /// names none.
    ///
    /// # Errors
    /// [`Fault`] for the first thing that is wrong or not to be had.
    pub(super) fn read(body: &[u8], chat: bool, defaults: &Defaults, fresh: u64) -> Result<Ask, Fault> {
        let broken = |e: serde_json::Error| Fault::new(StatusCode::BAD_REQUEST, format!("the request is not valid JSON: {e}"));
        let fields = match serde_json::from_slice(body).map_err(broken)? {
            Json::Object(fields) => fields,
            other => return Err(unlike("the request", &other, "an object {\"model\": …}")),
        };
        let mut fields = Fields(fields);
        check_model(&mut fields, defaults)?;
        // OpenAI's `none` keeps the tools from the model's mind.
        let without_tools = fields.0.get("tool_choice").is_some_and(|choice| choice == "none");
        for (name, harmless, reason) in MISSING {
            let Some(value) = fields.take(name) else { continue };
            if !harmless.contains(&value.to_string().as_str()) {
                return Err(Fault::bad(name, format!("{name}: {reason}")));
            }
        }
        for name in WITHOUT_EFFECT {
            fields.take(name);
        }
        let prompt = if chat { chat_prompt(&mut fields, defaults, without_tools)? } else { text_prompt(&mut fields)? };
        let (older, newer) = (fields.count("max_tokens")?, fields.count("max_completion_tokens")?);
        if let (Some(older), Some(newer)) = (older, newer)
            && older != newer
        {
            return Err(Fault::bad("max_tokens", "max_tokens and max_completion_tokens are two names of one thing; give one of them"));
        }
        let stream = fields.flag("stream")?;
        let ask = Ask {
            prompt,
            sampling: sampling(&mut fields, defaults, fresh)?,
            max_new_tokens: newer.or(older).unwrap_or(defaults.max_new_tokens),
            stop: stop_words(&mut fields)?,
            stream,
            include_usage: include_usage(&mut fields, stream)?,
            echo: !chat && fields.flag("echo")?,
        };
        match fields.0.iter().find(|(_, value)| !value.is_null()) {
            Some((name, _)) => {
                Err(Fault::bad(name, format!("there is no field {name} in this request; docs/serve.md lists those that are read")))
            }
            None => Ok(ask),
        }
    }
}

fn check_model(fields: &mut Fields, defaults: &Defaults) -> Result<(), Fault> {
    let Some(name) = fields.read("model", "the name of a model", |value| value.as_str().map(str::to_string))? else { return Ok(()) };
    if name == defaults.model {
        return Ok(());
    }
    let sentence = format!("there is no model {name} here; this server has {} (--served-name gives it another name)", defaults.model);
    Err(Fault { status: StatusCode::NOT_FOUND, ..Fault::bad("model", sentence) }.coded("model_not_found"))
}

fn chat_prompt(fields: &mut Fields, defaults: &Defaults, without_tools: bool) -> Result<Prompt, Fault> {
    let messages = fields.take("messages").ok_or_else(|| Fault::bad("messages", "messages are missing; give a list of them"))?;
    let tools = fields.take("tools").filter(|_| !without_tools).unwrap_or(Json::Null);
    let mut conversation = Conversation::of_request(&messages, &tools).map_err(|e| Fault::of(&e))?;
    if let Some(system) = &defaults.system
        && conversation.messages.first().is_none_or(|first| first.role != "system")
    {
        conversation.messages.insert(0, Message::new("system", system.as_str()));
    }
    let variables = fields.read("chat_template_kwargs", "an object", |value| value.as_object().cloned())?.unwrap_or_default();
    let mut variables: Vec<(String, Json)> = variables.into_iter().collect();
    // Some templates write it; for others it means nothing, as with OpenAI's models that do not think.
    variables.extend(fields.take("reasoning_effort").map(|effort| ("reasoning_effort".to_string(), effort)));
    Ok(Prompt::Chat(conversation, variables))
}

fn text_prompt(fields: &mut Fields) -> Result<Prompt, Fault> {
    let prompt = fields.take("prompt").ok_or_else(|| Fault::bad("prompt", "prompt is missing; give the text to continue"))?;
    let id = |id: &Json| id.as_u64().and_then(|id| u32::try_from(id).ok());
    let tokens = |ids: &[Json]| {
        let ids = ids.iter().map(id).collect::<Option<Vec<u32>>>();
        ids.map(Prompt::Tokens).ok_or_else(|| Fault::bad("prompt", "prompt holds something that is no token"))
    };
    match &prompt {
        Json::String(text) => Ok(Prompt::Text(text.clone())),
        Json::Array(list) => match list.as_slice() {
            [Json::String(text)] => Ok(Prompt::Text(text.clone())),
            [Json::Array(ids)] => tokens(ids),
            ids @ [Json::Number(_), ..] => tokens(ids),
            [_, _, ..] => Err(Fault::bad("prompt", "one prompt is continued for each request; send the others in requests of their own")),
            _ => Err(unlike("prompt", &prompt, "a text")),
        },
        other => Err(unlike("prompt", other, "a text")),
    }
}

fn sampling(fields: &mut Fields, defaults: &Defaults, fresh: u64) -> Result<SamplingOptions, Fault> {
    let given = fields.number("temperature")?;
    let others = &defaults.sampling;
    let sampling = SamplingOptions {
        greedy: given.map_or(others.greedy, |temperature| temperature == 0.0),
        temperature: given.filter(|temperature| *temperature != 0.0).unwrap_or(others.temperature),
        top_p: fields.number("top_p")?.unwrap_or(others.top_p),
        // Also vLLM's word for all, -1.
        top_k: fields.read("top_k", "a whole number", |v| v.as_i64().map(|k| usize::try_from(k).unwrap_or(0)))?.unwrap_or(others.top_k),
        min_p: fields.number("min_p")?.unwrap_or(others.min_p),
        repetition_penalty: fields.number("repetition_penalty")?.unwrap_or(others.repetition_penalty),
        seed: match fields.read("seed", "a whole number", |v| v.as_u64().or_else(|| v.as_i64().map(|seed| seed as u64)))? {
            Some(seed) => seed,
            None if defaults.seeded => others.seed,
            None => fresh,
        },
    };
    sampling.check().map_err(|e| Fault::of(&e))?;
    Ok(sampling)
}

fn stop_words(fields: &mut Fields) -> Result<Vec<String>, Fault> {
    let Some(value) = fields.take("stop") else { return Ok(Vec::new()) };
    let words = match &value {
        Json::String(word) => Some(vec![word.clone()]),
        Json::Array(words) => words.iter().map(|word| word.as_str().map(str::to_string)).collect(),
        _ => None,
    };
    let words = words.ok_or_else(|| unlike("stop", &value, "a text or a list of texts"))?;
    if words.len() > STOP_WORDS {
        return Err(Fault::bad("stop", format!("stop holds {} words, and at most {STOP_WORDS} are looked for", words.len())));
    }
    if words.iter().any(String::is_empty) {
        return Err(Fault::bad("stop", "stop holds an empty word, which would end every answer before it begins"));
    }
    Ok(words)
}

fn include_usage(fields: &mut Fields, stream: bool) -> Result<bool, Fault> {
    let Some(options) = fields.take("stream_options") else { return Ok(false) };
    if !stream {
        return Err(Fault::bad("stream_options", "stream_options is for streams; add \"stream\": true"));
    }
    match options {
        Json::Object(options) => {
            let mut options = Fields(options);
            let usage = options.flag("include_usage")?;
            // Padding against listeners on the wire, which OpenAI's clients may refuse; here there is none.
            options.flag("include_obfuscation")?;
            match options.0.keys().next() {
                Some(name) => Err(Fault::bad("stream_options", format!("there is no stream_options.{name}; include_usage is read"))),
                None => Ok(usage),
            }
        }
        other => Err(unlike("stream_options", &other, "an object")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn defaults() -> Defaults {
        let sampling = SamplingOptions { temperature: 0.7, top_p: 0.95, ..SamplingOptions::default() };
        Defaults { model: "m".into(), system: None, max_new_tokens: 512, sampling, seeded: false }
    }

    fn read(chat: bool, body: &Json) -> Result<Ask, Fault> {
        Ask::read(body.to_string().as_bytes(), chat, &defaults(), 99)
    }

    /// A chat request with these fields on top.
    fn chat(more: Json) -> Result<Ask, Fault> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hello"}]});
        let (Json::Object(fields), Json::Object(more)) = (&mut body, more) else { panic!("two objects") };
        fields.extend(more);
        read(true, &body)
    }

    #[test]
    fn every_field_that_is_read_has_its_effect() {
        let plain = chat(json!({})).expect("it is right");
        assert_eq!((plain.max_new_tokens, plain.sampling.seed, plain.stream), (512, 99, false));
        assert_eq!((plain.sampling.temperature, plain.sampling.top_p), (0.7, 0.95));
        let full = chat(json!({
            "max_completion_tokens": 7, "temperature": 1.5, "top_p": 0.5, "top_k": 9, "min_p": 0.1, "repetition_penalty": 1.2, "seed": 3,
            "stop": ["a", "b"], "stream": true, "stream_options": {"include_usage": true}, "chat_template_kwargs": {"enable_thinking": false},
            "n": 1, "user": "me", "logprobs": null, "presence_penalty": 0, "response_format": {"type": "text"}, "tool_choice": "auto"
        }))
        .expect("it is right");
        let drawn = SamplingOptions { greedy: false, temperature: 1.5, top_k: 9, top_p: 0.5, min_p: 0.1, repetition_penalty: 1.2, seed: 3 };
        assert_eq!((full.max_new_tokens, full.sampling), (7, drawn));
        assert_eq!((full.stop, full.stream, full.include_usage), (vec!["a".into(), "b".into()], true, true));
        assert!(matches!(full.prompt, Prompt::Chat(_, variables) if variables == [("enable_thinking".to_string(), json!(false))]));
        assert!(chat(json!({"temperature": 0})).is_ok_and(|ask| ask.sampling.greedy));
        assert!(chat(json!({"stop": "x", "max_tokens": 5})).is_ok_and(|ask| ask.stop == ["x"] && ask.max_new_tokens == 5));
    }

    #[test]
    fn tools_are_read_and_none_leaves_them_out() {
        let tools = json!([{"type": "function", "function": {"name": "look", "parameters": {}}}]);
        let count = |ask: Ask| if let Prompt::Chat(conversation, _) = ask.prompt { conversation.tools.len() } else { 9 };
        assert_eq!(chat(json!({"tools": tools})).map(count), Ok(1));
        assert_eq!(chat(json!({"tools": tools, "tool_choice": "none"})).map(count), Ok(0));
    }

    #[test]
    fn prompts_are_texts_or_tokens() {
        let prompt = |prompt: Json| read(false, &json!({"prompt": prompt})).map(|ask| ask.prompt);
        assert_eq!(prompt(json!("Once")), Ok(Prompt::Text("Once".into())));
        assert_eq!(prompt(json!(["Once"])), Ok(Prompt::Text("Once".into())));
        assert_eq!(prompt(json!([1, 2])), Ok(Prompt::Tokens(vec![1, 2])));
        assert_eq!(prompt(json!([[1, 2]])), Ok(Prompt::Tokens(vec![1, 2])));
        for (wrong, word) in
            [(json!(["a", "b"]), "one prompt"), (json!([]), "expected"), (json!(5), "expected"), (json!([1.5]), "no token")]
        {
            assert!(prompt(wrong.clone()).is_err_and(|fault| fault.sentence.contains(word)), "{wrong}");
        }
        assert!(read(false, &json!({"prompt": "a", "echo": true})).is_ok_and(|ask| ask.echo));
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_its_name() {
        for (more, param, word) in [
            (json!({"n": 2}), "n", "one answer"),
            (json!({"logprobs": true}), "logprobs", "rootstock logits"),
            (json!({"response_format": {"type": "json_object"}}), "response_format", "form"),
            (json!({"tool_choice": "required"}), "tool_choice", "auto and none"),
            (json!({"presence_penalty": 0.5}), "presence_penalty", "repetition_penalty"),
            (json!({"temperature": -1}), "temperature", "above 0"),
            (json!({"temperature": "hot"}), "temperature", "a number"),
            (json!({"top_p": 0}), "top_p", "above 0"),
            (json!({"max_tokens": 0}), "max_tokens", "from 1"),
            (json!({"max_tokens": 1, "max_completion_tokens": 2}), "max_tokens", "two names"),
            (json!({"stop": [""]}), "stop", "empty"),
            (json!({"stop": vec!["a"; 17]}), "stop", "at most 16"),
            (json!({"stream_options": {"include_usage": true}}), "stream_options", "stream"),
            (json!({"messages": []}), "messages", "empty"),
            (json!({"messages": null}), "messages", "missing"),
            (json!({"tools": [{"a": 1}]}), "tools", "no name"),
            (json!({"frobnicate": 1}), "frobnicate", "no field"),
            (json!({"echo": true}), "echo", "no field"),
        ] {
            match chat(more.clone()) {
                Err(fault) => {
                    assert!(fault.param.as_deref() == Some(param) && fault.sentence.contains(word), "{more}: {fault:?}");
                    assert_eq!(fault.status, StatusCode::BAD_REQUEST);
                }
                Ok(ask) => panic!("{more}: {ask:?}"),
            }
        }
        let other = chat(json!({"model": "gpt"})).expect_err("it is not here");
        assert_eq!((other.status, other.code), (StatusCode::NOT_FOUND, Some("model_not_found")));
        assert!(Ask::read(b"{", true, &defaults(), 0).is_err_and(|fault| fault.sentence.contains("not valid JSON")));
        assert!(Ask::read(b"[]", true, &defaults(), 0).is_err_and(|fault| fault.sentence.contains("expected an object")));
    }
}
