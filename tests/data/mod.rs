//! Datasets, tokenizer, chat template, masks and batches.

mod arrow;
mod batch;
mod formats;
mod hostile;
mod interleave;
mod loader;
mod named;
mod parquet;
mod preferences;
mod prepare;
mod properties;
mod samples;
mod template;
mod tokenizer;
mod tools;
mod version1;

use rootstock::data::Tokenizer;
use rootstock::platform::{block_on, open_directory};

/// The folder of tokenizer fixtures.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tokenizer");

/// A fixture's JSON file.
fn fixture(name: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(format!("{FIXTURES}/{name}")).expect("the fixture is committed");
    serde_json::from_str(&text).expect("the fixture is JSON")
}

/// One of the fixtures' tokenizers.
fn tokenizer(name: &str) -> Tokenizer {
    let dir = open_directory(format!("{FIXTURES}/{name}").as_ref()).expect("the fixture is committed");
    block_on(Tokenizer::load(&dir)).expect("the fixture loads")
}
