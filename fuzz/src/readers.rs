//! The readers of a stranger's files, one function each, as the fuzz targets and the ordinary tests call them
//! (tests/validate/hostile.rs replays the corpus). Whatever the bytes are, they may not panic, may not take more memory than a small multiple
//! of the file, and may not ask for a file outside the directory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use rootstock::adapter::Adapter;
use rootstock::checkpoint::{Checkpoint, TensorFile, TorchFile};
use rootstock::config::Recipe;
use rootstock::data::{Card, ChatTemplate, Message, Tokenizer, load_datasets, read_records};
use rootstock::model::{ModelConfig, params};
use rootstock::platform::{Directory, Entry, MemoryDirectory, block_on};
use rootstock::validate::{Options, Verdict, fix, validate};
use rootstock::workflow::token_descriptions;
use rootstock::{Error, Result};

use super::counting::peak_of;

/// Bytes that a reader may take for each byte of the files: what a byte of JSON or of a pickle can become (a list of nothing is two bytes
/// there and an empty vector and its place here), with room for a vector that grows.
const PER_BYTE: usize = 400;
/// What it may take whatever the files are: the tables of a tokenizer, a template engine, a report.
const AT_LEAST: usize = 4 << 20;

/// What a template may take: its fuel pays for 128 MiB, and a text that grows exists twice for a moment.
const RENDERED: usize = 512 << 20;

/// A reader, as it is called with the bytes of a file.
pub type Reader = fn(&[u8]);

/// Every reader by its name, which is also its target's and its corpus's.
pub const READERS: [(&str, Reader); 17] = [
    ("header", header),
    ("index", index),
    ("config", config),
    ("tokenizer", tokenizer),
    ("template", template),
    ("beside", beside),
    ("pickle", pickle),
    ("adapter", adapter),
    ("gguf", gguf),
    ("records", records),
    ("columns", columns),
    ("packed", packed),
    ("described", described),
    ("card", card),
    ("recipe", recipe),
    ("zero", zero),
    ("fsdp", fsdp),
];

/// A directory that fails when it is asked for anything outside.
struct Fenced {
    files: BTreeMap<String, Vec<u8>>,
    asked: RefCell<usize>,
}

impl Fenced {
    fn bytes(&self, name: &str) -> Result<&[u8]> {
        // A guard against reading the same over and over, too.
        *self.asked.borrow_mut() += 1;
        assert!(*self.asked.borrow() < 100_000, "{name} is read without an end");
        let inside = !name.is_empty() && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        let file = self.files.get(name).filter(|_| inside);
        file.map(Vec::as_slice).ok_or_else(|| Error::file(format!("model/{name}"), "there is no such file"))
    }
}

#[async_trait(?Send)]
impl Directory for Fenced {
    fn label(&self) -> String {
        "model".into()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        Ok(self.files.iter().map(|(name, bytes)| Entry { name: name.clone(), size: bytes.len() as u64 }).collect())
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.files.get(name).map(|bytes| bytes.len() as u64))
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let bytes = self.bytes(name)?;
        let part = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok()).and_then(|(a, b)| bytes.get(a..b));
        part.map(<[u8]>::to_vec).ok_or_else(|| Error::file(format!("model/{name}"), "the file ends before that"))
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        self.bytes(name).map(<[u8]>::to_vec)
    }
}

