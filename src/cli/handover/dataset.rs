//! A recipe's data in one plain form that LLaMA-Factory reads to the same messages: JSON lines of sharegpt's conversations, or of texts.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use rootstock::config::{OnBadRecord, Recipe};
use rootstock::data::{Content, Conversation, Message, Record, each_record};
use rootstock::platform::open_beside;
use rootstock::{Error, Result};
use serde_json::{Map, Value as Json, json};

/// Tools' results that come one after the other, as LLaMA-Factory joins them.
const BETWEEN_RESULTS: &str = "\n</tool_response>\n<tool_response>\n";

/// One dataset as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    /// Its name in dataset_info.json.
    pub(super) name: String,
    pub(super) records: usize,
}

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Datasets {
    /// By the recipe's order: those for training, then those for evaluation.
    pub(super) written: Vec<Written>,
    /// How many of them are for training.
    pub(super) for_training: usize,
    pub(super) notices: Vec<String>,
}

impl Datasets {
    pub(super) fn train(&self) -> Vec<String> {
        self.written[..self.for_training].iter().map(|dataset| dataset.name.clone()).collect()
    }

    pub(super) fn eval(&self) -> Vec<String> {
        self.written[self.for_training..].iter().map(|dataset| dataset.name.clone()).collect()
    }

