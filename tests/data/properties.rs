//! Whatever text comes, the readers of datasets and templates answer with records or a sentence.

use proptest::prelude::*;
use rootstock::Error;
use rootstock::config::Recipe;
use rootstock::data::{Card, Content, Encoding, TemplateChoice, encode_records, read_records, read_tool_calls};
use serde_json::{Value, json};

use super::named::tokenizer;

/// JSON of a few levels, with the words that datasets use among others.
fn json_value() -> impl Strategy<Value = Value> {
    let word =
        prop::sample::select(vec!["role", "content", "user", "assistant", "tool", "name", "arguments", "function", "value", "from", "x"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..4)
                .prop_map(|entries| { Value::Object(entries.into_iter().map(|(key, value)| (key.to_string(), value)).collect()) }),
        ]
    })
}

/// A sentence with its place.
fn is_told(error: &Error) -> bool {
    let text = error.to_string();
    text.starts_with("d.") && text.len() > 8 && text.lines().next().is_some_and(|line| line.len() < 2000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn records_of_any_shape_are_read_or_told(fields in prop::collection::vec(json_value(), 3), column in prop::sample::select(vec!["messages", "conversations", "history", "tools", "chosen", "text"])) {
        let [first, second, third] = fields.try_into().expect("three");
        let record = json!({"instruction": first, "output": second, column: third});
        match read_records("d.jsonl", record.to_string().as_bytes(), None) {
            Ok(records) => prop_assert!(records.len() == 1 && records[0].line == 1),
            Err(error) => prop_assert!(is_told(&error), "{error}"),
        }
    }

    #[test]
    fn files_of_any_bytes_are_read_or_told(bytes in prop::collection::vec(any::<u8>(), 0..120), kind in prop::sample::select(vec!["jsonl", "json", "csv", "tsv", "txt"])) {
        let name = format!("d.{kind}");
        if let Err(error) = read_records(&name, &bytes, None) {
            prop_assert!(is_told(&error), "{error}");
        }
    }

    #[test]
    fn what_is_written_as_calls_is_read_as_calls(name in "[a-z_]{1,12}", arguments in json_value()) {
        let arguments = if arguments.is_object() { arguments } else { json!({"value": arguments}) };
        let plain = read_tool_calls(&json!({"name": name, "arguments": arguments})).expect("a call");
        let text = read_tool_calls(&json!([{"function": {"name": name, "arguments": arguments.to_string()}}])).expect("the same as text");
        prop_assert_eq!(&plain[0]["function"]["arguments"], &arguments);
        prop_assert_eq!(&plain[0]["function"], &text[0]["function"]);
    }

    #[test]
    fn any_value_is_calls_or_told(value in json_value()) {
        match read_tool_calls(&value) {
            Ok(calls) => prop_assert!(calls.iter().all(|call| call["function"]["name"].is_string() && call["function"]["arguments"].is_object())),
            Err(reason) => prop_assert!(!reason.is_empty()),
        }
    }

    #[test]
    fn cards_choose_among_the_files_that_there_are(pattern in "[a-z/*?{},\\[\\]!.-]{0,20}", folder in "[a-z]{0,4}", raw in "(?s).{0,60}") {
        let files: Vec<String> = ["data/train-0.parquet", "data/test-0.parquet", "en/a.jsonl", "README.md"].map(String::from).to_vec();
        let readme = format!("---\nconfigs:\n- config_name: a\n  data_files: {}\n  data_dir: {}\n---\n", json!(pattern), json!(folder));
        if let Some(card) = Card::parse(&readme).expect("it is YAML")
            && let Ok(splits) = card.splits(None, &files)
        {
            prop_assert!(splits.iter().flat_map(|(_, found)| found).all(|file| files.contains(file) && file != "README.md"));
        }
        let _ = Card::parse(&format!("---\nconfigs:\n{raw}\n---\n"));
    }

    /// Learned tokens end each answer, whatever stands in the words, in every named template.
    #[test]
    fn named_templates_learn_the_answers_alone(name in prop::sample::select(vec!["default", "alpaca", "chatml", "qwen3", "llama3", "gemma3", "mistral", "vicuna"]), question in "[^\\x00<\\[]{1,20}", answer in "[a-z ]{1,12}[a-z]") {
        prop_assume!(!question.trim().is_empty());
        let tokenizer = tokenizer(&TemplateChoice { name: Some(name.into()), ..TemplateChoice::default() });
        let line = json!({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}).to_string();
        let records = read_records("d.jsonl", line.as_bytes(), None).expect("a record");
        let Content::Conversation(_) = &records[0].content else { panic!("a conversation") };
        let samples = encode_records("d", &records, &tokenizer, &Encoding::scoring(512)).expect("it is encoded").samples;
        prop_assert_eq!(samples.len(), 1);
        let learned: Vec<u32> = samples[0].labels.iter().filter_map(|label| u32::try_from(*label).ok()).collect();
        let text = tokenizer.decode(&learned, false).expect("it decodes");
        prop_assert!(text.contains(answer.trim()), "{name}: {text:?} of {answer:?}");
        prop_assert!(!text.contains(&question) || answer.contains(&question), "{name}: {text:?} holds {question:?}");
    }

    #[test]
    fn the_command_line_wins_whatever_the_file_says(seed in 0u32.., rate in 1e-6f64..1.0, epochs in 1u32..50) {
        let file = format!("model_name_or_path: m\ndataset: d\noutput_dir: o\nseed: {seed}\nlearning_rate: {rate:e}\ndeepspeed: x.json\n");
        let overrides = [format!("seed={}", seed / 2), format!("num_train_epochs={epochs}"), "deepspeed=null".to_string()];
        let recipe = Recipe::parse("r.yaml", &file, &overrides).expect("it is whole");
        prop_assert_eq!((recipe.seed, recipe.learning_rate, recipe.num_train_epochs), (u64::from(seed / 2), rate, f64::from(epochs)));
        prop_assert!(recipe.notices.iter().all(|notice| !notice.contains("deepspeed")));
    }
}
