//! `generate`, `chat` and `logits`, with the model whose answers are known (see tests/generate/chain.rs).

use rootstock::checkpoint::TensorFile;
use rootstock::platform::{NativeDirectory, block_on};
use serde_json::{Value, json};
use std::rc::Rc;

use super::Workspace;
use crate::generate::chain::{byte_level, reply, write_chain};
use crate::golden::difference;

pub(super) const ANSWER: &str = "aé€🎉 b";

/// A workspace with a model `chain` that answers everything with [`ANSWER`], and goes on with " in it" after " garden".
pub(super) fn workspace() -> Workspace {
    let ws = Workspace::new();
    block_on(async {
        let tokenizer = byte_level().await;
        let garden = tokenizer.encode(" garden in it", false).expect("tokens").into_iter().chain([0]).collect();
        write_chain(&NativeDirectory::new(ws.path("chain")), &[reply(&tokenizer, ANSWER), garden]).await;
    });
    ws
}

#[test]
fn generate_streams_text_or_prints_a_document() {
    let ws = workspace();
    let ask = ["generate", "--model", "chain", "--prompt", "How are you?", "--greedy"];
    let said = ws.run(&ask).good();
    assert_eq!(said.stdout, format!("{ANSWER}\n"));
    assert!(said.stderr.contains("ended by the model"), "{}", said.stderr);

    let document = ws.run(&[&ask[..], &["--json"]].concat()).good().json();
    assert_eq!((&document["text"], &document["finish_reason"]), (&json!(ANSWER), &json!("stop")));
    let ids = document["token_ids"].as_array().expect("ids");
    assert_eq!(document["tokens"], json!(ids.len()));
    assert!(ids.len() >= 10, "nine bytes of three characters, and three letters: {ids:?}");
    assert!(document["tokens_per_second"].as_f64().is_some_and(|n| n > 0.0));

    let document = ws.run(&[&ask[..], &["--json", "--max-new-tokens", "2"]].concat()).good().json();
    assert_eq!((&document["finish_reason"], &document["tokens"]), (&json!("length"), &json!(2)));
    // As it stands, and from stdin.
    let raw = ["generate", "--model", "chain", "--prompt", "-", "--raw", "--greedy", "-q"];
    let said = ws.input(&raw, "The garden\n").good();
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), (" in it\n", ""));
}

#[test]
fn chat_answers_line_by_line() {
    let ws = workspace();
    let chat = ["chat", "--model", "chain", "--greedy", "-q", "--system", "Be brief."];
    let said = ws.input(&chat, "Hello\n\n/clear\n  And you?\n/nonsense\nBye\n/exit\nnever read\n").good();
    assert_eq!(said.stdout, format!("{ANSWER}\n").repeat(3));
    assert!(said.stderr.contains("/nonsense"), "{}", said.stderr);
    // More turns than the 96 tokens of the model's context hold: the oldest are forgotten, the end of the input ends it.
    let said = ws.input(&["chat", "--model", "chain", "--greedy", "--max-new-tokens", "20"], &"What is it?\n".repeat(6)).good();
    assert_eq!(said.stdout, format!("{ANSWER}\n").repeat(6));
    assert!(said.stderr.contains("oldest turns are dropped"), "{}", said.stderr);
}

#[test]
fn what_cannot_be_generated_is_said() {
    let ws = workspace();
    let refused = |more: &[&str], words: &[&str]| {
        let fault = ws.run(&[&["generate", "--model", "chain"], more].concat()).fault();
        assert!(words.iter().all(|word| fault.contains(word)), "{words:?} in: {fault}");
    };
    refused(&["--prompt", "Hi", "--temperature", "0"], &["temperature", "greedy"]);
    refused(&["--prompt", "Hi", "--temperature", "-1"], &["temperature", "-1"]);
    refused(&["--prompt", "Hi", "--top-p", "2"], &["top_p"]);
    refused(&["--prompt", &"very ".repeat(50)], &["prompt", "96"]);
    refused(&["--prompt", "Hi", "--context", "97"], &["context", "96"]);
    refused(&["--prompt", "Hi", "--memory-limit", "64KiB"], &["64.0 KiB", "smaller model"]);
    let fault = ws.input(&["chat", "--model", "chain"], &"very ".repeat(50)).fault();
    assert!(fault.contains("prompt") && fault.contains("96"), "{fault}");
    let fault = ws.run(&["chat", "--model", "train.jsonl"]).fault();
    assert!(fault.contains("this is a file"), "{fault}");
    let fault = ws.run(&["logits", "--model", "model", "--ids", "train.jsonl"]).fault();
    assert!(fault.contains("list of token ids"), "{fault}");
    ws.write("far.json", "[1, 400]");
    let fault = ws.run(&["logits", "--model", "model", "--ids", "far.json"]).fault();
    assert!(fault.contains("400") && fault.contains("307"), "{fault}");
}

#[test]
fn logits_are_printed_as_the_interop_check_reads_them() {
    let ws = Workspace::new();
    let golden = "tests/fixtures/golden/llama";
    let text = std::fs::read(format!("{golden}/golden.json")).expect("the fixture is there");
    let fixture: Value = serde_json::from_slice(&text).expect("JSON");
    let indices = fixture["batch"]["sequences"].as_array().expect("a list");
    let ids: Vec<&Value> = indices.iter().map(|i| &fixture["sequences"][i.as_u64().expect("an index") as usize]["input_ids"]).collect();
    ws.write("ids.json", &json!(ids).to_string());
    let documents = ws.run(&["logits", "--model", "model", "--ids", "ids.json"]).good().json();
    let mut got = Vec::new();
    for (document, ids) in documents.as_array().expect("a list").iter().zip(&ids) {
        assert_eq!(&&document["input_ids"], ids);
        let rows: Vec<Vec<f32>> = serde_json::from_value(document["logits"].clone()).expect("rows of numbers");
        got.extend(rows.concat());
    }
    let want = block_on(async {
        let file = TensorFile::open(Rc::new(NativeDirectory::new(golden)), "golden.safetensors").await.expect("the fixture is there");
        file.read_f32("logits", 0..got.len() as u64).await.expect("golden logits")
    });
    assert!(difference(&got, &want) <= 1e-5);

    // One text is one document.
    ws.write("ids.json", "[3, 4]");
    let document = ws.run(&["logits", "--model", "model", "--ids", "ids.json"]).good().json();
    assert_eq!((&document["input_ids"], document["logits"].as_array().map(Vec::len)), (&json!([3, 4]), Some(2)));
}
