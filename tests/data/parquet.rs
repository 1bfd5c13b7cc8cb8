//! Parquet files as pyarrow writes them (scripts/fixtures/make_parquet.py), compared with the same records as JSON lines; and broken ones.

use rootstock::data::{Content, Record, load_datasets};
use rootstock::platform::{Directory, MemoryDirectory, block_on};
use rootstock::{Error, Result};
use serde_json::Value as Json;

use crate::validate::counting::peak_of;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parquet");

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{FIXTURES}/{name}")).expect("the fixture is committed")
}

/// The records of one file, which is all that the directory holds.
fn read(name: &str, bytes: Vec<u8>) -> Result<Vec<Record>> {
    load(MemoryDirectory::new("data").with(name, bytes), name, None)
}

fn load(files: MemoryDirectory, name: &str, max_samples: Option<usize>) -> Result<Vec<Record>> {
    let open = move |path: &str| -> Result<(Box<dyn Directory>, String)> { Ok((Box::new(files.clone()), path.to_string())) };
    block_on(load_datasets(&[name.to_string()], "data", max_samples, &open)).map(|loaded| loaded.records)
}

fn contents(records: Vec<Record>) -> Vec<Content> {
    records.into_iter().map(|record| record.content).collect()
}

/// What the records of a fixture are as JSON lines.
fn expected(of: &str) -> Vec<Content> {
    let held: Json = serde_json::from_slice(&fixture("records.json")).expect("it is JSON");
    let lines: Vec<String> = held[of].as_array().expect("a list").iter().map(Json::to_string).collect();
    contents(read("records.jsonl", lines.join("\n").into()).expect("JSON lines are read"))
}

#[test]
fn every_compression_and_encoding_gives_the_records() {
    for compression in ["none", "snappy", "gzip", "zstd", "lz4"] {
        let records = read("a.parquet", fixture(&format!("alpaca.{compression}.parquet"))).unwrap_or_else(|e| panic!("{compression}: {e}"));
        assert_eq!(records.iter().map(|record| record.line).collect::<Vec<_>>(), [1, 2, 3, 4], "{compression}");
        assert_eq!(contents(records), expected("alpaca"), "{compression}");
    }
    for name in ["chat.parquet", "chat-plain.parquet"] {
        let records = read(name, fixture(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(contents(records), expected("chat"), "{name}");
    }
}

#[test]
fn a_folder_of_parts_is_one_set_and_max_samples_stops_in_it() {
    let parts = || {
        MemoryDirectory::new("data")
            .with("set/data/train-00000-of-00002.parquet", fixture("chat.parquet"))
            .with("set/data/train-00001-of-00002.parquet", fixture("chat-plain.parquet"))
    };
    let all = load(parts(), "set", None).expect("the folder is read");
    assert_eq!(contents(all), [expected("chat"), expected("chat")].concat());
    assert_eq!(load(parts(), "set", Some(45)).expect("the folder is read").len(), 45);
}

#[test]
fn what_cannot_be_read_is_a_sentence() {
    let whole = fixture("alpaca.snappy.parquet");
    for (name, bytes, words) in [
        ("a.parquet", b"PAR1".to_vec(), "does not end as a Parquet file does"),
        ("a.parquet", whole[..whole.len() - 9].to_vec(), "does not end as a Parquet file does"),
        ("a.parquet", [b"PAR1\xff\xff\xff\x7f", b"PAR1".as_slice()].concat(), "2147483647 bytes"),
        ("a.parquet", [b"PAR1\x00\x00\x00\x00", b"PARE".as_slice()].concat(), "encrypted"),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "git lfs pull"),
        ("a.parquet", fixture("empty.parquet"), "holds no record"),
        ("a.parquet", fixture("brotli.parquet"), "zstd"),
        ("a.parquet.gz", whole.clone(), "unpack this one first"),
    ] {
        let fault = read(name, bytes).expect_err(words).to_string();
        assert!(fault.contains(words) && fault.contains(name) && !fault.contains('\n'), "{fault}");
    }
    let fault = load(MemoryDirectory::new("data").with("b.jsonl", ""), "a.parquet", None).expect_err("there is none");
    assert!(matches!(&fault, Error::File { .. } | Error::Dataset { .. } | Error::Recipe { .. }), "{fault}");
}

/// Each byte changed in turn: records or a sentence, and never much memory.
#[test]
fn changed_bytes_do_no_harm() {
    for name in ["alpaca.snappy.parquet", "alpaca.zstd.parquet", "chat.parquet"] {
        let whole = fixture(name);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] = bytes[at].wrapping_add(1 + (at % 251) as u8);
            let (outcome, peak) = peak_of(|| read("a.parquet", bytes));
            assert!(peak < 1 << 30, "{name}, byte {at}: {peak} bytes");
            if let Err(fault) = outcome {
                assert!(fault.to_string().contains("a.parquet"), "{name}, byte {at}: {fault}");
            }
        }
    }
}
