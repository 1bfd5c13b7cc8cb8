//! Opening without the validator: what computes the declared model is accepted, and the first fault ends it in a sentence.

use std::rc::Rc;

use rootstock::checkpoint::{Checkpoint, Dtype, WriteOptions};
use rootstock::platform::{Directory, MemoryDirectory, NativeDirectory, block_on};
use rootstock::validate::open_checkpoint;
use serde_json::{Value, json};

use super::support::{declared, directory, directory_as, golden_names, llama, open, open_golden, read, safetensors_file, with};

/// A directory with this configuration and the tensors that it declares, changed by `change`, each filled with a number.
fn bent(config: &Value, change: impl FnOnce(&mut Vec<(String, Vec<usize>, f32)>)) -> MemoryDirectory {
    let mut tensors: Vec<_> = declared(config).into_iter().map(|(name, shape)| (name, shape, 0.5)).collect();
    change(&mut tensors);
    let views: Vec<_> = tensors.iter().map(|(name, shape, value)| (name.as_str(), shape.as_slice(), *value)).collect();
    MemoryDirectory::new("model").with("config.json", config.to_string()).with("model.safetensors", safetensors_file(&views))
}

#[track_caller]
fn assert_refused(dir: MemoryDirectory, part: &str) {
    match open(Rc::new(dir)) {
        Ok(_) => panic!("accepted, expected {part:?}"),
        Err(error) => assert!(error.to_string().contains(part), "{error} lacks {part:?}"),
    }
}

#[test]
fn the_first_fault_is_named() {
    let empty = || MemoryDirectory::new("model");
    let config = llama();
    assert_refused(empty(), "model/config.json: there is no such file");
    assert_refused(empty().with("config.json", "{"), "config.json, line 1: ");
    assert_refused(empty().with("config.json", config.to_string()), "model: there are no weights here");
    assert_refused(empty().with("config.json", config.to_string()).with("model.safetensors", ""), "model.safetensors: the file has only 0");
    assert_refused(with_field(&config, json!({"model_type": "lama"})), "model_type is \"lama\"");
    assert_refused(
        bent(&config, |t| t.retain(|t| !t.0.contains("layers.1.mlp.up"))),
        "model.layers.1.mlp.up_proj.weight: config.json declares",
    );
    assert_refused(
        bent(&config, |t| t[0].1 = vec![9, 12]),
        "model.embed_tokens.weight: has the shape [9, 12], config.json asks for [11, 12]",
    );
    assert_refused(bent(&config, |t| t.push(("extra".into(), vec![1], 0.0))), "extra: is not a tensor of the llama model");
    let name = "model.norm.weight";
    let integers = safetensors::tensor::TensorView::new(Dtype::I8, vec![12], &[0; 12]).expect("it fits");
    let (zeros, floats) = (vec![0; 10_000], declared(&config).into_iter().filter(|(n, _)| n != name).collect::<Vec<_>>());
    let views = floats.iter().map(|(n, shape)| {
        let data = &zeros[..4 * shape.iter().product::<usize>()];
        (n.as_str(), safetensors::tensor::TensorView::new(Dtype::F32, shape.clone(), data).expect("it fits"))
    });
    let file = safetensors::serialize(views.chain([(name, integers)]), None).expect("it can be serialised");
    assert_refused(empty().with("config.json", config.to_string()).with("model.safetensors", file), "model.norm.weight: holds I8");
}

fn with_field(config: &Value, changes: Value) -> MemoryDirectory {
    bent(config, |_| {}).with("config.json", with(config, changes).to_string())
}

