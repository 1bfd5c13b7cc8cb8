//! Adapters as GGUF files: the products of their factors are the changes that PEFT merges.

use rootstock::checkpoint::Dtype;
use rootstock::gguf::{Container, write_adapter};
use rootstock::platform::{Directory, MemoryDirectory, block_on};

use super::support::{case, open};

/// llama.cpp's names of modules.
const MODULES: [(&str, &str); 7] = [
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Of the largest change: f32 products of a few factors, added up in another order than PEFT's, and rounded beside the weight.
const TOLERANCE: f32 = 1e-5;

#[test]
fn products_are_the_changes_that_peft_merges() {
    for name in ["llama", "llama-rslora-patterns", "qwen2"] {
        let case = case(name);
        let adapter = open(case.directory.clone(), &case.base).expect("it opens");
        let out = MemoryDirectory::new("out");
        block_on(write_adapter(&adapter, &case.base, &out, "adapter.gguf")).unwrap_or_else(|error| panic!("{name}: {error}"));
        let file = block_on(Container::read(&out, "adapter.gguf")).expect("it reads");
        assert_eq!(file.tensors.len(), 2 * adapter.resolved.targets.len(), "{name}");
        let bytes = block_on(out.read("adapter.gguf")).expect("it reads");
        let start = bytes.windows(18).position(|part| part == b"adapter.lora.alpha").expect("the key is there") + 18;
        assert_eq!(bytes[start..start + 4], 6u32.to_le_bytes());
        let alpha = f32::from_le_bytes(bytes[start + 4..start + 8].try_into().expect("four bytes"));
        let numbers = |tensor: &str| {
            let found = file.tensors.iter().find(|other| other.name == tensor).unwrap_or_else(|| panic!("{name}: no {tensor}"));
            let values = found.encoding.decode(&bytes[found.offset as usize..(found.offset + found.bytes) as usize]);
            (values, found.shape[0] as usize, found.shape[1] as usize)
        };
        let config = case.base.config();
        for target in &adapter.resolved.targets {
            let param = &case.base.params()[target.param];
            let (layer, module) = target.module.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.')).expect("a layer's");
            let ours = MODULES.iter().find(|(_, theirs)| *theirs == module).expect("one of these").0;
            let (a, rank, cols) = numbers(&format!("blk.{layer}.{ours}.weight.lora_a"));
            let (b, rows, _) = numbers(&format!("blk.{layer}.{ours}.weight.lora_b"));
            let merged = block_on(case.golden.read_f32(&format!("merged/{}", param.name), 0..param.elements())).expect("PEFT merged it");
            let before = block_on(case.base.read_stored(param, 0..param.elements())).expect("it reads");
            let largest = merged.iter().zip(&before).fold(0f32, |largest, (a, b)| largest.max((a - b).abs()));
            // PEFT rounded the sum into the base's type.
            let rounding = if case.base.stored_dtype(param) == Ok(Dtype::F16) { f32::EPSILON * 4096.0 } else { 0.0 };
            for row in 0..rows {
                // Where the file has this row: llama's queries and keys are interleaved.
                let head = config.head_dim;
                let within = row % head;
                let stored = match ours {
                    "attn_q" | "attn_k" if config.architecture.model_type() == "llama" => {
                        row - within + 2 * (within % (head / 2)) + within / (head / 2)
                    }
                    _ => row,
                };
                for col in 0..cols {
                    let product: f32 = (0..rank).map(|at| b[stored * rank + at] * a[at * cols + col]).sum();
                    let (found, expected) = (product * alpha / rank as f32, merged[row * cols + col] - before[row * cols + col]);
                    let close = (found - expected).abs() <= TOLERANCE * largest + rounding * merged[row * cols + col].abs();
                    assert!(close, "{name}: {}: {found} {expected} of {largest}", target.module);
                }
            }
        }
    }
}

#[test]
fn what_such_a_file_cannot_hold_is_refused() {
    for (name, reason) in [
        ("llama-dora", "is a DoRA adapter, which llama.cpp does not have; merge it into the base"),
        ("llama-modules-to-save", "replaces whole modules, which llama.cpp's adapters cannot do; merge it"),
        ("qwen3-embedding", "adapts model.embed_tokens, which llama.cpp's adapters cannot do; merge it"),
    ] {
        let case = case(name);
        let adapter = open(case.directory.clone(), &case.base).expect("it opens");
        let out = MemoryDirectory::new("out");
        let error = block_on(write_adapter(&adapter, &case.base, &out, "adapter.gguf")).expect_err("it cannot be held").to_string();
        assert!(error.contains(reason), "{error}");
        assert!(block_on(out.list()).expect("it lists").is_empty());
    }
}
