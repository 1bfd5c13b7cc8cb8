//! A directory of 15 GB, judged by its headers alone.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use rootstock::Result;
use rootstock::model::{ModelConfig, params};
use rootstock::platform::{Directory, Entry, NativeDirectory, block_on};
use rootstock::validate::{Options, Verdict, validate};
use serde_json::{Map, Value, json};

/// Counts what is read.
struct Counting {
    inner: NativeDirectory,
    read: Cell<u64>,
}

#[async_trait(?Send)]
impl Directory for Counting {
    fn label(&self) -> String {
        self.inner.label()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        self.inner.list().await
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        self.inner.size(name).await
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        self.read.set(self.read.get() + range.end - range.start);
        self.inner.read_range(name, range).await
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        let bytes = self.inner.read(name).await?;
        self.read.set(self.read.get() + bytes.len() as u64);
        Ok(bytes)
    }
}

/// Llama 3 8B's shape in four sparse shards: the files have holes where the numbers would be.
#[test]
fn structure_is_judged_from_headers_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128_256, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
        "rope_theta": 500_000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    });
    let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).expect("it can be written");
    write("config.json", config.to_string());
    for name in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
        std::fs::copy(format!("tests/fixtures/validate/healthy/llama-v4/{name}"), dir.path().join(name)).expect("the fixture is there");
    }
    let declared = params(&ModelConfig::parse("config.json", config.to_string().as_bytes()).expect("a good configuration"));
    let mut map = Map::new();
    let mut total = 0;
    for (number, chunk) in declared.chunks(declared.len().div_ceil(4)).enumerate() {
        let name = format!("model-{:05}-of-00004.safetensors", number + 1);
        let mut header = Map::new();
        let mut offset = 0u64;
        for param in chunk {
            let end = offset + 2 * param.elements();
            header.insert(param.name.clone(), json!({"dtype": "BF16", "shape": param.stored_shape(), "data_offsets": [offset, end]}));
            map.insert(param.name.clone(), Value::from(name.clone()));
            offset = end;
        }
        let header = Value::Object(header).to_string();
        let mut file = File::create(dir.path().join(&name)).expect("it can be made");
        file.write_all(&(header.len() as u64).to_le_bytes()).and_then(|()| file.write_all(header.as_bytes())).expect("it can be written");
        file.set_len(8 + header.len() as u64 + offset).expect("the file system knows sparse files");
        total += offset;
    }
    write("model.safetensors.index.json", json!({"metadata": {"total_size": total}, "weight_map": map}).to_string());
    assert!(total > 15_000_000_000);

    let counting = Rc::new(Counting { inner: NativeDirectory::new(dir.path()), read: Cell::new(0) });
    let options = Options { quick: true, ..Options::default() };
    let report = block_on(validate(counting.clone(), &options, &mut |_| {})).expect("a report");
    assert_eq!(report.verdict, Verdict::Ready, "{:#?}", report.findings);
    assert_eq!(report.parameters, Some(8_030_261_248));
    // Headers, index and the small files. What it takes in seconds and memory is in docs/validate.md.
    assert!(counting.read.get() < 1 << 20, "{} bytes were read", counting.read.get());
}
