//! The adapters that PEFT made, on their bases.

use std::rc::Rc;

use rootstock::Result;
use rootstock::adapter::Adapter;
use rootstock::checkpoint::{Checkpoint, TensorFile};
use rootstock::platform::{Directory, MemoryDirectory, NativeDirectory, block_on};
use serde_json::Value;

pub(super) const CASES: [&str; 12] = [
    "gemma3",
    "gpt2",
    "gpt2-dora",
    "llama",
    "llama-dora",
    "llama-modules-to-save",
    "llama-rslora-patterns",
    "mistral-loraplus",
    "phi3",
    "qwen2",
    "qwen3",
    "qwen3-embedding",
];

pub(super) struct Case {
    pub(super) directory: Rc<dyn Directory>,
    pub(super) base: Checkpoint,
    pub(super) golden: TensorFile,
}

pub(super) fn case(name: &str) -> Case {
    let directory: Rc<dyn Directory> = Rc::new(NativeDirectory::new(format!("tests/fixtures/peft/{name}")));
    block_on(async {
        let json: Value = serde_json::from_slice(&directory.read("golden.json").await.expect("golden.json")).expect("JSON");
        let base = base(json["base"].as_str().expect("the base's name"));
        let golden = TensorFile::open(directory.clone(), "golden.safetensors").await.expect("golden.safetensors");
        Case { directory, base, golden }
    })
}

pub(super) fn base(name: &str) -> Checkpoint {
    let directory: Rc<dyn Directory> = Rc::new(NativeDirectory::new(format!("tests/fixtures/golden/{name}")));
    block_on(Checkpoint::open(directory)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

pub(super) fn open(directory: Rc<dyn Directory>, base: &Checkpoint) -> Result<Adapter> {
    block_on(Adapter::open(directory, base))
}

/// The two files of a fixture, to bend.
pub(super) fn in_memory(name: &str) -> MemoryDirectory {
    let source = NativeDirectory::new(format!("tests/fixtures/peft/{name}"));
    ["adapter_config.json", "adapter_model.safetensors"].iter().fold(MemoryDirectory::new("adapter"), |dir, file| {
        let bytes = block_on(source.read(file)).expect("it is there");
        dir.with(file, bytes)
    })
}