    /// Writes the datasets of a recipe and dataset_info.json into `data` below a directory.
    ///
    /// # Errors
    /// What is wrong with the data, and what LLaMA-Factory would make something else of.
    pub(super) async fn write(recipe: &Recipe, out: &Path) -> Result<Datasets> {
        let data = out.join("data");
        let fault = |path: &Path, e: std::io::Error| Error::file(path.display().to_string(), format!("it cannot be written: {e}"));
        fs::create_dir_all(&data).map_err(|e| fault(&data, e))?;
        let (mut datasets, mut registry) = (Datasets::default(), Map::new());
        let evaluation = recipe.eval_dataset.iter().map(|name| (name, true));
        for (name, evaluation) in recipe.dataset.iter().map(|name| (name, false)).chain(evaluation) {
            let called = free_name(name, &registry);
            let path = data.join(format!("{called}.jsonl"));
            let mut file = BufWriter::new(File::create(&path).map_err(|e| fault(&path, e))?);
            let (mut records, mut skipped, mut kind) = (0, 0, None);
            let mut take = |record: Record| {
                let row = row(&record)?;
                let this = Kind::of(&record.content);
                if *kind.get_or_insert(this) != this {
                    let reason = "this file holds records of two kinds, and a dataset of LLaMA-Factory holds one of them; part it";
                    return Err(Error::line(&*record.path, record.line, reason));
                }
                records += 1;
                writeln!(file, "{row}").map_err(|e| fault(&path, e))
            };
            let mut bad = |error: Error| match recipe.on_bad_record {
                OnBadRecord::Skip => {
                    skipped += 1;
                    Ok(())
                }
                OnBadRecord::Stop => Err(error),
            };
            let open = |path: &str| open_beside(path);
            let notices = each_record(name, recipe, evaluation, &open, &mut take, &mut bad).await?;
            file.flush().map_err(|e| fault(&path, e))?;
            datasets.notices.extend(notices);
            if skipped > 0 {
                datasets.notices.push(format!("{name}: {skipped} records that cannot be learned from are left out (on_bad_record: skip)"));
            }
            registry.insert(called.clone(), entry(&called, kind.unwrap_or(Kind::Conversations)));
            datasets.for_training += usize::from(!evaluation);
            datasets.written.push(Written { name: called, records });
        }
        let path = data.join("dataset_info.json");
        let text = serde_json::to_string_pretty(&registry).unwrap_or_default();
        fs::write(&path, text + "\n").map_err(|e| fault(&path, e))?;
        Ok(datasets)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Texts,
    Conversations,
    /// With a preferred and a rejected answer.
    Pairs,
    /// With an answer that is good or bad.
    Rated,
}

impl Kind {
    fn of(content: &Content) -> Kind {
        match content {
            Content::Text(_) => Kind::Texts,
            Content::Conversation(_) => Kind::Conversations,
            Content::Pair(..) => Kind::Pairs,
            Content::Rated(..) => Kind::Rated,
        }
    }
}

/// What dataset_info.json says of a file.
fn entry(name: &str, kind: Kind) -> Json {
    let file = format!("{name}.jsonl");
    if kind == Kind::Texts {
        return json!({"file_name": file, "columns": {"prompt": "text"}});
    }
    let mut entry = json!({
        "file_name": file, "formatting": "sharegpt",
        "columns": {"messages": "conversations", "system": "system", "tools": "tools"}
    });
    if kind == Kind::Pairs {
        entry["ranking"] = true.into();
        entry["columns"]["chosen"] = "chosen".into();
        entry["columns"]["rejected"] = "rejected".into();
    }
    if kind == Kind::Rated {
        entry["columns"]["kto_tag"] = "kto_tag".into();
    }
    entry
}

/// A name for a dataset: that of its file or in dataset_info.json, without what a command line could stumble over.
fn free_name(name: &str, taken: &Map<String, Json>) -> String {
    let last = name.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or(name);
    let stem = last.split('.').next().unwrap_or(last);
    let plain: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' }).collect();
    let plain = if plain.is_empty() { "data".to_string() } else { plain };
    let numbered = (2..).map(|n| format!("{plain}_{n}"));
    std::iter::once(plain.clone()).chain(numbered).find(|name| !taken.contains_key(name)).unwrap_or(plain)
}

/// A record's line.
///
/// # Errors
/// [`Error::Line`] for what LLaMA-Factory would make something else of.
fn row(record: &Record) -> Result<Json> {
    let row = match &record.content {
        Content::Text(text) => Ok(json!({"text": text})),
        Content::Conversation(conversation) => sharegpt(conversation),
        Content::Pair(chosen, rejected) => pair(chosen, rejected),
        Content::Rated(conversation, good) => sharegpt(conversation).map(|mut row| {
            row["kto_tag"] = (*good).into();
            row
        }),
    };
    row.map_err(|reason| Error::line(&*record.path, record.line, reason))
}

/// The messages before the answers, and the two answers beside them.
fn pair(chosen: &Conversation, rejected: &Conversation) -> std::result::Result<Json, String> {
    let last = |row: &mut Json| row["conversations"].as_array_mut().and_then(Vec::pop).unwrap_or_default();
    let (mut row, mut other) = (sharegpt(chosen)?, sharegpt(rejected)?);
    row["chosen"] = last(&mut row);
    row["rejected"] = last(&mut other);
    Ok(row)
}

fn sharegpt(conversation: &Conversation) -> std::result::Result<Json, String> {
    let (system, messages) = match conversation.messages.split_first() {
        Some((first, rest)) if first.role == "system" => (first.content.as_str(), rest),
        _ => ("", conversation.messages.as_slice()),
    };
    let mut turns: Vec<(&str, String)> = Vec::new();
    for message in messages {
        let content = content(message)?;
        match (message.role.as_str(), turns.last_mut()) {
            ("tool", Some(("observation", before))) => *before = format!("{before}{BETWEEN_RESULTS}{content}"),
            ("tool", _) => turns.push(("observation", content)),
            ("user", _) => turns.push(("human", content)),
            ("assistant", _) => turns.push((if message.tool_calls().is_empty() { "gpt" } else { "function_call" }, content)),
            (other, _) => return Err(format!("LLaMA-Factory knows no message of {other} behind the first one")),
        }
    }
    let turns: Vec<Json> = turns.into_iter().map(|(from, value)| json!({"from": from, "value": value})).collect();
    let tools = if conversation.tools.is_empty() { String::new() } else { Json::Array(conversation.tools.clone()).to_string() };
    Ok(json!({"conversations": turns, "system": system, "tools": tools}))
}

/// The text of a message as sharegpt has it: thoughts in tags, calls as JSON.
fn content(message: &Message) -> std::result::Result<String, String> {
    if message.role == "assistant" && !message.learned {
        return Err(
            "this answer has the weight 0 (it is read and not learned), and LLaMA-Factory learns every answer; remove it from the data"
                .into(),
        );
    }
    let thought = message.more.get("reasoning_content").and_then(Json::as_str).filter(|thought| !thought.trim().is_empty());
    let thought = thought.map(|thought| format!("<think>\n{}\n</think>\n\n", thought.trim())).unwrap_or_default();
    let calls = message.tool_calls();
    if calls.is_empty() {
        return Ok(thought + &message.content);
    }
    if !message.content.trim().is_empty() && !message.content.trim_start().starts_with("<think>") {
        return Err("this answer has words beside its tool calls, which LLaMA-Factory's function_call cannot hold; part it into two".into());
    }
    let calls: Vec<Json> =
        calls.iter().map(|call| json!({"name": call["function"]["name"], "arguments": call["function"]["arguments"]})).collect();
    let json = if let [call] = calls.as_slice() { call.to_string() } else { Json::Array(calls).to_string() };
    Ok(format!("{thought}{}{json}", message.content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(messages: Json, tools: Json) -> std::result::Result<Json, String> {
        let messages: Vec<Message> = serde_json::from_value(messages).expect("messages");
        sharegpt(&Conversation { messages, tools: tools.as_array().cloned().unwrap_or_default() })
    }

    #[test]
    fn conversations_become_sharegpt_s() {
        let plain = read(
            json!([{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]),
            json!([]),
        );
        let turns = json!([{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]);
        assert_eq!(plain, Ok(json!({"conversations": turns, "system": "S", "tools": ""})));
        let call = json!({"type": "function", "function": {"name": "look", "arguments": {"tree": "pear"}}});
        let called = read(
            json!([
                {"role": "user", "content": "Q"}, {"role": "assistant", "content": "", "tool_calls": [call]},
                {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"},
                {"role": "assistant", "content": "A", "reasoning_content": "Well."}
            ]),
            json!([{"type": "function", "function": {"name": "look"}}]),
        )
        .expect("it can be written");
        assert_eq!(called["conversations"][1], json!({"from": "function_call", "value": r#"{"name":"look","arguments":{"tree":"pear"}}"#}));
        assert_eq!(called["conversations"][2], json!({"from": "observation", "value": format!("1{BETWEEN_RESULTS}2")}));
        assert_eq!(called["conversations"][3]["value"], "<think>\nWell.\n</think>\n\nA");
        assert!(called["tools"].as_str().is_some_and(|tools| tools.contains("look")));
        let both = json!([{"role": "user", "content": "Q"}, {"role": "assistant", "content": "I look.", "tool_calls": [call]}]);
        assert!(read(both, json!([])).is_err_and(|reason| reason.contains("beside its tool calls")));
    }

    #[test]
    fn pairs_have_their_answers_beside_the_messages() {
        let with = |answer: &str| Conversation::from(vec![Message::new("user", "Q"), Message::new("assistant", answer)]);
        let row = pair(&with("A"), &with("B")).expect("it can be written");
        assert_eq!(row["conversations"], json!([{"from": "human", "value": "Q"}]));
        assert_eq!((&row["chosen"], &row["rejected"]), (&json!({"from": "gpt", "value": "A"}), &json!({"from": "gpt", "value": "B"})));
        assert_eq!(entry("d", Kind::Pairs)["ranking"], true);
    }

    #[test]
    fn names_are_plain_and_different() {
        let mut taken = Map::new();
        for (name, expected) in
            [("data/train.jsonl", "train"), ("other/train.json.gz", "train_2"), ("a b/", "a_b"), ("ü.txt", "_"), ("x", "x")]
        {
            assert_eq!(free_name(name, &taken), expected);
            taken.insert(expected.into(), Json::Null);
        }
    }
}
