//! Directories that are not the model they should be, opened with every fault named: one clear sentence each.

use std::rc::Rc;

use rootstock::Result;
use rootstock::checkpoint::{Checkpoint, Dtype, WriteOptions};
use rootstock::platform::{Directory, MemoryDirectory, block_on};
use rootstock::validate::open_checkpoint;
use serde_json::{Value, json};

use crate::checkpoint::support::{declared, directory, directory_as, llama, open_golden, read, safetensors_file, with};

fn open(dir: Rc<dyn Directory>) -> Result<Checkpoint> {
    block_on(open_checkpoint(dir))
}

/// The sentence that a user sees when this directory is opened.
fn refusal(dir: MemoryDirectory) -> String {
    match open(Rc::new(dir)) {
        Ok(_) => panic!("the directory was accepted"),
        Err(error) => error.to_string(),
    }
}

fn empty() -> MemoryDirectory {
    MemoryDirectory::new("model")
}

/// A directory with this configuration and the tensors that it declares, changed by `change`.
fn bent(config: &Value, change: impl FnOnce(&mut Vec<(String, Vec<usize>)>)) -> MemoryDirectory {
    let mut tensors = declared(config);
    change(&mut tensors);
    let views: Vec<_> = tensors.iter().map(|(name, shape)| (name.as_str(), shape.as_slice(), 0.5)).collect();
    empty().with("config.json", config.to_string()).with("model.safetensors", safetensors_file(&views))
}

fn assert_refused(dir: MemoryDirectory, parts: &[&str]) {
    let found = refusal(dir);
    for part in parts {
        assert!(found.contains(part), "{found:?} lacks {part:?}");
    }
}

#[test]
fn what_is_no_model_directory() {
    let adapter = r#"{"base_model_name_or_path": "org/base", "peft_type": "LORA"}"#;
    assert_refused(empty(), &["model: this is not a model directory: it has no config.json and no weights"]);
    assert_refused(empty().with("adapter_config.json", adapter), &["LoRA adapter for org/base, not a model", "merge"]);
    assert_refused(
        directory(&llama()).with("adapter_config.json", adapter),
        &["adapter_config.json: stands beside a whole model", "without a word"],
    );
    let run = empty().with("checkpoint-9/config.json", "{}").with("checkpoint-10/config.json", "{}").with("trainer_log.jsonl", "");
    assert_refused(run, &["the model is in checkpoint-10/; give model/checkpoint-10"]);
    assert_refused(empty().with("params.json", "{}"), &["Meta's own format"]);
    assert_refused(empty().with("model-Q4.gguf", "GGUF"), &["model-Q4.gguf: is for llama.cpp"]);
    assert_refused(empty().with("model.safetensors", ""), &["model.safetensors: the file has only 0 bytes"]);
}

#[test]
fn weights_that_cannot_be_read() {
    let config = || empty().with("config.json", llama().to_string());
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    assert_refused(config(), &["there is a configuration but no weights"]);
    assert_refused(
        config().with("pytorch_model.bin", "PK"),
        &["pytorch_model.bin: this is not a file that torch.save writes", "safetensors"],
    );
    assert_refused(config().with("model.gguf", "GGUF"), &["llama.cpp"]);
    assert_refused(config().with("global_step10/zero_pp_rank_0.pt", ""), &["zero_to_fp32.py"]);
    assert_refused(config().with("pytorch_model_fsdp_0/__0_0.distcp", ""), &["FSDP"]);
    assert_refused(config().with("weights.safetensors", ""), &["weights.safetensors: must be called model.safetensors"]);
    assert_refused(
        config().with("model-00001-of-00002.safetensors", "").with("model-00002-of-00002.safetensors", ""),
        &["2 safetensors files but no model.safetensors.index.json"],
    );
    assert_refused(config().with("model.safetensors", pointer), &["model.safetensors: this is a git-lfs pointer", "git lfs pull"]);
    assert_refused(empty().with("config.json", pointer), &["config.json: this is a git-lfs pointer"]);
    assert_refused(config().with("model.safetensors", "PK\x03\x04 0123456789"), &["not a safetensors file"]);
    let whole = read(&directory(&llama()), "model.safetensors");
    assert_refused(config().with("model.safetensors", &whole[..whole.len() - 3]), &["cut short", "3 bytes"]);
}

