//! From files to samples: in bounded portions, without reading more than is wanted.

use std::cell::RefCell;
use std::io::Write;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use rootstock::config::Recipe;
use rootstock::data::{PrepareProgress, Prepared, Tokenizer, prepare};
use rootstock::model::ModelConfig;
use rootstock::platform::{Directory, Entry, MemoryDirectory, block_on};
use rootstock::{Error, Result};

use super::tokenizer;

/// A directory that remembers how much of it was read.
#[derive(Clone)]
struct Counted(MemoryDirectory, Rc<RefCell<u64>>);

#[async_trait(?Send)]
impl Directory for Counted {
    fn label(&self) -> String {
        self.0.label()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        self.0.list().await
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        self.0.size(name).await
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        *self.1.borrow_mut() += range.end - range.start;
        self.0.read_range(name, range).await
    }

    async fn read(&self, _: &str) -> Result<Vec<u8>> {
        panic!("a dataset is never read at once")
    }
}

fn config() -> ModelConfig {
    let json = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/golden/llama/config.json")).expect("committed");
    ModelConfig::parse("config.json", &json).expect("a configuration")
}

/// Prepares a recipe's data from files in memory; also how many bytes were read, and how often it was watched.
fn prepared(files: MemoryDirectory, lines: &str) -> (Result<Prepared>, u64, Vec<PrepareProgress>) {
    let recipe = format!("model_name_or_path: m\noutput_dir: o\nstage: sft\n{lines}");
    let recipe = Recipe::parse("recipe.yaml", &recipe, &[]).expect("a recipe");
    let directory = Counted(files, Rc::default());
    let read = directory.1.clone();
    let open = move |path: &str| -> Result<(Box<dyn Directory>, String)> { Ok((Box::new(directory.clone()), path.to_string())) };
    let mut watched = Vec::new();
    let mut watch = |progress| {
        watched.push(progress);
        Ok(())
    };
    let result = block_on(prepare(&recipe, &tokenizer("byte-level"), &config(), &open, None, &mut watch));
    let bytes = *read.borrow();
    (result, bytes, watched)
}

/// The tokens of a dataset are kept, and found again only while nothing that they depend on has changed.
#[test]
fn tokens_are_kept_by_content() {
    let files = MemoryDirectory::new("here").with("d.jsonl", texts(500));
    let cache = MemoryDirectory::new("cache");
    let prepare = |files: &MemoryDirectory, lines: &str, tokenizer: &Tokenizer| {
        let recipe = format!("model_name_or_path: m\noutput_dir: o\ndataset: d.jsonl\n{lines}");
        let recipe = Recipe::parse("recipe.yaml", &recipe, &[]).expect("a recipe");
        let files = files.clone();
        let open = move |path: &str| -> Result<(Box<dyn Directory>, String)> { Ok((Box::new(files.clone()), path.to_string())) };
        let mut worked = false;
        let mut watch = |_| {
            worked = true;
            Ok(())
        };
        let prepared = block_on(prepare(&recipe, tokenizer, &config(), &open, Some(&cache), &mut watch)).expect("fine");
        (prepared.train, worked)
    };
    let byte_level = tokenizer("byte-level");
    let (first, worked) = prepare(&files, "", &byte_level);
    assert!(worked);
    let (again, worked) = prepare(&files, "", &byte_level);
    assert!(!worked && again.samples == first.samples);
    assert_eq!(again.notices, ["the tokens of d.jsonl are those that cache kept"]);
    // What is made of the tokens later does not matter.
    let (held_out, worked) = prepare(&files, "val_size: 100\npacking: true\ncutoff_len: 2048\n", &byte_level);
    assert!(!worked && held_out.records == 400);
    for (what, count, lines, other) in [
        ("other data", 501, "", &byte_level),
        ("another length", 500, "cutoff_len: 16\n", &byte_level),
        ("fewer", 500, "max_samples: 10\n", &byte_level),
        ("another tokenizer", 500, "", &tokenizer("byte-level-gpt2")),
        ("on demand", 500, "overwrite_cache: true\n", &byte_level),
    ] {
        let files = MemoryDirectory::new("here").with("d.jsonl", texts(count));
        assert!(prepare(&files, lines, other).1, "{what}");
    }
}

