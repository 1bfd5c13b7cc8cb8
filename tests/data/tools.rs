//! Tools in conversations: what of them is learned, and that none is left out in silence.

use rootstock::data::{Encoding, IGNORE, Sample, Tokenizer, encode_records, read_records};

use super::samples::{template_file, with_template};

const TOOLS: &str =
    r#"[{"name": "water", "description": "Waters a tree.", "parameters": {"type": "object", "properties": {"tree": {"type": "string"}}}}]"#;

/// The same conversation as sharegpt and as OpenAI write it, and as LLaMA-Factory's version 1 does.
fn records() -> [(&'static str, String); 3] {
    let tools = serde_json::to_string(TOOLS).expect("text");
    [
        (
            "sharegpt",
            format!(
                r#"{{"conversations": [{{"from": "human", "value": "The pear is dry."}}, {{"from": "function_call", "value": "{{\"name\": \"water\", \"arguments\": {{\"tree\": \"pear\"}}}}"}}, {{"from": "observation", "value": "watered"}}, {{"from": "gpt", "value": "Done."}}], "tools": {tools}}}"#
            ),
        ),
        (
            "openai",
            format!(
                r#"{{"messages": [{{"role": "user", "content": "The pear is dry."}}, {{"role": "assistant", "content": null, "tool_calls": [{{"id": "call00000", "type": "function", "function": {{"name": "water", "arguments": "{{\"tree\": \"pear\"}}"}}}}]}}, {{"role": "tool", "tool_call_id": "call00000", "content": "watered"}}, {{"role": "assistant", "content": "Done."}}], "tools": {TOOLS}}}"#
            ),
        ),
        (
            "v1",
            format!(
                r#"{{"messages": [{{"role": "user", "content": [{{"type": "text", "value": "The pear is dry."}}]}}, {{"role": "assistant", "content": [{{"type": "tool_call", "value": "{{\"name\": \"water\", \"arguments\": {{\"tree\": \"pear\"}}}}"}}], "loss_weight": 1.0}}, {{"role": "tool", "content": [{{"type": "text", "value": "watered"}}]}}, {{"role": "assistant", "content": [{{"type": "text", "value": "Done."}}]}}], "tools": {tools}}}"#
            ),
        ),
    ]
}

fn encode(tokenizer: &Tokenizer, record: &str) -> rootstock::Result<Vec<Sample>> {
    let records = read_records("d.jsonl", record.as_bytes(), None)?;
    encode_records("d", &records, tokenizer, &Encoding::scoring(4096)).map(|encoded| encoded.samples)
}

/// The runs of tokens that are learned, as text.
fn learned(tokenizer: &Tokenizer, sample: &Sample) -> Vec<String> {
    let tokens: Vec<(u32, bool)> = sample.ids.iter().zip(&sample.labels).map(|(id, label)| (*id, *label != IGNORE)).collect();
    let runs = tokens.chunk_by(|a, b| a.1 == b.1).filter(|run| run[0].1);
    runs.map(|run| tokenizer.decode(&run.iter().map(|(id, _)| *id).collect::<Vec<_>>(), false).expect("ids decode")).collect()
}

#[test]
fn calls_are_learned_to_the_token_that_ends_their_turn() {
    let tokenizer = with_template("byte-level", &template_file("qwen"));
    for (name, record) in records() {
        let samples = encode(&tokenizer, &record).expect("the template knows tools");
        let all: Vec<String> = samples.iter().flat_map(|sample| learned(&tokenizer, sample)).collect();
        let call = "<tool_call>\n{\"name\": \"water\", \"arguments\": {\"tree\": \"pear\"}}\n</tool_call><|im_end|>";
        assert_eq!(all.len(), 2, "{name}: {all:?}");
        assert!(all[0].ends_with(call), "{name}: {:?}", all[0]);
        assert!(all[1].ends_with("Done.<|im_end|>") && !all[1].contains("watered"), "{name}: {:?}", all[1]);
        let text = tokenizer.decode(&samples.last().expect("one").ids, false).expect("ids decode");
        assert!(text.contains("# Tools\n\n<tools>\n{\"type\": \"function\", \"function\": {\"name\": \"water\""), "{name}: {text}");
        assert!(text.contains("watered"), "{name}: {text}");
    }
}

#[test]
fn a_template_that_leaves_something_out_is_refused() {
    let tokenizer = with_template("byte-level", &template_file("chatml"));
    for (name, record) in records() {
        let error = encode(&tokenizer, &record).expect_err("the template knows no tools").to_string();
        assert!(
            error.starts_with("d.jsonl, line 1: the chat template does not write the record's tools and tool calls"),
            "{name}: {error}"
        );
    }
    let reasoning = r#"{"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4", "reasoning_content": "Two and two."}]}"#;
    let error = encode(&tokenizer, reasoning).expect_err("the template knows no thoughts").to_string();
    assert!(error.contains("does not write reasoning_content"), "{error}");
    let knows = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let tokenizer = with_template("byte-level", knows);
    let samples = encode(&tokenizer, reasoning).expect("this one does");
    assert_eq!(learned(&tokenizer, &samples[0]), ["<think>Two and two.</think>4<|im_end|>"]);
    // One that leaves the answers out is refused as well.
    let drops = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'user' %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let plain = r#"{"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}"#;
    let error = encode(&with_template("byte-level", drops), plain).expect_err("nothing to learn").to_string();
    assert!(error.contains("leaves this answer out"), "{error}");
}

#[test]
fn answers_of_weight_0_are_read_and_not_learned() {
    let tokenizer = with_template("byte-level", &template_file("chatml"));
    let record = r#"{"messages": [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "The plum.", "weight": 0}, {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "The pear."}]}"#;
    let samples = encode(&tokenizer, record).expect("fine");
    assert_eq!(samples.len(), 1);
    assert_eq!(learned(&tokenizer, &samples[0]), ["The pear.<|im_end|>"]);
    assert!(tokenizer.decode(&samples[0].ids, false).expect("ids decode").contains("The plum."));
}

/// GLM's template writes no end of turn: what ends an answer is the next turn's token, at which generation stops.
#[test]
fn answers_without_an_end_of_turn_end_where_the_next_turn_begins() {
    let glm = "{% for m in messages %}{% if m.role == 'user' %}<|im_start|>{{ m.content }}{% else %}<|end|>{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|end|>{% endif %}";
    let tokenizer = with_template("byte-level", glm);
    let record = r#"{"messages": [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "The plum."}, {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes."}]}"#;
    let samples = encode(&tokenizer, record).expect("fine");
    assert_eq!(samples.len(), 1);
    let sample = &samples[0];
    let (start, eos) = (tokenizer.token_to_id("<|im_start|>").expect("known"), tokenizer.eos().expect("it has one"));
    let second = sample.ids.iter().rposition(|id| *id == start).expect("two turns");
    // <|im_start|> is no token at which generation stops here, so the end of sequence is learned in its place.
    assert_eq!((sample.labels[second], sample.labels[second + 1]), (eos as i32, IGNORE));
    assert_eq!(sample.ids.last(), Some(&eos));
}
