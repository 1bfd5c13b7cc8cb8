//! What is written opens again, computes the same, and is what transformers would have written.

use std::rc::Rc;

use rootstock::checkpoint::{Carry, Checkpoint, Dtype, WriteOptions, write_checkpoint};
use rootstock::model::ModelConfig;
use rootstock::platform::{Directory, MemoryDirectory, block_on};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::support::{directory, directory_as, golden_directory, golden_names, llama, open, open_golden, parse, read, read_json, with};

const WHOLE: u64 = u64::MAX;

/// Writes an open checkpoint out again.
fn rewrite(checkpoint: &Checkpoint, dtype: Dtype, max_shard_size: u64) -> MemoryDirectory {
    let out = MemoryDirectory::new("out");
    let options = WriteOptions { dtype, max_shard_size };
    let carry = block_on(Carry::load(&**checkpoint.directory())).expect("the small files are good");
    block_on(write_checkpoint(&out, &options, checkpoint.config(), checkpoint.params(), checkpoint, &carry)).expect("it can be written");
    out
}

fn values(checkpoint: &Checkpoint) -> Vec<Vec<f32>> {
    let read = |param| block_on(checkpoint.read_rows(param, 0..param.rows)).expect("it reads");
    checkpoint.params().iter().map(read).collect()
}

/// The configuration apart from the file's own text.
fn meaning(config: &ModelConfig) -> ModelConfig {
    ModelConfig { raw: Default::default(), ..config.clone() }
}

#[test]
fn every_fixture_survives_a_round_trip() {
    for case in golden_names() {
        let original = open_golden(&case);
        for shard in [WHOLE, 20_000] {
            let again = open(Rc::new(rewrite(&original, Dtype::F32, shard))).unwrap_or_else(|e| panic!("{case}: {e}"));
            assert_eq!(values(&again), values(&original), "{case}");
            assert_eq!(meaning(again.config()), meaning(original.config()), "{case}");
        }
    }
}

/// A fixture stored in one f32 file comes out byte for byte as transformers wrote it.
#[test]
fn weights_are_written_as_transformers_writes_them() {
    for case in ["llama", "gpt2", "gemma3", "phi3", "qwen2", "qwen3"] {
        let out = rewrite(&open_golden(case), Dtype::F32, WHOLE);
        let expected = read(&golden_directory(case), "model.safetensors");
        assert!(read(&out, "model.safetensors") == expected, "{case}");
    }
}

/// The sharded fixture comes out in the same shards with the same index.
#[test]
fn shards_are_split_as_transformers_splits_them() {
    let case = "llama-tied-bias";
    let original = open_golden(case);
    let dir = golden_directory(case);
    let index = read_json(&dir, "model.safetensors.index.json");
    // The largest shard is just allowed.
    let files: Vec<_> = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"].map(|f| read(&dir, f)).into();
    let size = |bytes: &Vec<u8>| SafeTensors::deserialize(bytes).expect("good").iter().map(|(_, t)| t.data().len()).sum::<usize>();
    let dtype = original.stored_dtype(&original.params()[0]).expect("it is there");
    let largest = files.iter().map(size).max().expect("two of them");
    let out = rewrite(&original, dtype, largest as u64);
    assert_eq!(read_json(&out, "model.safetensors.index.json"), index);
    for (name, expected) in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"].iter().zip(&files) {
        assert!(read(&out, name) == *expected, "{name}");
    }
}

#[test]
fn half_precision_rounds_and_keeps_what_was_half() {
    for case in golden_names() {
        let original = open_golden(&case);
        for dtype in [Dtype::BF16, Dtype::F16] {
            let again = open(Rc::new(rewrite(&original, dtype, WHOLE))).unwrap_or_else(|e| panic!("{case}: {e}"));
            let round = |x: &f32| match dtype {
                Dtype::BF16 => half::bf16::from_f32(*x).to_f32(),
                _ => half::f16::from_f32(*x).to_f32(),
            };
            for (found, original) in values(&again).iter().zip(values(&original)) {
                assert_eq!(*found, original.iter().map(round).collect::<Vec<_>>(), "{case} {dtype}");
            }
            let config = read_json(&**again.directory(), "config.json");
            let name = if dtype == Dtype::BF16 { "bfloat16" } else { "float16" };
            assert_eq!((&config["dtype"], &config["torch_dtype"]), (&json!(name), &json!(name)));
        }
    }
}

#[test]
fn overflow_names_the_tensor() {
    struct Large;
    #[async_trait::async_trait(?Send)]
    impl rootstock::checkpoint::ParamSource for Large {
        async fn read_rows(&self, param: usize, rows: std::ops::Range<usize>) -> rootstock::Result<Vec<f32>> {
            let config = parse(&llama()).expect("good");
            let cols = rootstock::model::params(&config)[param].cols;
            Ok(vec![if param == 4 { 70000.0 } else { 1.0 }; rows.len() * cols])
        }
    }
    let config = parse(&llama()).expect("good");
    let params = rootstock::model::params(&config);
    let out = MemoryDirectory::new("out");
    let options = WriteOptions { dtype: Dtype::F16, max_shard_size: WHOLE };
    let error = block_on(write_checkpoint(&out, &options, &config, &params, &Large, &Carry::nothing())).expect_err("70000 is no f16");
    assert_eq!(
        error.to_string(),
        "model.safetensors: model.layers.0.self_attn.o_proj.weight: holds 70000, which is too large for F16; \
         write bfloat16 or float32 instead"
    );
    assert_eq!(block_on(out.list()).expect("it can be listed"), []);
    let wrong = WriteOptions { dtype: Dtype::I8, max_shard_size: WHOLE };
    assert!(block_on(write_checkpoint(&out, &wrong, &config, &params, &Large, &Carry::nothing())).is_err());
}

