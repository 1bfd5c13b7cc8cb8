//! Files by llama.cpp's converter, opened as directories: configuration, weights and tokenizer are those of the model that was converted.

use std::rc::Rc;

use rootstock::checkpoint::Checkpoint;
use rootstock::data::Tokenizer;
use rootstock::gguf::{model_directory, open};
use rootstock::model::ModelConfig;
use rootstock::platform::{Directory, MemoryDirectory, NativeDirectory, block_on};
use rootstock::validate::{Finding, Options, Severity, Verdict, validate};

use super::FIXTURES;

pub(super) const MODELS: [(&str, &str); 10] = [
    ("llama", "byte-level"),
    ("llama-rope", ""),
    ("qwen2", "byte-level"),
    ("qwen3", "byte-level"),
    ("gemma3", ""),
    ("phi3", ""),
    ("gpt2", "byte-level-gpt2"),
    ("olmo2", "byte-level"),
    ("smollm3", "byte-level"),
    ("granite", "byte-level"),
];

pub(super) fn opened(name: &str) -> Rc<dyn Directory> {
    let opened = block_on(open(Rc::new(NativeDirectory::new(FIXTURES)), &format!("{name}.gguf")));
    opened.unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(format!("{FIXTURES}/{name}")).expect("the fixture is there")
}

/// zlib's checksum, by which the maker of the fixtures seeds a tensor.
fn crc(name: &str) -> u64 {
    let mut crc = u32::MAX;
    for byte in name.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    u64::from(!crc)
}

/// What `values` of make_gguf.py gives a tensor.
fn values(name: &str, count: u64) -> Vec<f32> {
    let seed = crc(name);
    (0..count).map(|at| (((at * 2_654_435_761 + seed) % (1 << 32)) >> 16) % 1024).map(|n| n as f32 / 512.0 - 1.0).collect()
}

#[test]
fn weights_are_those_that_were_converted() {
    for (name, _) in MODELS {
        let checkpoint = block_on(Checkpoint::open(opened(name))).unwrap_or_else(|error| panic!("{name}: {error}"));
        for param in checkpoint.params() {
            let stored = block_on(checkpoint.read_stored(param, 0..param.elements())).expect("it reads");
            assert_eq!(stored, values(&param.name, param.elements()), "{name}: {}", param.name);
            // A part that begins and ends within a head, and within a block.
            let part = param.elements() / 5..param.elements() * 4 / 5;
            let found = block_on(checkpoint.read_stored(param, part.clone())).expect("it reads");
            assert_eq!(found, stored[part.start as usize..part.end as usize], "{name}: {}", param.name);
        }
    }
}

#[test]
fn configurations_are_those_that_were_converted() {
    for (name, _) in MODELS {
        let mut expected =
            ModelConfig::parse("config.json", &read(&format!("{name}.config.json"))).expect("the fixture is a configuration");
        let mut found = block_on(Checkpoint::open(opened(name))).expect("it opens").config().clone();
        // A file keeps no dropout probabilities and the like.
        expected.raw.clear();
        found.raw.clear();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn texts_become_the_tokens_of_the_tokenizer_that_was_converted() {
    for (name, tokenizer) in MODELS {
        let path = match tokenizer {
            "" => format!("{FIXTURES}/{name}.encodings.json"),
            _ => format!("tests/fixtures/tokenizer/{tokenizer}/encodings.json"),
        };
        let cases: Vec<serde_json::Value> =
            serde_json::from_slice(&std::fs::read(path).expect("the fixture is there")).expect("it is JSON");
        let tokenizer = block_on(Tokenizer::load(&*opened(name))).unwrap_or_else(|error| panic!("{name}: {error}"));
        for case in &cases {
            let text = case["text"].as_str().expect("a text");
            let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).expect("ids");
            assert_eq!(tokenizer.encode(text, true), Ok(ids.clone()), "{name}: {text:?}");
            // What SentencePiece writes for a space is a space when it is read back.
            let spaced = text.replace('\u{2581}', " ");
            let decoded = case["decoded_skip_special"].as_str().unwrap_or(&spaced);
            assert_eq!(tokenizer.decode(&ids, true).as_deref(), Ok(decoded), "{name}");
        }
    }
}

#[test]
fn a_file_is_ready_and_brings_its_chat_template() {
    for (name, tokenizer) in MODELS {
        let report = block_on(validate(opened(name), &Options::default(), &mut |_| {})).expect("a report");
        assert_eq!(report.verdict, Verdict::Ready, "{name}: {:?}", report.findings);
        let warned = |finding: &&Finding| finding.severity == Severity::Warning;
        let warnings: Vec<_> = report.findings.iter().filter(warned).map(|finding| &finding.message).collect();
        assert!(warnings.is_empty(), "{name}: {warnings:?}");
        let tokenizer_of = block_on(Tokenizer::load(&*opened(name))).expect("it loads");
        assert_eq!(tokenizer_of.template().is_fallback(), tokenizer != "byte-level", "{name}");
    }
}

#[test]
fn a_folder_with_one_file_is_that_model() {
    let folder = |names: &[&str]| {
        let add = |dir: MemoryDirectory, name: &&str| dir.with(name, read("llama.gguf"));
        let dir = names.iter().fold(MemoryDirectory::new("folder"), add);
        block_on(model_directory(Rc::new(dir)))
    };
    let only = folder(&["model.gguf"]).expect("it opens");
    assert_eq!(only.label(), "folder/model.gguf");
    assert!(block_on(Checkpoint::open(only)).is_ok());
    let several = folder(&["a.gguf", "b.gguf"]).err().expect("which one?").to_string();
    assert_eq!(several, "folder: this folder holds several models (a.gguf, b.gguf); give one of the files");
}
