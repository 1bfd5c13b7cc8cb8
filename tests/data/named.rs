//! Templates by LLaMA-Factory's names: the same tokens and labels, and the same chat template beside the result.

use rootstock::config::Stage;
use rootstock::data::{Content, Encoding, IGNORE, TemplateChoice, Tokenizer, encode_records, read_records};
use rootstock::platform::{MemoryDirectory, block_on, open_directory};
use serde_json::{Value as Json, json};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/templates");
/// 30 November 2026, which the fixtures were told.
const NOW: i64 = 1_796_000_000;

fn choice(name: &str) -> TemplateChoice {
    TemplateChoice { name: Some(name.into()), ..Default::default() }
}

pub(super) fn tokenizer(choice: &TemplateChoice) -> Tokenizer {
    let dir = open_directory(format!("{FIXTURES}/tokenizer").as_ref()).expect("committed");
    block_on(Tokenizer::load_at(&dir, NOW)).expect("it loads").choose(choice).expect("the fixture's tokenizer has every template's tokens")
}

fn fixture() -> Json {
    serde_json::from_str(&std::fs::read_to_string(format!("{FIXTURES}/cases.json")).expect("committed")).expect("JSON")
}

/// A conversation of LLaMA-Factory's as a line of a dataset.
fn record(conversation: &Json) -> String {
    let tag = |role: &str| match role {
        "user" => "human",
        "assistant" => "gpt",
        "function" => "function_call",
        other => other.to_string().leak(),
    };
    let messages = conversation["messages"].as_array().expect("a list").iter();
    let messages: Vec<Json> =
        messages.map(|message| json!({"from": tag(message["role"].as_str().expect("a role")), "value": message["content"]})).collect();
    json!({"conversations": messages, "system": conversation["system"], "tools": conversation["tools"]}).to_string()
}

#[test]
fn tokens_and_labels_are_those_of_llamafactory() {
    let fixture = fixture();
    let cases = fixture["cases"].as_array().expect("a list");
    assert!(cases.len() > 300);
    let mut wrong = Vec::new();
    for case in cases {
        let name = case["template"].as_str().expect("a name");
        let place = format!("{name}, {}, {}", case["option"], case["conversation"]);
        let tokenizer = tokenizer(&TemplateChoice {
            enable_thinking: case["enable_thinking"].as_bool(),
            preserve_thinking: case["preserve_thinking"] == true,
            ..choice(name)
        });
        let how = Encoding {
            stage: Stage::Sft,
            cutoff_len: case["cutoff_len"].as_u64().map_or(2048, |n| n as usize),
            train_on_prompt: case["train_on_prompt"] == true,
            mask_history: case["mask_history"] == true,
            ..Encoding::scoring(2048)
        };
        let line = record(&fixture["conversations"][case["conversation"].as_str().expect("a name")]);
        let records = read_records("d.jsonl", line.as_bytes(), None).expect("a record");
        let samples = encode_records("d", &records, &tokenizer, &how).expect("the template takes it").samples;
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).expect("ids");
        let labels = case["labels"].as_str().expect("text").bytes().enumerate();
        let other = |i: usize| case["other"][i.to_string()].as_i64().map(|label| label as i32);
        let labels: Vec<i32> = labels.map(|(i, mark)| if mark == b'0' { IGNORE } else { other(i).unwrap_or(ids[i] as i32) }).collect();
        if samples.len() != 1 || samples[0].ids != ids || samples[0].labels != labels {
            let text = |ids: &[u32]| tokenizer.decode(ids, false).unwrap_or_default();
            wrong.push(format!("{place}: {:?} for {:?}", text(&samples[0].ids), text(&ids)));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// What is written beside the trained model renders as LLaMA-Factory's own does in transformers.
#[test]
fn the_saved_chat_template_renders_the_same() {
    let fixture = fixture();
    let mut compared = 0;
    for case in fixture["cases"].as_array().expect("a list") {
        let Some(rendered) = case["rendered"].as_str() else { continue };
        let tokenizer = tokenizer(&choice(case["template"].as_str().expect("a name")));
        assert!(tokenizer.template().is_new(), "the fixture's tokenizer has no template of its own");
        let line = record(&fixture["conversations"][case["conversation"].as_str().expect("a name")]);
        let records = read_records("d.jsonl", line.as_bytes(), None).expect("a record");
        let Content::Conversation(conversation) = &records[0].content else { panic!("a conversation") };
        assert_eq!(tokenizer.template().render(&conversation.messages, false), Ok(rendered.to_string()), "{case}");
        compared += 1;
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn what_differs_from_the_checkpoints_own_is_told() {
    let own = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    let dir = MemoryDirectory::new("model")
        .with("chat_template.jinja", own)
        .with("tokenizer_config.json", std::fs::read(format!("{FIXTURES}/tokenizer/tokenizer_config.json")).expect("committed"))
        .with("tokenizer.json", std::fs::read(format!("{FIXTURES}/tokenizer/tokenizer.json")).expect("committed"));
    let choose = |choice: &TemplateChoice| block_on(Tokenizer::load(&dir)).expect("it loads").choose(choice);
    let qwen = choose(&choice("qwen")).expect("it goes");
    let notice = &qwen.template_notices()[0];
    assert!(notice.starts_with("template: qwen is LLaMA-Factory's, and differs from the checkpoint's own: before the first question it writes \"<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud."), "{notice}");
    assert!(notice.contains("after the last answer it writes \"<|im_end|>\\n\", the own one \"<|im_end|>\""), "{notice}");
    assert!(notice.ends_with("leave template out to use the checkpoint's own") && !qwen.template().is_new(), "{notice}");
    let chatml = choose(&choice("chatml")).expect("it goes");
    assert!(chatml.template().is_new() && chatml.template_notices()[0].contains("it is saved with the trained model"));
    assert_eq!(chatml.replaced_eos().map(|(_, token)| token).as_deref(), Some("<|im_end|>"));
    assert!(choose(&TemplateChoice::default()).expect("it goes").template_notices().is_empty());
    // Another system message in its place.
    let told = choose(&TemplateChoice { default_system: Some("Be brief.".into()), ..choice("qwen") }).expect("it goes");
    assert!(told.template_notices()[0].contains("Be brief."));
}

#[test]
fn a_template_that_does_not_fit_is_refused() {
    let dir = open_directory(super::FIXTURES.as_ref()).expect("committed");
    let dir = open_directory(format!("{}/byte-level", rootstock::platform::Directory::label(&dir)).as_ref()).expect("committed");
    let choose =
        |choice: &TemplateChoice| block_on(Tokenizer::load(&dir)).expect("it loads").choose(choice).expect_err("refused").to_string();
    assert!(choose(&choice("gemma")).contains("the tokenizer lacks <end_of_turn>, which the template gemma writes"));
    assert!(choose(&choice("quen")).contains("did you mean qwen?"));
    let alone = TemplateChoice { tool_format: Some("qwen".into()), ..Default::default() };
    assert!(choose(&alone).starts_with("tool_format: it belongs to a template: NAME"));
}