/// Both spellings, whatever was read, and nothing lost that stood there.
#[test]
fn config_is_written_for_transformers_4_and_5() {
    let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16});
    let config = with(
        &llama(),
        json!({"rope_theta": 500000.0, "rope_scaling": llama3, "use_cache": false, "auto_map": {"AutoConfig": "x.Y"},
            "_name_or_path": "/home/somebody", "pretraining_tp": 1, "custom": {"b": 1, "a": [2]}, "torch_dtype": "float16"}),
    );
    let dir = directory_as(&config, WriteOptions { dtype: Dtype::BF16, max_shard_size: WHOLE });
    let found = read_json(&dir, "config.json");
    let mut with_theta = llama3.clone();
    with_theta["rope_theta"] = json!(500000.0);
    let expected = with(
        &config,
        json!({"use_cache": true, "auto_map": null, "_name_or_path": null, "dtype": "bfloat16", "torch_dtype": "bfloat16",
            "rope_scaling": llama3, "rope_parameters": with_theta, "transformers_version": "4.57.3"}),
    );
    assert_eq!(found, expected);
    let text = String::from_utf8(read(&dir, "config.json")).expect("text");
    let keys: Vec<_> = text.lines().filter(|l| l.starts_with("  \"")).map(|l| l.trim().split('"').nth(1)).collect();
    assert!(keys.is_sorted() && text.ends_with("}\n"), "{text}");

    // Unscaled positions are null for transformers 4; gemma3 has one theta for each kind of layer.
    assert_eq!(read_json(&directory(&llama()), "config.json")["rope_scaling"], Value::Null);
    let gemma = read_json(&rewrite(&open_golden("gemma3"), Dtype::F32, WHOLE), "config.json");
    assert_eq!((&gemma["rope_theta"], &gemma["rope_local_base_freq"]), (&json!(30000.0), &json!(1000.0)));
    assert_eq!(gemma["rope_scaling"], json!({"rope_type": "linear", "factor": 8.0}));
    let phi = read_json(&rewrite(&open_golden("phi3-longrope-long"), Dtype::F32, WHOLE), "config.json");
    let keys: Vec<_> = phi["rope_scaling"].as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["long_factor", "short_factor", "type"], "transformers 4 accepts just these");
}

#[test]
fn tokenizer_and_generation_files_are_carried() {
    let from = directory(&llama())
        .with("tokenizer.json", "{}")
        .with("tokenizer_config.json", r#"{"tokenizer_class": "TokenizersBackend"}"#)
        .with("special_tokens_map.json", "{}")
        .with("chat_template.jinja", "{{ messages }}")
        .with("additional_chat_templates/tools.jinja", "x")
        .with("merges.txt", "a b")
        .with("optimizer.pt", "no")
        .with("notes/tokenizer.json", "no")
        .with("generation_config.json", r#"{"eos_token_id": [2, 3], "temperature": 0.6, "top_p": 0.9, "max_length": 5}"#);
    let checkpoint = open(Rc::new(from)).expect("it opens");
    let out = rewrite(&checkpoint, Dtype::F32, WHOLE);
    let names: Vec<_> = block_on(out.list()).expect("it can be listed").into_iter().map(|e| e.name).collect();
    assert_eq!(
        names,
        [
            "additional_chat_templates/tools.jinja",
            "chat_template.jinja",
            "config.json",
            "generation_config.json",
            "merges.txt",
            "model.safetensors",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );
    assert_eq!(read_json(&out, "tokenizer_config.json"), json!({"tokenizer_class": "PreTrainedTokenizerFast"}));
    assert_eq!(read_json(&out, "generation_config.json"), json!({"eos_token_id": [2, 3], "max_length": 5}));

    let sampling = r#"{"do_sample": true, "temperature": 0.6}"#;
    let mut carry = Carry::nothing();
    assert!(carry.set_file("tokenizer_config.json", b"{".to_vec()).is_err());
    carry.set_file("chat_template.jinja", b"new".to_vec()).expect("any bytes are fine");
    assert_eq!(carry.file("chat_template.jinja"), Some(&b"new"[..]));
    let dir = MemoryDirectory::new("in").with("generation_config.json", sampling);
    let carry = block_on(Carry::load(&dir)).expect("it is good");
    let out = MemoryDirectory::new("out");
    let options = WriteOptions { dtype: Dtype::F32, max_shard_size: WHOLE };
    block_on(write_checkpoint(&out, &options, checkpoint.config(), checkpoint.params(), &checkpoint, &carry)).expect("it writes");
    assert_eq!(read_json(&out, "generation_config.json"), json!({"do_sample": true, "temperature": 0.6}));

    // Without one, it follows from the configuration.
    let found = read_json(&directory(&with(&llama(), json!({"eos_token_id": [2, 7]}))), "generation_config.json");
    assert_eq!(found, json!({"_from_model_config": true, "bos_token_id": 1, "eos_token_id": [2, 7]}));
}
