//! Adapters that PEFT wrote, adapters that are damaged, adapters written and read again.

use std::rc::Rc;

use rootstock::adapter::{Adapter, AdapterFiles, fingerprint, write_adapter};
use rootstock::checkpoint::{Carry, Checkpoint, Dtype};
use rootstock::platform::{Directory, MemoryDirectory, block_on};
use safetensors::tensor::{SafeTensors, TensorView};
use serde_json::{Value, json};

use super::support::{CASES, base, case, in_memory, open};

const WEIGHTS: &str = "adapter_model.safetensors";
const Q0: &str = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";

type Tensors = Vec<(String, Vec<usize>, Vec<u8>)>;

fn bytes(dir: &MemoryDirectory, name: &str) -> Vec<u8> {
    block_on(dir.read(name)).expect("it is there")
}

/// The fixture `llama` with its tensors changed.
fn bent(change: impl FnOnce(&mut Tensors)) -> MemoryDirectory {
    let dir = in_memory("llama");
    let file = bytes(&dir, WEIGHTS);
    let read = SafeTensors::deserialize(&file).expect("PEFT's file is good");
    let mut tensors: Tensors = read.iter().map(|(name, view)| (name.to_string(), view.shape().to_vec(), view.data().to_vec())).collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, shape, data)| (name, TensorView::new(Dtype::F32, shape.clone(), data).expect("it fits")));
    dir.with(WEIGHTS, safetensors::serialize(views, None).expect("it can be written"))
}

fn refusal(dir: MemoryDirectory, base: &Checkpoint) -> String {
    open(Rc::new(dir), base).err().expect("it is refused").to_string()
}

#[test]
fn what_peft_writes_opens() {
    for name in CASES {
        let case = case(name);
        let adapter = open(case.directory.clone(), &case.base).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(adapter.notes.is_empty(), "{name}: {:?}", adapter.notes);
        // The fixture lists what trains.
        let trained = case.golden.tensors().iter().filter(|t| t.name.starts_with("final/")).count();
        assert_eq!(adapter.params.len(), trained, "{name}");
        for param in &adapter.params {
            let golden = case.golden.get(&format!("final/{}", param.decl.name)).unwrap_or_else(|| panic!("{name}: {}", param.decl.name));
            let shape: Vec<u64> = param.decl.stored_shape().iter().map(|&n| n as u64).collect();
            assert_eq!(golden.shape, shape, "{name}: {}", param.decl.name);
        }
    }
}

#[test]
fn keys_with_adapter_names_are_the_same() {
    let llama = case("llama");
    let plain = open(llama.directory.clone(), &llama.base).expect("it opens");
    let named = bent(|tensors| {
        for (name, _, _) in tensors {
            *name = name.replace(".weight", ".default.weight");
        }
    });
    let named = open(Rc::new(named), &llama.base).expect("it opens");
    block_on(async {
        for index in 0..plain.params.len() {
            assert_eq!(named.read(index).await, plain.read(index).await);
        }
    });
}