#[test]
fn shards_that_do_not_fit_together() {
    let sharded = || directory_as(&llama(), WriteOptions { dtype: Dtype::F32, max_shard_size: 2000 });
    let index = "model.safetensors.index.json";
    let text = String::from_utf8(read(&sharded(), index)).expect("text");
    let count = text.matches("-of-0000").count();
    assert!(count > 2 && open(Rc::new(sharded())).is_ok());
    let last = text.split('"').filter(|s| s.starts_with("model-")).max().expect("there is one").to_string();

    let dir = sharded();
    block_on(rootstock::platform::OutputDirectory::remove(&dir, &last)).expect("it can be removed");
    assert_refused(dir, &[&last, "is missing; get it again", " tensors)"]);
    assert_refused(sharded().with("model.safetensors", ""), &["two sets of weights", "old"]);
    assert_refused(sharded().with(index, "{}"), &["has no weight_map"]);
    assert_refused(sharded().with(index, "{\n\"a\": \n"), &["model.safetensors.index.json: breaks off at byte 8"]);
    assert_refused(
        sharded().with(index, text.replace("model.norm.weight", "model.norm.other")),
        &["model.norm.other: the index says that this tensor is in ", "but it is not"],
    );
    let without_norm: Vec<_> = text.lines().filter(|l| !l.contains("model.norm.weight")).collect();
    let without_norm = without_norm.join("\n").replace(",\n  }", "\n  }");
    assert_refused(sharded().with(index, without_norm), &["model.norm.weight: is in model-", "the index does not list it"]);
    assert_refused(
        sharded().with(index, text.replace(&last, "../../etc/passwd")),
        &["the index says that this tensor is in ../../etc/passwd, but it is not"],
    );
}

#[test]
fn tensors_that_do_not_fit_the_configuration() {
    let config = llama();
    assert!(open(Rc::new(bent(&config, |_| {}))).is_ok());
    let up = "model.layers.1.mlp.up_proj.weight";
    assert_refused(bent(&config, |t| t.retain(|(n, _)| n != up)), &[up, "mlp.up_proj of layer 1 is missing"]);
    assert_refused(
        bent(&config, |t| t.retain(|(n, _)| !n.contains("layers.1."))),
        &["num_hidden_layers is 2, but there are tensors of 1 layer"],
    );
    assert_refused(
        bent(&with(&config, json!({"num_hidden_layers": 3})), |_| {}).with("config.json", config.to_string()),
        &["num_hidden_layers is 2, but there are tensors of 3 layers", "drop 1 layer"],
    );
    assert_refused(bent(&config, |t| t[2].1 = vec![16, 12]), &["k_proj.weight: the heads do not fit", "the projections have 16 and 16"]);
    assert_refused(bent(&config, |t| t[2].1 = vec![0]), &["k_proj.weight: is empty", "ZeRO-3"]);
    assert_refused(
        bent(&config, |t| t[0].1 = vec![9, 12]),
        &["config.json: model.embed_tokens.weight: vocab_size is 11, but the embedding model.embed_tokens.weight has 9 rows"],
    );
    assert_refused(bent(&config, |t| t.push(("extra".into(), vec![1]))), &["extra: is not a tensor of the llama model of 2 layers"]);
    assert_refused(bent(&config, |t| t.retain(|(n, _)| n != "lm_head.weight")), &["there is no lm_head.weight", "tie_word_embeddings"]);
    for (rename, parts) in [
        ((|n: &str| format!("module.{n}")) as fn(&str) -> String, &["all 21 names carry \"module.\""][..]),
        (|n| n.strip_prefix("model.").unwrap_or(n).to_string(), &["the names lack \"model.\""]),
        (|n| format!("model.{n}"), &["begin with \"model.\" twice"]),
        (|n| n.replace("q_proj.", "q_proj.base_layer."), &["PEFT model without its adapter"]),
        (|n| format!("x.{n}"), &["none of the 21 tensors of a llama model is here"]),
    ] {
        assert_refused(bent(&config, |t| t.iter_mut().for_each(|(n, _)| *n = rename(n))), parts);
    }
    let name = "model.norm.weight";
    let int8 = safetensors::tensor::TensorView::new(Dtype::I8, vec![12], &[0; 12]).expect("it fits");
    let bytes: Vec<(String, Vec<usize>)> = declared(&config).into_iter().filter(|(n, _)| n != name).collect();
    let zeros = vec![0; 10_000];
    let views = bytes.iter().map(|(n, shape)| {
        let data = &zeros[..4 * shape.iter().product::<usize>()];
        (n.as_str(), safetensors::tensor::TensorView::new(Dtype::F32, shape.clone(), data).expect("it fits"))
    });
    let file = safetensors::serialize(views.chain([(name, int8)]), None).expect("it can be serialised");
    let dir = empty().with("config.json", config.to_string()).with("model.safetensors", file);
    assert_refused(dir, &["model.norm.weight: holds I8"]);
}

