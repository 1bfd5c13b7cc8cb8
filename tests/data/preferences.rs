//! Records of two answers, and of answers that are good or bad: their layouts, their tokens as LLaMA-Factory makes them
//! (scripts/fixtures/make_preferences.py), and what is said of wrong ones.

use rootstock::Result;
use rootstock::config::{Recipe, Stage};
use rootstock::data::{
    Content, Encoding, Feedback, Message, Prepared, Sample, TemplateChoice, Tokenizer, encode_records, load_datasets, prepare, read_records,
};
use rootstock::model::ModelConfig;
use rootstock::platform::{Directory, MemoryDirectory, OutputDirectory, block_on, open_directory};
use serde_json::{Value, json};

fn fixture() -> Value {
    let text = std::fs::read("tests/fixtures/preference/tokens.json").expect("the fixture is part of the repository");
    serde_json::from_slice(&text).expect("JSON")
}

fn tokenizer(template: &str) -> Tokenizer {
    let dir = open_directory("tests/fixtures/templates/tokenizer".as_ref()).expect("committed");
    let choice = TemplateChoice { name: Some(template.into()), ..Default::default() };
    block_on(Tokenizer::load(&dir)).expect("it loads").choose(&choice).expect("the fixture's tokenizer has every template's tokens")
}

fn feedback(sample: &Value) -> Feedback {
    match sample["good"].as_bool() {
        None => Feedback::Pair,
        Some(true) => Feedback::Good,
        Some(false) => Feedback::Bad,
    }
}

