//! Files that are damaged, lie, or hold what is not understood: one sentence each, and never a panic.

use std::rc::Rc;

use rootstock::checkpoint::Checkpoint;
use rootstock::gguf::open;
use rootstock::platform::{MemoryDirectory, block_on};
use rootstock::random::Random;

use super::FIXTURES;

const ORDINARY: u64 = 400;

/// A value of the metadata.
#[derive(Clone)]
enum Value {
    U32(u32),
    F32(f32),
    Text(&'static str),
    Texts(Vec<String>),
    I32s(Vec<i32>),
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// A file that is written here, so that every part of it can be wrong.
#[derive(Clone)]
struct Made {
    version: u32,
    metadata: Vec<(&'static str, Value)>,
    /// Name, dimensions from the innermost, type, offset.
    tensors: Vec<(&'static str, Vec<u64>, u32, u64)>,
    data: usize,
}

impl Made {
    /// A llama of one layer whose vectors have four numbers.
    fn llama() -> Made {
        let tokens: Vec<String> = ["a", "b", "ab", "c"].map(String::from).to_vec();
        let metadata = vec![
            ("general.architecture", Value::Text("llama")),
            ("llama.block_count", Value::U32(1)),
            ("llama.context_length", Value::U32(8)),
            ("llama.embedding_length", Value::U32(4)),
            ("llama.feed_forward_length", Value::U32(4)),
            ("llama.attention.head_count", Value::U32(1)),
            ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
            ("tokenizer.ggml.model", Value::Text("gpt2")),
            ("tokenizer.ggml.pre", Value::Text("gpt-2")),
            ("tokenizer.ggml.tokens", Value::Texts(tokens)),
            ("tokenizer.ggml.token_type", Value::I32s(vec![1, 1, 1, 3])),
            ("tokenizer.ggml.merges", Value::Texts(vec!["a b".to_string()])),
            ("tokenizer.ggml.eos_token_id", Value::U32(3)),
        ];
        let mut tensors = vec![("token_embd.weight", vec![4, 4], 0, 0), ("output_norm.weight", vec![4], 0, 0)];
        for name in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
            tensors.push((Box::leak(format!("blk.0.{name}.weight").into_boxed_str()), vec![4, 4], 0, 0));
        }
        tensors.push(("blk.0.attn_norm.weight", vec![4], 0, 0));
        tensors.push(("blk.0.ffn_norm.weight", vec![4], 0, 0));
        for (at, tensor) in tensors.iter_mut().enumerate() {
            tensor.3 = 64 * at as u64;
        }
        let data = 64 * tensors.len();
        Made { version: 3, metadata, tensors, data }
    }

    fn set(mut self, key: &'static str, value: Value) -> Made {
        self.metadata.retain(|(other, _)| *other != key);
        self.metadata.push((key, value));
        self
    }

    fn without(mut self, key: &str) -> Made {
        self.metadata.retain(|(other, _)| *other != key);
        self
    }

    fn tensor(mut self, name: &str, change: impl Fn(&mut (&'static str, Vec<u64>, u32, u64))) -> Made {
        self.tensors.iter_mut().filter(|tensor| tensor.0 == name).for_each(change);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            text(&mut bytes, key);
            let list = |bytes: &mut Vec<u8>, kind: u32, count: usize| {
                bytes.extend(9u32.to_le_bytes());
                bytes.extend(kind.to_le_bytes());
                bytes.extend((count as u64).to_le_bytes());
            };
            match value {
                Value::U32(n) => {
                    bytes.extend(4u32.to_le_bytes());
                    bytes.extend(n.to_le_bytes());
                }
                Value::F32(x) => {
                    bytes.extend(6u32.to_le_bytes());
                    bytes.extend(x.to_le_bytes());
                }
                Value::Text(value) => {
                    bytes.extend(8u32.to_le_bytes());
                    text(&mut bytes, value);
                }
                Value::Texts(texts) => {
                    list(&mut bytes, 8, texts.len());
                    texts.iter().for_each(|value| text(&mut bytes, value));
                }
                Value::I32s(numbers) => {
                    list(&mut bytes, 5, numbers.len());
                    numbers.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
                }
            }
        }
        for (name, dimensions, kind, offset) in &self.tensors {
            text(&mut bytes, name);
            bytes.extend((dimensions.len() as u32).to_le_bytes());
            dimensions.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(32) + self.data, 0);
        bytes
    }
}

fn opened(bytes: Vec<u8>) -> Result<Checkpoint, String> {
    let dir = MemoryDirectory::new("m").with("x.gguf", bytes);
    block_on(async { Checkpoint::open(open(Rc::new(dir), "x.gguf").await?).await }).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(bytes: Vec<u8>, reason: &str) {
    let error = opened(bytes).err().unwrap_or_else(|| panic!("accepted; expected {reason:?}"));
    assert!(error.starts_with("m/x.gguf: "), "{error}");
    assert!(error.contains(reason), "{error} lacks {reason:?}");
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let llama = Made::llama;
    assert_eq!(opened(llama().bytes()).err(), None);
    refused(Vec::new(), "the file is cut short");
    refused(b"GGUF\x03\0".to_vec(), "the file is cut short: it ends at byte 6, in the middle of its metadata");
    refused(b"PK\x03\x04 and more".to_vec(), "this is not a GGUF file");
    refused(Made { version: 1, ..llama() }.bytes(), "this is version 1 of GGUF; 2 and 3 are read");
    refused(Made { version: 3 << 24, ..llama() }.bytes(), "this file is big-endian");
    let cut = |at: usize| llama().bytes()[..at].to_vec();
    refused(cut(700), "in the middle of its metadata");
    refused(cut(llama().bytes().len() - 60), "beyond the end of the file");
    let mut many = llama().bytes();
    many[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(many, "it says that it has 18446744073709551615 tensors");
    let mut long = llama().bytes();
    long[24..32].copy_from_slice(&(1u64 << 60).to_le_bytes());
    refused(long, "a text or list of 1152921504606846976 bytes stands in the metadata");
    let twice = Made { metadata: [llama().metadata, vec![("llama.block_count", Value::U32(1))]].concat(), ..llama() };
    refused(twice.bytes(), "the metadata have the key llama.block_count twice");
}

#[test]
fn what_is_wrong_with_a_tensor_is_said() {
    let llama = Made::llama;
    let q = "blk.0.attn_q.weight";
    refused(
        llama().tensor(q, |t| t.2 = 23).bytes(),
        "blk.0.attn_q.weight: is stored as IQ4_XS, which is not read; take a file whose types are among F32,",
    );
    refused(llama().tensor(q, |t| t.2 = 999).bytes(), "is stored as the unknown type 999");
    refused(llama().tensor(q, |t| t.2 = 8).bytes(), "has rows of 4 numbers, and Q8_0 stores 32 together");
    refused(llama().tensor(q, |t| t.3 = 4).bytes(), "its bytes begin at 4 of the data, which is no multiple of 32");
    refused(llama().tensor(q, |t| t.3 = u64::MAX - 31).bytes(), "beyond the end of the file");
    refused(llama().tensor(q, |t| t.3 = 32).bytes(), "shares bytes with");
    refused(llama().tensor(q, |t| t.1 = vec![u64::MAX, u64::MAX]).bytes(), "is impossible");
    refused(llama().tensor(q, |t| t.1 = vec![4, 2]).bytes(), "blk.0.attn_q.weight: has the shape [2, 4], the metadata ask for [4, 4]");
    refused(llama().tensor(q, |t| t.1 = vec![1; 9]).bytes(), "has 9 dimensions, more than 4");
    refused(llama().tensor(q, |t| t.0 = "blk.0.ssm_a").bytes(), "blk.0.attn_q.weight: is missing");
    refused(llama().tensor(q, |t| t.0 = "blk.0.attn_k.weight").bytes(), "lists this tensor twice");
    let more = Made { tensors: [llama().tensors, vec![("blk.0.ffn_gate_exps.weight", vec![4], 0, 704)]].concat(), data: 768, ..llama() };
    refused(more.bytes(), "blk.0.ffn_gate_exps.weight: is no tensor of the llama model");
}

#[test]
fn what_is_not_understood_is_named() {
    let llama = Made::llama;
    refused(
        llama().set("general.architecture", Value::Text("mamba")).bytes(),
        "general.architecture is mamba, which is not supported (llama, qwen2,",
    );
    refused(
        llama().set("general.type", Value::Text("adapter")).bytes(),
        "general.type is adapter: this file holds no language model; give the base",
    );
    refused(llama().without("general.architecture").bytes(), "general.architecture is missing");
    refused(llama().set("llama.expert_count", Value::U32(8)).bytes(), "llama.expert_count is not understood, and it may change what");
    assert_eq!(opened(llama().set("llama.expert_count", Value::U32(0)).bytes()).err(), None);
    refused(
        llama().set("llama.rope.scaling.type", Value::Text("longrope")).bytes(),
        "llama.rope.scaling.type is longrope, which is not understood",
    );
    refused(llama().without("llama.block_count").bytes(), "llama.block_count is missing");
    refused(llama().set("llama.block_count", Value::Text("one")).bytes(), "llama.block_count must be an integer");
    refused(
        llama().set("tokenizer.ggml.model", Value::Text("t5")).bytes(),
        "tokenizer.ggml.model is t5, a kind of tokenizer that is not read",
    );
    refused(llama().set("tokenizer.ggml.pre", Value::Text("klingon")).bytes(), "tokenizer.ggml.pre is klingon, a way of parting text");
    refused(llama().without("tokenizer.ggml.pre").bytes(), "tokenizer.ggml.pre is missing");
    refused(llama().without("tokenizer.ggml.merges").bytes(), "tokenizer.ggml.merges is missing");
    refused(llama().set("tokenizer.ggml.merges", Value::Texts(vec!["ab".into()])).bytes(), "has the entry \"ab\", which is no pair");
    refused(llama().set("tokenizer.ggml.eos_token_id", Value::U32(9)).bytes(), "tokenizer.ggml.eos_token_id is 9, and there are 4 tokens");
    refused(
        llama().set("tokenizer.ggml.tokens", Value::Texts(vec!["a".into()])).bytes(),
        "tokenizer.ggml.tokens has 1 tokens, and token_embd.weight a row for 4: they are not of one model",
    );
    refused(llama().set("tokenizer.ggml.token_type", Value::I32s(vec![1])).bytes(), "tokenizer.ggml.token_type has 1 entries for 4 tokens");
    refused(llama().set("tokenizer.ggml.token_type", Value::I32s(vec![1, 1, 1, 77])).bytes(), "has the kind 77, which is unknown");
}

#[test]
fn a_model_in_parts_needs_them_all() {
    let part = |no: u32| Made::llama().set("split.no", Value::U32(no)).set("split.count", Value::U32(2)).bytes();
    let dir = MemoryDirectory::new("m").with("x-00001-of-00002.gguf", part(0));
    let error = block_on(open(Rc::new(dir.clone()), "x-00001-of-00002.gguf")).err().expect("a part is missing").to_string();
    assert_eq!(error, "m/x-00001-of-00002.gguf: this is one of 2 parts, and x-00002-of-00002.gguf is not beside it");
    let dir = dir.with("x-00002-of-00002.gguf", part(1));
    let error = block_on(open(Rc::new(dir), "x-00002-of-00002.gguf")).err().expect("both have all tensors").to_string();
    assert!(error.contains("is also in x-00001-of-00002.gguf"), "{error}");
    refused(part(1), "says that it is part 2 of 2, which its name does not say");
    // The tensors of a model, some in each part.
    let split = |no: u32, mine: fn(usize) -> bool| {
        let whole = Made::llama().set("split.no", Value::U32(no)).set("split.count", Value::U32(2));
        let tensors = whole.tensors.iter().enumerate().filter(|(at, _)| mine(*at)).map(|(_, tensor)| tensor.clone()).collect();
        Made { tensors, ..whole }.bytes()
    };
    let dir = MemoryDirectory::new("m")
        .with("x-00001-of-00002.gguf", split(0, |at| at < 5))
        .with("x-00002-of-00002.gguf", split(1, |at| at >= 5));
    let view = block_on(open(Rc::new(dir), "x-00002-of-00002.gguf")).expect("it is whole");
    assert_eq!(block_on(Checkpoint::open(view)).err(), None);
}

/// Changed bytes, most of them in the metadata: an error or a model, never a panic, and what can be opened can be read.
#[test]
fn whatever_the_bytes_are_there_is_no_panic() {
    let seeds = ["llama", "gemma3", "phi3"].map(|name| std::fs::read(format!("{FIXTURES}/{name}.gguf")).expect("the fixture is there"));
    for number in 0..ORDINARY {
        let mut random = Random::new(number, 0);
        let mut bytes = seeds[random.below(3) as usize].clone();
        for _ in 0..=random.below(3) {
            let place =
                if random.below(3) == 0 { random.below(bytes.len() as u64) } else { random.below(3000.min(bytes.len() as u64)) } as usize;
            match random.below(4) {
                0 => bytes.truncate(place.max(8)),
                1 => bytes[place] = random.below(256) as u8,
                2 => bytes[place] ^= 1 << random.below(8),
                _ => {
                    let end = (place + 8).min(bytes.len());
                    bytes[place..end].fill(if random.below(2) == 0 { 0xff } else { 0 });
                }
            }
        }
        if let Ok(checkpoint) = opened(bytes) {
            for param in checkpoint.params() {
                block_on(checkpoint.read_stored(param, 0..param.elements().min(9))).expect("what opens reads");
            }
        }
    }
}
