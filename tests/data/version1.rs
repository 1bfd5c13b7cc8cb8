//! Data as LLaMA-Factory's version 1 describes it: converters, its own form of pairs, records that are drawn.

use rootstock::Result;
use rootstock::data::{Content, Record, load_datasets};
use rootstock::platform::{Directory, MemoryDirectory, block_on};

fn load(description: &str, data: &str, max_samples: Option<usize>) -> Result<(Vec<Record>, Vec<String>)> {
    let files = MemoryDirectory::new("here").with("d.yaml", description.as_bytes().to_vec()).with("d.jsonl", data.as_bytes().to_vec());
    let open = move |path: &str| -> Result<(Box<dyn Directory>, String)> { Ok((Box::new(files.clone()), path.to_string())) };
    let loaded = block_on(load_datasets(&["d.yaml".into()], "data", max_samples, &open))?;
    Ok((loaded.records, loaded.notices))
}

/// The messages of both conversations of a pair, as role and content.
fn pair(record: &Record) -> [Vec<(String, String)>; 2] {
    let Content::Pair(chosen, rejected) = &record.content else { panic!("{record:?}") };
    [chosen, rejected].map(|talk| talk.messages.iter().map(|message| (message.role.clone(), message.content.clone())).collect())
}

#[test]
fn pairs_come_by_a_converter_or_in_version_1s_own_form() {
    let said = |role: &str, text: &str| (role.to_string(), text.to_string());
    let expected = [
        vec![said("system", "S"), said("user", "Q"), said("assistant", "good")],
        vec![said("system", "S"), said("user", "Q"), said("assistant", "bad")],
    ];
    let talk = |answer: &str| {
        format!(
            r#"[{{"role": "system", "content": "S"}}, {{"role": "user", "content": "Q"}}, {{"role": "assistant", "content": "{answer}"}}]"#
        )
    };
    let converted = format!("{{\"chosen\": {}, \"rejected\": {}}}\n", talk("good"), talk("bad"));
    let (records, _) = load("pairs: {path: d.jsonl, source: local, converter: pair}\n", &converted, None).expect("pairs");
    assert_eq!(pair(&records[0]), expected);

    let part = |role: &str, text: &str, weight: f64| {
        format!(r#"{{"role": "{role}", "content": [{{"type": "text", "value": "{text}"}}], "loss_weight": {weight:.1}}}"#)
    };
    let talk = |answer: &str| format!("[{}, {}, {}]", part("system", "S", 0.0), part("user", "Q", 0.0), part("assistant", answer, 1.0));
    let own = format!("{{\"chosen_messages\": {}, \"rejected_messages\": {}}}\n", talk("good"), talk("bad"));
    let (records, _) = load("pairs: {path: d.jsonl, source: local}\n", &own, None).expect("pairs");
    assert_eq!(pair(&records[0]), expected);
}

#[test]
fn converters_read_what_version_1_reads() {
    let alpaca = "{\"system\": \"S\", \"instruction\": \"Q\", \"input\": \"\", \"output\": \"A\"}\n";
    let (records, notices) = load("a: {path: d.jsonl, source: local, converter: alpaca}\n", alpaca, None).expect("alpaca");
    let Content::Conversation(talk) = &records[0].content else { panic!("{records:?}") };
    assert_eq!((talk.messages[0].role.as_str(), notices.as_slice()), ("system", [].as_slice()));
    let tools = r#"[{\"name\": \"look\", \"description\": \"Looks.\", \"parameters\": {\"type\": \"object\", \"properties\": {}}}]"#;
    let sharegpt =
        format!(r#"{{"conversations": [{{"from": "human", "value": "Q"}}, {{"from": "gpt", "value": "A"}}], "tools": "{tools}"}}"#);
    let (records, notices) = load("a: {path: d.jsonl, source: local, converter: sharegpt}\n", &sharegpt, None).expect("sharegpt");
    let Content::Conversation(talk) = &records[0].content else { panic!("{records:?}") };
    assert!(talk.tools.len() == 1 && notices.is_empty(), "{talk:?} {notices:?}");
}

/// The same records as `random.seed(42); random.choices(range(10), k=…)` draws in Python.
#[test]
fn size_and_weight_draw_records_as_version_1_does() {
    let data: String = (0..10).map(|i| format!("{{\"instruction\": \"Q{i}\", \"output\": \"A\"}}\n")).collect();
    let lines = |fields: &str, max_samples| {
        let description = format!("a: {{path: d.jsonl, source: local, converter: alpaca, {fields}}}\n");
        load(&description, &data, max_samples).map(|(records, notices)| (records.iter().map(|r| r.line).collect::<Vec<_>>(), notices))
    };
    let drawn = vec![1, 1, 1, 3, 3, 3, 5, 6, 7, 7, 8, 9];
    let (found, notices) = lines("size: 12", None).expect("drawn");
    assert_eq!(found, drawn);
    assert_eq!(notices, ["a: 12 records are drawn from 10, some of them several times, as LLaMA-Factory draws them"]);
    assert_eq!(lines("weight: 1.2", None).expect("drawn").0, drawn);
    assert_eq!(lines("size: 12, weight: 0.5", None).expect("drawn").0, [1, 1, 3, 3, 7, 9]);
    assert_eq!(lines("size: 12", Some(3)).expect("drawn").0.len(), 3, "of the first three, three");
    assert!(lines("size: 12", Some(3)).expect("drawn").0.iter().all(|line| *line <= 3));
    let error = lines("weight: 1.0e+12", None).expect_err("too many");
    assert!(error.to_string().starts_with("a: size and weight make"), "{error}");
}
