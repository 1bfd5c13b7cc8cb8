//! Arrow files as Hugging Face's `datasets` saves them (scripts/fixtures/make_arrow.py), compared with the same records as JSON lines.

use rootstock::data::{Content, LoadedRecords, load_datasets};
use rootstock::platform::{Directory, MemoryDirectory, block_on, open_directory};
use rootstock::{Error, Result};
use serde_json::Value as Json;

use crate::validate::counting::peak_of;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/arrow");

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{FIXTURES}/{name}")).expect("the fixture is committed")
}

/// A data set among the fixtures.
fn load(name: &str, max_samples: Option<usize>) -> Result<LoadedRecords> {
    let open = |path: &str| -> Result<(Box<dyn Directory>, String)> {
        Ok((Box::new(open_directory(std::path::Path::new(FIXTURES))?), path.to_string()))
    };
    block_on(load_datasets(&[name.to_string()], "data", max_samples, &open))
}

fn load_bytes(name: &str, bytes: Vec<u8>) -> Result<LoadedRecords> {
    let files = MemoryDirectory::new("data").with(name, bytes);
    let open = |path: &str| -> Result<(Box<dyn Directory>, String)> { Ok((Box::new(files.clone()), path.to_string())) };
    block_on(load_datasets(&[name.to_string()], "data", None, &open))
}

fn contents(loaded: LoadedRecords) -> Vec<Content> {
    loaded.records.into_iter().map(|record| record.content).collect()
}

/// What the records of a fixture are as JSON lines.
fn expected(of: &str) -> Vec<Content> {
    let held: Json = serde_json::from_slice(&fixture("records.json")).expect("it is JSON");
    let lines: Vec<String> = held[of].as_array().expect("a list").iter().map(Json::to_string).collect();
    contents(load_bytes("records.jsonl", lines.join("\n").into()).expect("JSON lines are read"))
}

#[test]
fn a_saved_data_set_is_read_in_all_its_parts() {
    let chat = load("chat", None).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(chat.records.len(), 40);
    assert_eq!(contents(chat), expected("chat"));
    assert_eq!(load("chat", Some(25)).expect("it is read").records.len(), 25);
    // `load_datasets` takes a folder's split for evaluation.
    let test = load("splits", None).unwrap_or_else(|e| panic!("{e}"));
    assert!(test.notices.iter().any(|notice| notice.contains("its split test is read")), "{:?}", test.notices);
    assert_eq!(contents(test), expected("test"));
    assert_eq!(contents(load("splits/train", None).expect("a split's own folder")), expected("train"));
}

#[test]
fn single_files_are_read_with_and_without_a_footer() {
    assert_eq!(contents(load("splits/train/data-00000-of-00001.arrow", None).expect("a stream")), expected("train"));
    assert_eq!(contents(load("footer.arrow", None).expect("a file")), expected("train"));
    assert_eq!(contents(load("dictionary.arrow", None).expect("a stream")), expected("dictionary"));
}

#[test]
fn what_cannot_be_read_is_a_sentence() {
    let whole = fixture("splits/train/data-00000-of-00001.arrow");
    let footer = fixture("footer.arrow");
    for (bytes, words) in [
        (whole[..whole.len() / 2].to_vec(), "damaged or cut off"),
        (footer[..footer.len() - 20].to_vec(), "damaged or cut off"),
        (b"no such thing, but long enough".to_vec(), "damaged or cut off"),
        (fixture("compressed.arrow"), "without compression"),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "git lfs pull"),
        (Vec::new(), "holds no record"),
    ] {
        let fault = load_bytes("a.arrow", bytes).expect_err(words).to_string();
        assert!(fault.contains(words) && fault.contains("a.arrow") && !fault.contains('\n'), "{fault}");
    }
}

/// Each byte changed in turn: records or a sentence, and never much memory.
#[test]
fn changed_bytes_do_no_harm() {
    for name in ["splits/test/data-00000-of-00001.arrow", "dictionary.arrow", "footer.arrow"] {
        let whole = fixture(name);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] = bytes[at].wrapping_add(1 + (at % 251) as u8);
            let (outcome, peak) = peak_of(|| load_bytes("a.arrow", bytes));
            assert!(peak < 1 << 30, "{name}, byte {at}: {peak} bytes");
            if let Err(fault) = outcome {
                assert!(matches!(&fault, Error::Dataset { .. } | Error::Line { .. } | Error::Records { .. }), "{name}, byte {at}: {fault}");
            }
        }
    }
}