#[test]
fn shards_and_their_index_agree() {
    let sharded = || directory_as(&llama(), WriteOptions { dtype: Dtype::F32, max_shard_size: 2000 });
    let index = "model.safetensors.index.json";
    let text = String::from_utf8(read(&sharded(), index)).expect("text");
    assert!(open(Rc::new(sharded())).is_ok());
    let last = text.split('"').filter(|s| s.starts_with("model-")).max().expect("there is one");
    let dir = sharded();
    block_on(rootstock::platform::OutputDirectory::remove(&dir, last)).expect("it can be removed");
    assert_refused(dir, "there is no such file");
    assert_refused(sharded().with("model.safetensors", ""), "two sets of weights");
    assert_refused(sharded().with(index, "{}"), "has no weight_map");
    assert_refused(sharded().with(index, text.replace("model.norm.weight", "other")), "other: the index says that this tensor is in");
    // A tensor in two shards, of which the index names one.
    let tensors = declared(&llama());
    let file = |wanted: &dyn Fn(&str) -> bool| {
        let views: Vec<_> = tensors.iter().filter(|(n, _)| wanted(n)).map(|(n, shape)| (n.as_str(), shape.as_slice(), 0.5)).collect();
        safetensors_file(&views)
    };
    let place = |name: &str| if name == "lm_head.weight" { "b.safetensors" } else { "a.safetensors" };
    let map: serde_json::Map<String, Value> = tensors.iter().map(|(name, _)| (name.clone(), json!(place(name)))).collect();
    let twice = MemoryDirectory::new("model")
        .with("config.json", llama().to_string())
        .with(index, json!({"weight_map": map}).to_string())
        .with("a.safetensors", file(&|name| name != "lm_head.weight"))
        .with("b.safetensors", file(&|name| name == "lm_head.weight" || name == "model.norm.weight"));
    assert_refused(twice, "model.norm.weight: is also in a.safetensors");
    assert_refused(sharded().with(index, text.replace(last, "../../etc/passwd")), "../../etc/passwd");
}

/// Buffers of old files, a value head, the tied head stored once more, the bare GPT-2.
#[test]
fn harmless_differences_are_accepted() {
    let tied = with(&llama(), json!({"tie_word_embeddings": true}));
    let accepted = bent(&tied, |t| {
        t.push(("model.layers.0.self_attn.rotary_emb.inv_freq".into(), vec![4], 1.0));
        t.push(("v_head.summary.weight".into(), vec![1, 12], 1.0));
        t.push(("lm_head.weight".into(), vec![11, 12], 0.5));
    });
    assert!(open(Rc::new(accepted)).is_ok());
    for (value, shape) in [(0.25, vec![11, 12]), (0.5, vec![12, 11])] {
        let other = bent(&tied, |t| t.push(("lm_head.weight".into(), shape, value)));
        assert_refused(other, "lm_head.weight: differs from the embedding");
    }

    let gpt2 = open_golden("gpt2");
    let mut tensors: Vec<(String, Vec<usize>)> =
        gpt2.params().iter().map(|p| (p.name.replace("transformer.", ""), p.stored_shape())).collect();
    tensors.push(("h.0.attn.bias".into(), vec![1, 1, 45, 45]));
    let views: Vec<_> = tensors.iter().map(|(name, shape)| (name.as_str(), shape.as_slice(), 0.5)).collect();
    let bare = MemoryDirectory::new("model")
        .with("config.json", read(&**gpt2.directory(), "config.json"))
        .with("model.safetensors", safetensors_file(&views));
    let bare = open(Rc::new(bare)).expect("the original layout is accepted");
    let weight = &bare.params()[4];
    assert_eq!(weight.name, "transformer.h.0.attn.c_attn.weight");
    assert_eq!(block_on(bare.read_rows(weight, 1..2)).expect("it reads"), vec![0.5; weight.cols]);
}

/// What the validator calls ready opens here as well, and reads the same numbers.
#[test]
fn the_validator_opens_the_same() {
    let healthy = std::fs::read_dir("tests/fixtures/validate/healthy").expect("committed").map(|entry| entry.expect("listed").path());
    let golden = golden_names().into_iter().map(|name| format!("tests/fixtures/golden/{name}").into());
    let mut directories: Vec<Rc<dyn Directory>> = Vec::new();
    directories.extend(healthy.chain(golden).map(|path| Rc::new(NativeDirectory::new(path)) as Rc<dyn Directory>));
    directories.push(Rc::new(directory(&llama())));
    for dir in directories {
        let label = dir.label();
        let (own, judged) = block_on(async { (Checkpoint::open(dir.clone()).await, open_checkpoint(dir).await) });
        let (own, judged) = (own.unwrap_or_else(|e| panic!("{label}: {e}")), judged.unwrap_or_else(|e| panic!("{label}: {e}")));
        assert_eq!(own.params(), judged.params(), "{label}");
        for param in own.params() {
            let read = |checkpoint: &Checkpoint| block_on(checkpoint.read_rows(param, 0..param.rows.min(3)));
            assert_eq!(read(&own), read(&judged), "{label}: {}", param.name);
        }
    }
}