#[test]
fn each_fault_of_the_file_has_its_sentence() {
    let base = base("llama-rope-llama3");
    let refused = |change: &dyn Fn(&mut Tensors), part: &str| {
        let found = refusal(bent(change), &base);
        assert!(found.starts_with("adapter/adapter_model.safetensors: ") && found.contains(part), "{found:?} lacks {part:?}");
    };
    let at = |tensors: &Tensors| tensors.iter().position(|t| t.0 == Q0).expect("it is there");
    refused(&|t| drop(t.remove(at(t))), &format!("{Q0}: is missing: "));
    refused(
        &|t| t.push((Q0.replace("q_proj", "o_proj"), vec![1], vec![0; 4])),
        "o_proj.lora_A.weight: adapter_config.json has no place for it",
    );
    refused(&|t| t.push((Q0.replace("lora_A", "lora_A.default"), vec![1], vec![0; 4])), "occurs twice");
    let rename = |from: &'static str, to: &'static str| {
        move |tensors: &mut Tensors| {
            for (name, _, _) in tensors {
                *name = name.replacen(from, to, 1);
            }
        }
    };
    refused(&rename("base_model.model.", ""), "lacks the prefix \"base_model.model.\"");
    refused(&rename("base_model.model.", "base_model.model.base_model.model."), "twice: PEFT would load nothing");
    refused(&rename("base_model", "module.base_model"), "begins with \"module.\"");
    refused(
        &|t| {
            let i = at(t);
            t[i].2[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        },
        "holds 1 numbers that are not finite (NaN)",
    );
    refused(
        &|t| {
            let i = at(t);
            let (rows, cols) = (t[i].1[0], t[i].1[1]);
            t[i].1 = vec![rows - 1, cols];
            t[i].2.truncate((rows - 1) * cols * 4);
        },
        "has rank 3, adapter_config.json says 4",
    );
}

#[test]
fn what_is_no_adapter_is_said() {
    let base = base("llama-rope-llama3");
    let empty = || MemoryDirectory::new("adapter");
    let config = bytes(&in_memory("llama"), "adapter_config.json");
    for (dir, part) in [
        (empty(), "this is not an adapter: it has no adapter_config.json"),
        (empty().with("config.json", "{}").with("model.safetensors", ""), "this is a whole model, not an adapter"),
        (
            empty().with("checkpoint-9/adapter_config.json", "{}").with("checkpoint-10/adapter_config.json", "{}"),
            "the adapter is in checkpoint-10/",
        ),
        (empty().with(WEIGHTS, ""), "no adapter_config.json, which says their rank"),
        (empty().with("adapter_config.json", config.clone()), "but no adapter_model.safetensors"),
        (empty().with("adapter_config.json", config.clone()).with("adapter_model.bin", ""), "is a Python pickle"),
        (
            empty().with("adapter_config.json", "{\n\"r\": 4,\n").with(WEIGHTS, ""),
            "adapter/adapter_config.json, line 3: this is not valid JSON",
        ),
    ] {
        let found = refusal(dir, &base);
        assert!(found.contains(part), "{found:?} lacks {part:?}");
    }
}

#[test]
fn a_base_of_other_sizes_is_refused() {
    let other = base("mistral-sliding");
    let found = refusal(in_memory("llama"), &other);
    assert!(found.contains("the adapter was made for a model of other sizes"), "{found}");
    let found = refusal(in_memory("gpt2"), &other);
    assert!(found.contains("names no module of this mistral model"), "{found}");
}

fn written(adapter: &Adapter, base: &Checkpoint) -> MemoryDirectory {
    let out = MemoryDirectory::new("written");
    block_on(async {
        let fingerprint = fingerprint(base).await.expect("it can be read");
        let carry = Carry::nothing();
        let files = AdapterFiles {
            config: &adapter.config,
            resolved: &adapter.resolved,
            base: base.params(),
            fingerprint: &fingerprint,
            carry: &carry,
        };
        write_adapter(&out, &files, adapter).await.expect("it can be written");
    });
    out
}

#[test]
fn what_is_written_is_what_was_read() {
    for name in CASES {
        let case = case(name);
        let adapter = open(case.directory.clone(), &case.base).expect("it opens");
        let out = written(&adapter, &case.base);
        let again = open(Rc::new(out.clone()), &case.base).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(again.notes.is_empty(), "{name}: {:?}", again.notes);
        assert_eq!(again.resolved, adapter.resolved, "{name}");
        assert_eq!(again.config, adapter.config, "{name}");
        // The bytes of each tensor are PEFT's.
        let (ours, theirs) = (bytes(&out, WEIGHTS), block_on(case.directory.read(WEIGHTS)).expect("it is there"));
        let (ours, theirs) = (SafeTensors::deserialize(&ours).expect("good"), SafeTensors::deserialize(&theirs).expect("good"));
        for (key, view) in ours.iter() {
            let expected = theirs.tensor(key).unwrap_or_else(|_| panic!("{name}: {key} is not PEFT's"));
            assert_eq!((view.shape(), view.data()), (expected.shape(), expected.data()), "{name}: {key}");
        }
    }
}

#[test]
fn only_fields_that_both_pefts_know_are_written() {
    let case = case("llama-rslora-patterns");
    let adapter = open(case.directory.clone(), &case.base).expect("it opens");
    let out = written(&adapter, &case.base);
    let found: Value = serde_json::from_slice(&bytes(&out, "adapter_config.json")).expect("JSON");
    assert_eq!(found["rank_pattern"], json!({"1.mlp.down_proj": 5, "down_proj": 2, "q_proj": 1}));
    assert_eq!((&found["lora_alpha"], &found["inference_mode"], &found["peft_type"]), (&json!(2), &json!(true), &json!("LORA")));
    assert_eq!(found.as_object().expect("an object").len(), 21);
}

/// An adapter remembers its base: other weights of the same shapes are a warning, the same weights in other files none.
#[test]
fn the_base_is_recognised() {
    let (one, other) = (base("qwen3"), base("llama-rope-llama3"));
    block_on(async {
        let first = fingerprint(&one).await.expect("it reads");
        assert_eq!(first, fingerprint(&base("qwen3")).await.expect("it reads"));
        assert_ne!(first, fingerprint(&other).await.expect("it reads"));
    });
    let case = case("llama");
    let adapter = open(case.directory.clone(), &case.base).expect("it opens");
    let out = written(&adapter, &case.base);
    // The same model with one number of its last matrix changed.
    let source = case.base.directory();
    let changed = block_on(async {
        let mut weights = source.read("model.safetensors").await.expect("one file");
        let end = weights.len() - 2;
        weights[end] ^= 0x7f;
        let config = source.read("config.json").await.expect("it has one");
        Checkpoint::open(Rc::new(MemoryDirectory::new("changed").with("config.json", config).with("model.safetensors", weights))).await
    })
    .expect("it opens");
    let found = open(Rc::new(out), &changed).expect("the shapes fit").notes;
    assert!(found.len() == 1 && found[0].contains("was made on other weights than those of changed"), "{found:?}");
}
