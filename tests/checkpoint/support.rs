//! Model directories for tests: the golden fixtures, and a tiny llama that tests bend.

use std::path::PathBuf;
use std::rc::Rc;

use rootstock::checkpoint::{Carry, Checkpoint, Dtype, ParamSource, WriteOptions, write_checkpoint};
use rootstock::model::{ModelConfig, ParamDecl, params};
use rootstock::platform::{Directory, MemoryDirectory, NativeDirectory, block_on, open_directory};
use rootstock::{Error, Result};
use serde_json::{Map, Value, json};

/// The names of the golden fixtures' folders.
pub(crate) fn golden_names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(golden_root())
        .expect("tests/fixtures/golden is there")
        .map(|entry| entry.expect("it can be listed"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("names are ASCII"))
        .collect();
    names.sort();
    assert!(names.len() >= 15, "fixtures are missing: {names:?}");
    names
}

fn golden_root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden")
}

pub(crate) fn golden_directory(name: &str) -> NativeDirectory {
    open_directory(&golden_root().join(name)).expect("the fixture is there")
}

pub(crate) fn open_golden(name: &str) -> Checkpoint {
    open(Rc::new(golden_directory(name))).unwrap_or_else(|e| panic!("{name}: {e}"))
}

pub(crate) fn open(dir: Rc<dyn Directory>) -> Result<Checkpoint> {
    block_on(Checkpoint::open(dir))
}

/// `config.json` of a llama with two layers, two query heads and one key/value head.
pub(crate) fn llama() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 11,
        "hidden_size": 12,
        "intermediate_size": 10,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": false,
    })
}

/// `base` with fields changed; `null` removes a field.
pub(crate) fn with(base: &Value, changes: Value) -> Value {
    let mut out: Map<String, Value> = base.as_object().expect("an object").clone();
    for (key, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => out.remove(key),
            value => out.insert(key.clone(), value.clone()),
        };
    }
    Value::Object(out)
}

pub(crate) fn parse(config: &Value) -> Result<ModelConfig> {
    ModelConfig::parse("config.json", config.to_string().as_bytes())
}

/// Element i of parameter p is a number that depends on both and is exact in bf16.
pub(crate) struct Numbers(pub(crate) Vec<ParamDecl>);

#[async_trait::async_trait(?Send)]
impl ParamSource for Numbers {
    async fn read_rows(&self, param: usize, rows: std::ops::Range<usize>) -> Result<Vec<f32>, Error> {
        let cols = self.0[param].cols;
        let number = |i: usize| ((i * 7 + param * 13) % 255) as f32 / 64.0 - 2.0;
        Ok((rows.start * cols..rows.end * cols).map(number).collect())
    }
}

/// A complete directory for a configuration.
pub(crate) fn directory(config: &Value) -> MemoryDirectory {
    directory_as(config, WriteOptions { dtype: Dtype::F32, max_shard_size: u64::MAX })
}

pub(crate) fn directory_as(config: &Value, options: WriteOptions) -> MemoryDirectory {
    let config = parse(config).expect("the configuration is good");
    let params = params(&config);
    let dir = MemoryDirectory::new("model");
    let source = Numbers(params.clone());
    block_on(write_checkpoint(&dir, &options, &config, &params, &source, &Carry::nothing())).expect("it can be written");
    dir
}

pub(crate) fn read(dir: &dyn Directory, name: &str) -> Vec<u8> {
    block_on(dir.read(name)).unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn read_json(dir: &dyn Directory, name: &str) -> Value {
    serde_json::from_slice(&read(dir, name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A safetensors file made by the `safetensors` crate: names with shapes, all F32 zeros unless a value is given.
pub(crate) fn safetensors_file(tensors: &[(&str, &[usize], f32)]) -> Vec<u8> {
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, shape, value)| value.to_le_bytes().repeat(shape.iter().product())).collect();
    let views = tensors.iter().zip(&data).map(|((name, shape, _), bytes)| {
        let view = safetensors::tensor::TensorView::new(Dtype::F32, shape.to_vec(), bytes).expect("shapes fit");
        (*name, view)
    });
    safetensors::serialize(views, None).expect("it can be serialised")
}

/// The tensors that a llama's configuration declares, for [`safetensors_file`].
pub(crate) fn declared(config: &Value) -> Vec<(String, Vec<usize>)> {
    params(&parse(config).expect("good")).iter().map(|p| (p.name.clone(), p.stored_shape())).collect()
}
