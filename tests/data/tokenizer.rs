//! Tokenizers against what transformers makes of the same files.

use proptest::prelude::*;
use rootstock::Error;
use rootstock::data::Tokenizer;
use rootstock::platform::{MemoryDirectory, block_on};

use super::{FIXTURES, fixture, tokenizer};

const NAMES: [&str; 3] = ["byte-level", "byte-level-gpt2", "sentencepiece"];

fn ids(value: &serde_json::Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).expect("a list of ids")
}

#[test]
fn texts_become_the_ids_of_transformers_and_back() {
    for name in NAMES {
        let tokenizer = tokenizer(name);
        for case in fixture(&format!("{name}/encodings.json")).as_array().expect("a list") {
            let text = case["text"].as_str().expect("a text");
            assert_eq!(tokenizer.encode(text, true), Ok(ids(&case["ids"])), "{name}: {text:?}");
            assert_eq!(tokenizer.encode(text, false), Ok(ids(&case["ids_without_special"])), "{name}: {text:?}");
            let decoded = |skip| tokenizer.decode(&ids(&case["ids"]), skip);
            assert_eq!(decoded(false).as_deref(), Ok(case["decoded"].as_str().expect("a text")), "{name}: {text:?}");
            assert_eq!(decoded(true).as_deref(), Ok(case["decoded_skip_special"].as_str().expect("a text")), "{name}: {text:?}");
        }
    }
}

#[test]
fn special_tokens_are_found() {
    let chatml = tokenizer("byte-level");
    assert_eq!((chatml.bos(), chatml.eos(), chatml.eos_ids()), (Some(2), Some(1), [1].as_slice()));
    assert_eq!((chatml.vocab_size(), chatml.largest_id(), chatml.adds_bos()), (307, 306, false));
    assert!(chatml.is_special(1) && !chatml.is_special(40));
    assert!(!chatml.template().is_fallback());
    let llama = tokenizer("sentencepiece");
    assert!(llama.adds_bos());
    assert_eq!(llama.bos(), llama.token_to_id("<s>"));
    assert!(llama.template().is_fallback());
}

/// The byte-level fixture in memory, with files replaced or added; None removes one.
fn variant(changes: &[(&str, Option<&str>)]) -> Result<Tokenizer, Error> {
    let mut dir = MemoryDirectory::new("model");
    for name in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
        if !changes.iter().any(|(changed, _)| *changed == name) {
            dir = dir.with(name, std::fs::read(format!("{FIXTURES}/byte-level/{name}")).expect("committed"));
        }
    }
    for (name, text) in changes {
        if let Some(text) = text {
            dir = dir.with(name, *text);
        }
    }
    block_on(Tokenizer::load(&dir))
}