fn texts(count: usize) -> String {
    (0..count).map(|i| format!("{{\"text\": \"tree number {i} bears {} apples, more than any other\"}}\n", i * 7 % 1000)).collect()
}

#[test]
fn max_samples_stops_reading() {
    let text = texts(60_000);
    let size = text.len() as u64;
    let files = MemoryDirectory::new("here").with("d.jsonl", text);
    let (few, read, _) = prepared(files.clone(), "dataset: d.jsonl\nmax_samples: 100\n");
    assert_eq!(few.expect("fine").train.records, 100);
    assert!(read <= 1 << 20 && size > 3 << 20, "{read} of {size} bytes");
    let (all, read, watched) = prepared(files, "dataset: d.jsonl\nval_size: 0.1\n");
    let all = all.expect("fine");
    assert_eq!((all.train.records, all.eval.records, read), (54_000, 6_000, size));
    assert!(watched.len() > 2 && watched.is_sorted_by(|a, b| a.share <= b.share && a.records < b.records), "{watched:?}");
    assert_eq!(watched.last().map(|progress| (progress.share, progress.records)), Some((1.0, 60_000)));
}

#[test]
fn an_error_of_the_watcher_ends_the_preparation() {
    let files = MemoryDirectory::new("here").with("d.jsonl", texts(20_000));
    let recipe = Recipe::parse("r", "model_name_or_path: m\noutput_dir: o\ndataset: d.jsonl\n", &[]).expect("a recipe");
    let open = move |path: &str| -> Result<(Box<dyn Directory>, String)> { Ok((Box::new(files.clone()), path.to_string())) };
    let mut watch = |progress: PrepareProgress| if progress.records > 4000 { Err(Error::dataset("d", "enough")) } else { Ok(()) };
    let ended = block_on(prepare(&recipe, &tokenizer("byte-level"), &config(), &open, None, &mut watch));
    assert_eq!(ended, Err(Error::dataset("d", "enough")));
}

/// The same samples whatever the file is packed with and however it is cut.
#[test]
fn packed_files_and_lists_give_the_same_samples() {
    let text = texts(3_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).expect("memory");
    let zstandard = ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest);
    let list = format!("[{}]", text.trim_end().replace('\n', ",\n"));
    let files = MemoryDirectory::new("here")
        .with("d.jsonl", text)
        .with("d.json", list)
        .with("z.jsonl.gz", gzip.finish().expect("memory"))
        .with("z.jsonl.zst", zstandard);
    let samples = |name: &str| prepared(files.clone(), &format!("dataset: {name}\n")).0.expect("fine").train;
    let plain = samples("d.jsonl");
    assert_eq!(plain.samples.len(), 3_000);
    for name in ["d.json", "z.jsonl.gz", "z.jsonl.zst"] {
        assert!(samples(name) == plain, "{name}");
    }
}

#[test]
fn bad_records_stop_the_run_or_are_left_out() {
    let mut text = texts(10);
    text.push_str("{\"text\": \"\"}\n{\"text\": 3}\n");
    let files = MemoryDirectory::new("here").with("d.jsonl", text);
    let stopped = prepared(files.clone(), "dataset: d.jsonl\n").0.expect_err("two are wrong").to_string();
    assert!(stopped.starts_with("d.jsonl: 2 of 12 records cannot be used"), "{stopped}");
    let skipped = prepared(files.clone(), "dataset: d.jsonl\non_bad_record: skip\n").0.expect("ten are right");
    assert_eq!(skipped.train.records, 10);
    let notice = &skipped.train.notices[0];
    assert!(notice.starts_with("2 of 12 records are left out (on_bad_record: skip): d.jsonl, line 11: \"text\" is empty"), "{notice}");
    // Nothing but bad records is no dataset.
    let none = MemoryDirectory::new("here").with("d.jsonl", "{\"text\": \"\"}\n{\"text\": 3}\n");
    assert!(matches!(prepared(none, "dataset: d.jsonl\non_bad_record: skip\n").0, Err(Error::Records { count: 2, .. })));
}