#[test]
fn tokens_and_labels_are_those_of_llamafactory() {
    let fixture = fixture();
    let mut wrong = Vec::new();
    let cases = fixture["cases"].as_array().expect("a list");
    assert!(cases.len() >= 40);
    for case in cases {
        let (name, template) = (case["dataset"].as_str().expect("a name"), case["template"].as_str().expect("a name"));
        let mut entry = fixture["datasets"][name]["entry"].clone();
        entry["file_name"] = "d.json".into();
        let files = MemoryDirectory::new("here")
            .with("data/dataset_info.json", json!({"d": entry}).to_string())
            .with("data/d.json", fixture["datasets"][name]["records"].to_string());
        let open = |path: &str| -> Result<(Box<dyn Directory>, String)> { Ok((Box::new(files.clone()), path.to_string())) };
        let records = block_on(load_datasets(&["d".into()], "data", None, &open)).expect("LLaMA-Factory reads it too").records;
        let stage = if name.starts_with("ranked") { Stage::Dpo } else { Stage::Kto };
        let how = Encoding { stage, ..Encoding::scoring(case["cutoff_len"].as_u64().expect("a count") as usize) };
        let samples = encode_records("d", &records, &tokenizer(template), &how).expect("the template takes it").samples;
        let wanted: Vec<Sample> = case["samples"]
            .as_array()
            .expect("a list")
            .iter()
            .zip(&records)
            .map(|(sample, record)| {
                let sequence = |at: usize| {
                    let one = &sample["sequences"][at];
                    let ids = serde_json::from_value(one["input_ids"].clone()).expect("ids");
                    (ids, serde_json::from_value(one["labels"].clone()).expect("labels"))
                };
                Sample::of_answers(feedback(sample), [sequence(0), sequence(1)], record.line)
            })
            .collect();
        if samples != wanted {
            wrong.push(format!("{name}, {template}, {}:\n{samples:?}\n{wanted:?}", case["cutoff_len"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn turns(turns: &[(&str, &str)]) -> Vec<Message> {
    turns.iter().map(|(role, content)| Message::new(*role, *content)).collect()
}

#[test]
fn pairs_are_recognised_by_their_fields() {
    let (asked, better, worse) = (("user", "Which?"), ("assistant", "The pear."), ("assistant", "No."));
    let pair = Content::Pair(turns(&[asked, better]).into(), turns(&[asked, worse]).into());
    for record in [
        r#"{"instruction": "Which?", "chosen": "The pear.", "rejected": "No."}"#,
        r#"{"prompt": "Which?", "chosen": "The pear.", "rejected": "No."}"#,
        r#"{"conversations": [{"from": "human", "value": "Which?"}], "chosen": {"from": "gpt", "value": "The pear."}, "rejected": {"from": "gpt", "value": "No."}}"#,
        // TRL's: the messages before the answers, or whole conversations.
        r#"{"prompt": [{"role": "user", "content": "Which?"}], "chosen": [{"role": "assistant", "content": "The pear."}], "rejected": [{"role": "assistant", "content": "No."}]}"#,
        r#"{"prompt": "Which?", "chosen": [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "The pear."}], "rejected": [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "No."}], "messages": []}"#,
    ] {
        let records = read_records("d.jsonl", record.as_bytes(), None).unwrap_or_else(|e| panic!("{record}: {e}"));
        assert_eq!(records[0].content, pair, "{record}");
    }
    for (record, good) in [
        (r#"{"messages": [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "The pear."}], "label": true}"#, true),
        (r#"{"prompt": "Which?", "completion": "The pear.", "label": false}"#, false),
        (r#"{"instruction": "Which?", "output": "The pear.", "kto_tag": false}"#, false),
    ] {
        let records = read_records("d.jsonl", record.as_bytes(), None).unwrap_or_else(|e| panic!("{record}: {e}"));
        assert_eq!(records[0].content, Content::Rated(turns(&[asked, better]).into(), good), "{record}");
    }
}

/// Prepares a file for a stage, as a run does.
fn prepared(stage: &str, text: &str, more: &[&str], cache: Option<&dyn OutputDirectory>) -> Result<Prepared> {
    let files = MemoryDirectory::new("here").with("d.jsonl", text);
    let recipe = format!("model_name_or_path: m\noutput_dir: o\nstage: {stage}\ndataset: d.jsonl\ntemplate: chatml\n");
    let recipe = Recipe::parse("r.yaml", &recipe, &more.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let open = |path: &str| -> Result<(Box<dyn Directory>, String)> { Ok((Box::new(files.clone()), path.to_string())) };
    let config = std::fs::read("tests/fixtures/golden/llama/config.json").expect("committed");
    let config = ModelConfig { vocab_size: 5000, ..ModelConfig::parse("config.json", &config).expect("a configuration") };
    block_on(prepare(&recipe, &tokenizer("chatml"), &config, &open, cache, &mut |_| Ok(())))
}

const PAIR: &str = r#"{"prompt": "Which?", "chosen": "The pear.", "rejected": "No."}"#;
const RATED: &str = r#"{"prompt": "Which?", "completion": "The pear.", "label": true}"#;
const PLAIN: &str = r#"{"prompt": "Which?", "completion": "The pear."}"#;

#[test]
fn a_stage_refuses_what_it_does_not_learn_from() {
    for (stage, record, words) in [
        ("sft", PAIR, "\"chosen\" says that one answer is better than another: records for preference training (stage: dpo)"),
        ("sft", RATED, "\"label\" marks answers as good or bad (records for stage: kto)"),
        ("pt", PAIR, "stages sft and pt learn one answer"),
        ("dpo", PLAIN, "stage dpo compares two answers to a question: give \"chosen\" and \"rejected\""),
        ("dpo", RATED, "that is stage: kto"),
        ("dpo", "{\"text\": \"a\"}", "stage dpo compares two answers"),
        ("kto", PLAIN, "stage kto learns from answers that are marked as good or bad: give \"label\""),
        ("kto", PAIR, "that is stage: dpo"),
    ] {
        let error = prepared(stage, record, &[], None).expect_err(record).to_string();
        assert!(error.starts_with("d.jsonl, line 1: ") && error.contains(words), "{stage}: {error}");
    }
    assert!(prepared("dpo", PAIR, &[], None).is_ok() && prepared("kto", RATED, &[], None).is_ok());
}

#[test]
fn bad_records_are_named_with_file_and_line() {
    let lines = [
        PAIR,
        r#"{"prompt": "Which?", "chosen": "The same.", "rejected": "The same."}"#,
        r#"{"prompt": "Which?", "chosen": "The pear."}"#,
        r#"{"prompt": "Which?", "chosen": "The pear.", "rejected": ""}"#,
        r#"{"prompt": "", "chosen": "The pear.", "rejected": "No."}"#,
        r#"{"prompt": "Which?", "chosen": 5, "rejected": "No."}"#,
    ];
    let error = prepared("dpo", &lines.join("\n"), &[], None).expect_err("five are wrong").to_string();
    for words in [
        "5 of 6 records",
        "d.jsonl, line 2: \"chosen\" and \"rejected\" are the same answer: neither is better; remove this record",
        "d.jsonl, line 3: \"rejected\" is missing",
        "d.jsonl, line 4: \"rejected\": the answer is empty",
        "d.jsonl, line 5: the question (\"prompt\") is empty",
        "d.jsonl, line 6: \"chosen\" is a number, expected text",
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
    let some = prepared("dpo", &lines.join("\n"), &["on_bad_record=skip"], None).expect("one is right");
    assert_eq!((some.train.samples.len(), some.train.samples[0].feedback), (1, Some(Feedback::Pair)));
    let error = prepared("kto", &[RATED, r#"{"prompt": "a", "completion": "b", "label": "yes"}"#].join("\n"), &[], None);
    let error = error.expect_err("no verdict").to_string();
    assert_eq!(error, "d.jsonl, line 2: \"label\" is text, expected true (a good answer) or false");
    let more = prepared("kto", &[RATED, r#"{"prompt": "a", "completion": "b", "label": null}"#].join("\n"), &[], None);
    assert!(more.expect_err("no verdict").to_string().starts_with("d.jsonl, line 2: \"label\" is missing"));
}

#[test]
fn each_answer_of_kto_has_one_of_another_prompt_with_and_without_a_cache() {
    let text: String = (0..5).map(|i| format!("{{\"prompt\": \"q{i}\", \"completion\": \"a{i}\", \"label\": {}}}\n", i % 2 == 0)).collect();
    let cache = MemoryDirectory::new("cache");
    let plain = prepared("kto", &text, &["val_size=1"], None).expect("fine");
    for _ in 0..2 {
        let kept = prepared("kto", &text, &["val_size=1"], Some(&cache)).expect("fine");
        assert_eq!((&kept.train.samples, &kept.eval.samples), (&plain.train.samples, &plain.eval.samples));
    }
    let tokenizer = tokenizer("chatml");
    assert_eq!(plain.train.samples.len() + plain.eval.samples.len(), 5);
    for sample in plain.train.samples.iter().chain(&plain.eval.samples) {
        let texts: Vec<String> = sample.sequences().map(|(ids, _)| tokenizer.decode(ids, true).expect("text")).collect();
        let i = sample.line - 1;
        assert!(texts[0].contains(&format!("q{i}")) && texts[0].contains(&format!("a{i}")), "{texts:?}");
        assert!(texts[1].contains(&format!("q{i}")) && texts[1].contains(&format!("a{}", (i + 4) % 5)), "{texts:?}");
        assert_eq!(sample.feedback, Some(if i % 2 == 0 { Feedback::Good } else { Feedback::Bad }));
    }
    let one_sided = prepared("kto", &[RATED, RATED].join("\n"), &[], None).expect("it can be trained");
    assert!(
        one_sided.train.notices.iter().any(|notice| notice.contains("all 2 answers are marked as good")),
        "{:?}",
        one_sided.train.notices
    );
}

#[test]
fn a_pair_too_long_for_cutoff_len_keeps_both_answers() {
    let long = format!("{{\"prompt\": \"{}\", \"chosen\": \"yes\", \"rejected\": \"no, {}\"}}", "word ".repeat(200), "never ".repeat(100));
    let cut = prepared("dpo", &long, &["cutoff_len=32"], None).expect("it is cut");
    let sample = &cut.train.samples[0];
    assert!(sample.sequences().all(|(ids, labels)| ids.len() <= 32 && labels.iter().any(|label| *label >= 0)));
    assert_eq!(cut.train.truncated, 1);
}