/// Buffers of old files, the tied head saved once more, the bare GPT-2.
#[test]
fn harmless_differences_are_accepted() {
    let tied = with(&llama(), json!({"tie_word_embeddings": true}));
    let with_buffers = bent(&tied, |t| {
        t.push(("model.layers.0.self_attn.rotary_emb.inv_freq".into(), vec![4]));
        t.push(("lm_head.weight".into(), vec![11, 12]));
    });
    assert!(open(Rc::new(with_buffers)).is_ok());

    let gpt2 = open_golden("gpt2");
    let config = read(&**gpt2.directory(), "config.json");
    let mut tensors: Vec<(String, Vec<usize>)> =
        gpt2.params().iter().map(|p| (p.name.replace("transformer.", ""), p.stored_shape())).collect();
    tensors.push(("h.0.attn.bias".into(), vec![1, 1, 45, 45]));
    tensors.push(("h.1.attn.masked_bias".into(), vec![]));
    let views: Vec<_> = tensors.iter().map(|(name, shape)| (name.as_str(), shape.as_slice(), 0.5)).collect();
    let bare = empty().with("config.json", config).with("model.safetensors", safetensors_file(&views));
    let bare = open(Rc::new(bare)).expect("the original layout is accepted");
    let weight = &bare.params()[4];
    assert_eq!(weight.name, "transformer.h.0.attn.c_attn.weight");
    let row = block_on(bare.read_rows(weight, 1..2)).expect("it reads");
    assert_eq!(row, vec![0.5; weight.cols]);
}

#[test]
fn a_tied_head_that_differs_is_refused() {
    let tied = with(&llama(), json!({"tie_word_embeddings": true}));
    let mut tensors = declared(&tied);
    tensors.push(("lm_head.weight".into(), vec![11, 12]));
    for (value, shape) in [(0.25, vec![11, 12]), (0.5, vec![12, 11])] {
        let views: Vec<_> = tensors
            .iter()
            .map(|(name, declared)| match name.as_str() {
                "lm_head.weight" => (name.as_str(), shape.as_slice(), value),
                _ => (name.as_str(), declared.as_slice(), 0.5),
            })
            .collect();
        let dir = empty().with("config.json", tied.to_string()).with("model.safetensors", safetensors_file(&views));
        assert_refused(dir, &["lm_head.weight: differs from the embedding", "tie_word_embeddings"]);
    }
}