/// What stands beside the bytes in question: a healthy llama of two layers, as transformers writes it.
fn healthy() -> BTreeMap<String, Vec<u8>> {
    macro_rules! files {
        ($($name:literal),*) => {
            BTreeMap::from([$((
                $name.to_string(),
                include_bytes!(concat!("../../tests/fixtures/validate/healthy/llama-v5/", $name)).to_vec(),
            )),*])
        };
    }
    files!("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
}

/// The same in three shards, without their index.
fn sharded() -> BTreeMap<String, Vec<u8>> {
    let mut files = healthy();
    files.remove("model.safetensors");
    macro_rules! shards {
        ($($name:literal),*) => {
            $(files.insert($name.into(), include_bytes!(concat!("../../tests/fixtures/validate/broken/19-no-index/", $name)).to_vec());)*
        };
    }
    shards!("model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors");
    files
}

/// Calls a reader on files, with the memory that it may take; `at_least` more than the multiple of the files' bytes.
fn bounded(files: BTreeMap<String, Vec<u8>>, at_least: usize, read: impl FnOnce(Rc<dyn Directory>)) {
    let bytes: usize = files.values().map(Vec::len).sum();
    let directory: Rc<dyn Directory> = Rc::new(Fenced { files, asked: RefCell::new(0) });
    let ((), peak) = peak_of(|| read(directory));
    let allowed = PER_BYTE * bytes + at_least;
    assert!(peak <= allowed, "{peak} bytes of memory for {bytes} bytes of files");
}

/// Judges a directory, and repairs what is said to be repairable.
fn judge(directory: Rc<dyn Directory>, quick: bool) {
    let options = Options { quick, ..Options::default() };
    let report = block_on(validate(directory.clone(), &options, &mut |_| {})).expect("whatever comes there is a report");
    assert!(report.findings.iter().all(|finding| !finding.message.is_empty()));
    if report.verdict == Verdict::Repairable && !quick {
        // What only a run of the model decides cannot be promised here; everything else must come out ready.
        let out = MemoryDirectory::new("out");
        let fixed = block_on(fix(directory, &out, "repaired", &options, &mut |_| {}));
        if fixed.is_err() {
            assert!(block_on(out.list()).expect("it lists").is_empty(), "a failed repair leaves something behind");
        }
    }
}

/// Looks at both ends of every tensor.
fn read_tensors(file: &TensorFile) {
    for tensor in file.tensors() {
        let n = tensor.elements();
        for range in [0..n.min(4), n.saturating_sub(4)..n] {
            let bytes = block_on(file.read_bytes(&tensor.name, range.clone())).expect("a tensor lies inside its file");
            assert_eq!(bytes.len() as u64 * 8, (range.end - range.start) * tensor.dtype.bitsize() as u64);
            let _ = block_on(file.read_f32(&tensor.name, range));
        }
    }
}

/// model.safetensors: the whole file, or (from `{` on) the JSON of a header to which the rest is made.
pub fn header(data: &[u8]) {
    let mut file = Vec::new();
    if data.starts_with(b"{") {
        let end = |tensor: &serde_json::Value| tensor["data_offsets"][1].as_u64();
        let json: serde_json::Value = serde_json::from_slice(data).unwrap_or_default();
        let end = json.as_object().and_then(|map| map.values().filter_map(end).max()).unwrap_or(0).min(1 << 16);
        file.extend((data.len() as u64).to_le_bytes());
        file.extend(data);
        file.resize(file.len() + end as usize, 0x3c);
    } else {
        file.extend(data);
    }
    let mut files = healthy();
    files.insert("model.safetensors".into(), file);
    bounded(files, AT_LEAST, |directory| {
        if let Ok(file) = block_on(TensorFile::open(directory.clone(), "model.safetensors")) {
            read_tensors(&file);
        }
        judge(directory.clone(), false);
        let _ = block_on(Checkpoint::open(directory));
    });
}

/// model.safetensors.index.json beside three shards, or (from `[` on, which no index begins with) the index of pickles.
pub fn index(data: &[u8]) {
    let mut files = sharded();
    match data.strip_prefix(b"[") {
        Some(data) => {
            files.retain(|name, _| !name.ends_with(".safetensors"));
            files.insert("pytorch_model.bin.index.json".into(), data.to_vec());
            files.insert("pytorch_model-00001-of-00001.bin".into(), b"PK\x03\x04".to_vec());
        }
        None => _ = files.insert("model.safetensors.index.json".into(), data.to_vec()),
    }
    bounded(files, AT_LEAST, |directory| judge(directory, false));
}

/// config.json.
pub fn config(data: &[u8]) {
    let mut files = healthy();
    files.insert("config.json".into(), data.to_vec());
    // A configuration may declare 1024 layers of a dozen tensors in a few bytes; they are described, not allocated.
    const DECLARED: usize = 16 << 20;
    bounded(files, DECLARED, |directory| {
        if let Ok(config) = ModelConfig::parse("config.json", data) {
            assert!(!params(&config).is_empty() && config.parameter_count() > 0);
        }
        judge(directory, false);
    });
}

/// tokenizer.json.
pub fn tokenizer(data: &[u8]) {
    let mut files = healthy();
    files.insert("tokenizer.json".into(), data.to_vec());
    // A regular expression of a few bytes may become megabytes; the library that compiles it has that bound.
    const EXPRESSIONS: usize = 64 << 20;
    bounded(files, EXPRESSIONS, |directory| {
        if let Ok(tokenizer) = block_on(Tokenizer::load(&*directory))
            && let Ok(ids) = tokenizer.encode("A gardener grafts 17 scions; é, 園 and 🌳 too.", true)
        {
            let _ = tokenizer.decode(&ids, false);
            let mut stream = tokenizer.stream(&[], true);
            let _ = ids.iter().try_for_each(|id| stream.push(*id).map(drop));
        }
        judge(directory, true);
    });
}

/// What stands beside tokenizer.json, by the first byte.
pub fn beside(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    let name =
        ["tokenizer_config.json", "chat_template.jinja", "generation_config.json", "special_tokens_map.json"][usize::from(which % 4)];
    let mut files = healthy();
    files.insert(name.into(), data.to_vec());
    bounded(files, RENDERED, |directory| {
        if let Ok(tokenizer) = block_on(Tokenizer::load(&*directory)) {
            let _ = tokenizer.template().render(&[Message::new("user", "Who lives here?"), Message::new("assistant", "Anna.")], true);
        }
        judge(directory, true);
    });
}

/// A chat template, on a stack of one megabyte, which is what a page's worker has.
pub fn template(data: &[u8]) {
    let Ok(source) = String::from_utf8(data.to_vec()) else { return };
    let render = move || {
        let ((), peak) = peak_of(|| {
            let tokens = vec![("bos_token".to_string(), "<s>".to_string()), ("eos_token".to_string(), "</s>".to_string())];
            let Ok(template) = ChatTemplate::new("chat_template.jinja", &source, tokens, 0) else { return };
            let messages = [Message::new("user", "Who lives here?"), Message::new("assistant", "Anna."), Message::new("user", "Since?")];
            let rendered = template.render(&messages, true);
            assert!(rendered.is_ok() || rendered.is_err_and(|error| error.to_string().len() < 5000));
            let _ = template.try_out();
        });
        assert!(peak <= RENDERED + PER_BYTE * source.len(), "{peak} bytes of memory for a template of {} bytes", source.len());
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(render).expect("a thread starts");
    assert!(thread.join().is_ok(), "the template is to blame");
}

/// pytorch_model.bin: the whole file, or (from protocol 2 on) one pickle in torch's older format.
pub fn pickle(data: &[u8]) {
    // Magic number and version, and nothing about the machine.
    const BEFORE: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    let mut file = Vec::new();
    if data.starts_with(b"\x80\x02") && !data.starts_with(&BEFORE[..15]) {
        file.extend(BEFORE);
        file.extend(data);
        file.extend(b"\x80\x02].");
    } else {
        file.extend(data);
    }
    let mut files = healthy();
    files.remove("model.safetensors");
    files.insert("pytorch_model.bin".into(), file);
    bounded(files, AT_LEAST, |directory| {
        if let Ok(torch) = block_on(TorchFile::open(directory.clone(), "pytorch_model.bin")) {
            read_tensors(&torch.file);
        }
        judge(directory, false);
    });
}

/// An adapter of the healthy model: (from `{` on) its configuration, or its weights.
pub fn adapter(data: &[u8]) {
    macro_rules! file {
        ($name:literal) => {
            include_bytes!(concat!("../../tests/fixtures/validate/broken/03-adapter-only/", $name)).to_vec()
        };
    }
    let mut files = BTreeMap::from([
        ("adapter_config.json".to_string(), file!("adapter_config.json")),
        ("adapter_model.safetensors".to_string(), file!("adapter_model.safetensors")),
    ]);
    let name = if data.starts_with(b"{") { "adapter_config.json" } else { "adapter_model.safetensors" };
    files.insert(name.into(), data.to_vec());
    let mut base = MemoryDirectory::new("base");
    for (name, bytes) in healthy() {
        base = base.with(&name, bytes);
    }
    bounded(files, AT_LEAST, |directory| {
        let checkpoint = block_on(Checkpoint::open(Rc::new(base.clone()))).expect("the fixture is healthy");
        let _ = block_on(Adapter::open(directory.clone(), &checkpoint));
        let options = Options { base: Some(Rc::new(base)), ..Options::default() };
        block_on(validate(directory, &options, &mut |_| {})).expect("whatever comes there is a report");
    });
}

/// A GGUF file.
pub fn gguf(data: &[u8]) {
    let files = BTreeMap::from([("model.gguf".to_string(), data.to_vec())]);
    // As for config.json: many layers may be declared in a few bytes.
    const DECLARED: usize = 16 << 20;
    bounded(files, DECLARED, |directory| {
        let Ok(view) = block_on(rootstock::gguf::open(directory, "model.gguf")) else { return };
        let checkpoint = block_on(Checkpoint::open(view.clone())).expect("a view is a model's directory");
        for param in checkpoint.params() {
            let n = param.elements();
            for range in [0..n.min(4), n.saturating_sub(4)..n] {
                block_on(checkpoint.read_stored(param, range)).expect("a tensor lies inside its file");
            }
        }
        judge(view, true);
    });
}

/// A dataset file: its first byte says of which kind, the rest is what it holds.
pub fn records(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    let name = ["d.jsonl", "d.json", "d.csv", "d.tsv", "d.txt"][usize::from(which % 5)];
    let (_, peak) = peak_of(|| {
        if let Ok(records) = read_records(name, data, None) {
            assert!(records.len() <= data.len() && records.iter().all(|record| record.line >= 1));
        }
    });
    assert!(peak <= PER_BYTE * data.len() + AT_LEAST, "{peak} bytes of memory for {} bytes of records", data.len());
}

/// Reads a dataset of a directory's files, with the memory that may take; at most a thousand records, since a file of a few bytes may hold
/// millions that are alike. What is asked for lies in `data`.
fn read_dataset(files: &[(&str, &[u8])], dataset: &str, at_least: usize) {
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let dir = files.iter().fold(MemoryDirectory::new("here"), |dir, (name, bytes)| dir.with(name, bytes.to_vec()));
    let (_, peak) = peak_of(|| {
        let open = |path: &str| -> Result<(Box<dyn Directory>, String)> { Ok((Box::new(dir.clone()), path.to_string())) };
        match block_on(load_datasets(&[dataset.into()], "data", Some(1000), &open)) {
            Ok(loaded) => assert!(loaded.records.iter().all(|record| record.line >= 1)),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
    assert!(peak <= PER_BYTE * bytes + at_least, "{peak} bytes of memory for {bytes} bytes of data");
}

/// A Parquet or an Arrow file, by its first byte.
pub fn columns(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    let name = ["data/d.parquet", "data/d.arrow"][usize::from(which % 2)];
    // A page of a column may be unpacked to a thousand times its size.
    const UNPACKED: usize = 256 << 20;
    read_dataset(&[(name, data)], name, UNPACKED);
}

/// A packed dataset file, by its first byte.
pub fn packed(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    let name = ["data/d.jsonl.gz", "data/d.jsonl.zst", "data/d.csv.gz", "data/d.txt.zst"][usize::from(which % 4)];
    // The longest record, whose place doubles as it grows, and what a piece of the file may be unpacked to.
    const RECORD: usize = 512 << 20;
    read_dataset(&[(name, data)], name, RECORD);
}

/// What says how data or new tokens are meant, by the first byte: dataset_info.json, a description of version 1, descriptions of tokens.
pub fn described(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    let records = b"{\"instruction\": \"Q\", \"output\": \"A\", \"system\": \"S\"}\n".as_slice();
    match which % 3 {
        0 => read_dataset(&[("data/dataset_info.json", data), ("data/d.jsonl", records)], "d", AT_LEAST),
        // Which records are drawn is counted, for the fifty million that there may be.
        1 => read_dataset(&[("d.yaml", data), ("d.jsonl", records)], "d.yaml", 512 << 20),
        _ => {
            let (_, peak) = peak_of(|| match token_descriptions("tokens.yaml", data) {
                Ok(entries) => assert!(!entries.is_empty()),
                Err(error) => assert!(!error.to_string().is_empty()),
            });
            assert!(peak <= PER_BYTE * data.len() + AT_LEAST, "{peak} bytes of memory for {} bytes of descriptions", data.len());
        }
    }
}

/// The card of a data set, and which of some files it means.
pub fn card(data: &[u8]) {
    let Ok(readme) = std::str::from_utf8(data) else { return };
    let files: Vec<String> = (0..20).map(|i| format!("data/{}-{i:05}-of-00020.parquet", ["train", "test"][i % 2])).collect();
    let (_, peak) = peak_of(|| {
        let Ok(Some(card)) = Card::parse(readme) else { return };
        for subset in [None, Some("default"), Some("en")] {
            if let Ok(splits) = card.splits(subset, &files) {
                assert!(splits.iter().flat_map(|(_, found)| found).all(|file| files.contains(file)));
            }
        }
    });
    // A pattern may become a regular expression of megabytes; the library that compiles it has that bound.
    const EXPRESSIONS: usize = 64 << 20;
    assert!(peak <= PER_BYTE * data.len() + EXPRESSIONS, "{peak} bytes of memory for a card of {} bytes", data.len());
}

/// A recipe.
pub fn recipe(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (_, peak) = peak_of(|| {
        if let Err(error) = Recipe::parse("recipe.yaml", text, &[]) {
            assert!(!error.to_string().is_empty());
        }
    });
    assert!(peak <= PER_BYTE * data.len() + AT_LEAST, "{peak} bytes of memory for a recipe of {} bytes", data.len());
}

/// A checkpoint of DeepSpeed's ZeRO: the whole file of the second process, or (from protocol 2 on) its pickle in torch's older format.
pub fn zero(data: &[u8]) {
    macro_rules! file {
        ($name:literal) => {
            (
                concat!("global_step2/", $name).to_string(),
                include_bytes!(concat!("../../tests/fixtures/zero/stage2/global_step2/", $name)).to_vec(),
            )
        };
    }
    const BEFORE: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    let mut changed = Vec::new();
    if data.starts_with(b"\x80\x02") && !data.starts_with(&BEFORE[..15]) {
        changed.extend(BEFORE);
        changed.extend(data);
        changed.extend(b"\x80\x02].");
    } else {
        changed.extend(data);
    }
    let mut files = healthy();
    files.remove("model.safetensors");
    files.extend([
        file!("mp_rank_00_model_states.pt"),
        file!("zero_pp_rank_0_mp_rank_00_optim_states.pt"),
        ("global_step2/zero_pp_rank_1_mp_rank_00_optim_states.pt".to_string(), changed),
    ]);
    bounded(files, AT_LEAST, |directory| judge(directory, false));
}

/// A checkpoint of FSDP: (from protocol 2 on) its `.metadata`, or the whole file of the second process.
pub fn fsdp(data: &[u8]) {
    macro_rules! file {
        ($name:literal) => {
            (
                concat!("pytorch_model_fsdp_0/", $name).to_string(),
                include_bytes!(concat!("../../tests/fixtures/fsdp/fsdp1/pytorch_model_fsdp_0/", $name)).to_vec(),
            )
        };
    }
    let mut files = healthy();
    files.remove("model.safetensors");
    files.extend([file!(".metadata"), file!("__0_0.distcp"), file!("__1_0.distcp")]);
    let changed = if data.starts_with(b"\x80") { ".metadata" } else { "__1_0.distcp" };
    files.insert(format!("pytorch_model_fsdp_0/{changed}"), data.to_vec());
    bounded(files, AT_LEAST, |directory| judge(directory, false));
}
