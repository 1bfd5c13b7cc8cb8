//! Answers in OpenAI's form: whole ones, and the pieces of a stream.

use serde_json::{Map, Value as Json, json};

use super::queue::End;

/// What all parts of an answer repeat.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Whether it answers a conversation; else it continues a text.
    pub(super) chat: bool,
    /// Different for each answer.
    pub(super) number: u64,
    /// Seconds since 1970.
    pub(super) created: u64,
    pub(super) model: String,
}

impl Head {
    fn id(&self) -> String {
        let kind = if self.chat { "chatcmpl" } else { "cmpl" };
        format!("{kind}-{:x}-{}", self.created, self.number)
    }

    fn object(&self, object: &str, choices: Json) -> Map<String, Json> {
        let mut reply = Map::new();
        reply.insert("id".into(), self.id().into());
        reply.insert("object".into(), object.into());
        reply.insert("created".into(), self.created.into());
        reply.insert("model".into(), self.model.as_str().into());
        reply.insert("choices".into(), choices);
        reply
    }

    /// The calls of an answer, their arguments as text, as OpenAI has them.
    fn calls(&self, calls: &[Json]) -> Vec<Json> {
        let call = |(i, call): (usize, &Json)| {
            let function = &call["function"];
            let id = call["id"].as_str().map_or_else(|| format!("call_{:x}_{}_{i}", self.created, self.number), str::to_string);
            let function = json!({"name": function["name"], "arguments": function["arguments"].to_string()});
            json!({"id": id, "type": "function", "function": function})
        };
        calls.iter().enumerate().map(call).collect()
    }

    /// The whole answer.
    pub(super) fn whole(&self, text: &str, end: &End) -> Json {
        let choice = if self.chat {
            let mut message = json!({"role": "assistant", "content": text, "refusal": null});
            if !end.calls.is_empty() {
                message["tool_calls"] = self.calls(&end.calls).into();
                if text.trim().is_empty() {
                    message["content"] = Json::Null;
                }
            }
            json!({"index": 0, "message": message, "logprobs": null, "finish_reason": end.reason})
        } else {
            json!({"index": 0, "text": text, "logprobs": null, "finish_reason": end.reason})
        };
        let object = if self.chat { "chat.completion" } else { "text_completion" };
        let mut reply = self.object(object, json!([choice]));
        reply.insert("usage".into(), usage(end));
        Json::Object(reply)
    }

    /// A piece of a stream.
    fn chunk(&self, choices: Json) -> Json {
        Json::Object(self.object(if self.chat { "chat.completion.chunk" } else { "text_completion" }, choices))
    }

    fn delta(&self, delta: &Json, reason: Option<&str>) -> Json {
        self.chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]))
    }

    fn text_delta(&self, text: &str, reason: Option<&str>) -> Json {
        self.chunk(json!([{"index": 0, "text": text, "logprobs": null, "finish_reason": reason}]))
    }

    /// What a stream begins with: who speaks.
    pub(super) fn opening(&self) -> Option<Json> {
        self.chat.then(|| self.delta(&json!({"role": "assistant", "content": ""}), None))
    }

    /// More text of a stream.
    pub(super) fn more(&self, text: &str) -> Json {
        if self.chat { self.delta(&json!({"content": text}), None) } else { self.text_delta(text, None) }
    }

    /// What a stream ends with.
    pub(super) fn closing(&self, end: &End, include_usage: bool) -> Vec<Json> {
        let mut chunks = Vec::new();
        for (i, mut call) in self.calls(&end.calls).into_iter().enumerate() {
            call["index"] = i.into();
            chunks.push(self.delta(&json!({"tool_calls": [call]}), None));
        }
        let last = if self.chat { self.delta(&json!({}), Some(end.reason)) } else { self.text_delta("", Some(end.reason)) };
        chunks.push(last);
        if include_usage {
            let mut counts = self.chunk(json!([]));
            counts["usage"] = usage(end);
            chunks.push(counts);
        }
        chunks
    }
}

fn usage(end: &End) -> Json {
    json!({
        "prompt_tokens": end.prompt_tokens,
        "completion_tokens": end.completion_tokens,
        "total_tokens": end.prompt_tokens + end.completion_tokens
    })
}