#[test]
fn eos_may_be_a_list_and_stand_in_several_files() {
    let t = variant(&[("generation_config.json", Some(r#"{"eos_token_id": [0, 2]}"#))]).expect("fine");
    assert_eq!((t.eos(), t.eos_ids()), (Some(1), [0, 1, 2].as_slice()));
    let t = variant(&[("config.json", Some(r#"{"eos_token_id": 5}"#))]).expect("fine");
    assert_eq!(t.eos_ids(), [1, 5]);
    let t = variant(&[("tokenizer_config.json", None), ("special_tokens_map.json", Some(r#"{"eos_token": {"content": "<|im_start|>"}}"#))]);
    assert_eq!(t.expect("fine").eos(), Some(2));
    let t = variant(&[("tokenizer_config.json", None), ("config.json", Some(r#"{"eos_token_id": [7, 5]}"#))]).expect("fine");
    assert_eq!((t.eos(), t.eos_ids()), (Some(7), [5, 7].as_slice()));
}

#[test]
fn templates_are_found_where_transformers_finds_them() {
    let config = r#"{"eos_token": "<|im_end|>", "chat_template": [{"name": "rag", "template": "no"}, {"name": "default", "template": "yes{{ eos_token }}"}]}"#;
    let t = variant(&[("chat_template.jinja", None), ("tokenizer_config.json", Some(config))]).expect("fine");
    assert_eq!(t.template().render(&[], false), Ok("yes<|im_end|>".into()));
    let t = variant(&[("tokenizer_config.json", Some(config))]).expect("fine");
    assert!(t.template().source().contains("im_start"), "chat_template.jinja wins");
    let t = variant(&[("chat_template.jinja", None)]).expect("fine");
    assert!(t.template().is_fallback());
}

#[test]
fn tokens_that_only_the_configuration_names_are_added() {
    let config = |id: u32| format!(r#"{{"added_tokens_decoder": {{"{id}": {{"content": "<|new|>", "special": true}}}}}}"#);
    let t = variant(&[("tokenizer_config.json", Some(&config(307)))]).expect("fine");
    assert_eq!(t.encode("a<|new|>", false).expect("fine").last(), Some(&307));
    assert!(t.is_special(307) && t.largest_id() == 307);
    let error = variant(&[("tokenizer_config.json", Some(&config(400)))]).expect_err("a gap").to_string();
    assert!(error.contains("should have id 400"), "{error}");
}

#[test]
fn a_missing_or_broken_tokenizer_says_what_to_do() {
    let error = variant(&[("tokenizer.json", None)]).expect_err("missing").to_string();
    assert_eq!(error, "model/tokenizer.json: there is no tokenizer; copy tokenizer.json and tokenizer_config.json from the base model");
    let error = variant(&[("tokenizer.json", None), ("tokenizer.model", Some("x"))]).expect_err("slow").to_string();
    assert!(error.contains("convert it once with: python"), "{error}");
    let error = variant(&[("tokenizer.json", Some("{\"version\""))]).expect_err("broken").to_string();
    assert!(error.starts_with("model/tokenizer.json: the tokenizers library cannot read it"), "{error}");
    let error = variant(&[("tokenizer.json", Some("version https://git-lfs.github.com/spec/v1\noid"))]).expect_err("pointer").to_string();
    assert!(error.contains("git lfs pull"), "{error}");
    let error = variant(&[("tokenizer_config.json", Some("{\n\"eos_token\": "))]).expect_err("broken").to_string();
    assert!(error.starts_with("model/tokenizer_config.json, line 2: not valid JSON"), "{error}");
    let error = variant(&[("chat_template.jinja", Some("{% if %}"))]).expect_err("broken").to_string();
    assert!(error.contains("the chat template is broken at line 1"), "{error}");
}

proptest! {
    #[test]
    fn a_stream_shows_what_decoding_at_once_shows(text in "[a-zé日🌳👩‍🚀 .\n]{0,24}", which in 0usize..3, prompt in "[a-z ]{0,9}") {
        let tokenizer = tokenizer(NAMES[which]);
        let ids = tokenizer.encode(&text, false).expect("any text can be encoded");
        let mut stream = tokenizer.stream(&[], false);
        let mut shown = String::new();
        for &id in &ids {
            let piece = stream.push(id).expect("known ids decode");
            prop_assert!(!piece.contains('\u{fffd}'), "half a character of {:?} was shown", text);
            shown += &piece;
        }
        shown += &stream.finish().expect("known ids decode");
        prop_assert_eq!(&shown, &tokenizer.decode(&ids, false).expect("known ids decode"));

        // After a prompt, the answer is what the whole has beyond the prompt: no space is lost.
        let mut all = tokenizer.encode(&prompt, false).expect("any text can be encoded");
        let mut stream = tokenizer.stream(&all, false);
        let before = tokenizer.decode(&all, false).expect("known ids decode");
        let mut shown = String::new();
        for &id in &ids {
            shown += &stream.push(id).expect("known ids decode");
            all.push(id);
        }
        shown += &stream.finish().expect("known ids decode");
        prop_assert_eq!(before + &shown, tokenizer.decode(&all, false).expect("known ids decode"));
    }

    #[test]
    fn any_ids_decode_and_any_text_has_offsets(ids in prop::collection::vec(0u32..500, 0..30), text in any::<String>()) {
        let tokenizer = tokenizer("byte-level");
        let mut stream = tokenizer.stream(&[], true);
        for &id in &ids {
            stream.push(id).expect("unknown ids stand for nothing");
        }
        let (ids, offsets) = tokenizer.encode_with_offsets(&text).expect("any text can be encoded");
        prop_assert_eq!(ids.len(), offsets.len());
        prop_assert_eq!(tokenizer.encode(&text, false), Ok(ids));
        for (start, end) in offsets {
            prop_assert!(start <= end && text.is_char_boundary(start) && text.is_char_boundary(end));
        }
    }
}
