//! Writes the embedded model as it is before pretraining: a complete directory with a tokenizer trained on the corpus and random weights.
//!
//! ```text
//! cargo run --release --example init_checkpoint -- CORPUS.jsonl OUT_DIR
//! ```
//!
//! Sizes come from `base/config.json` beside this file; the other files there are copied as they are.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::Path;
use std::{env, fs};

use rootstock::random::mix;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, TokenizerBuilder};

/// In the order of their ids, which `base/config.json` and `base/tokenizer_config.json` name as well.
const SPECIAL_TOKENS: [&str; 4] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"];

/// Words of the chat template, which the corpus lacks. Shown to the tokenizer this many times, so that a turn's frame costs few tokens.
const TEMPLATE_WORDS: &str = "user\nassistant\nsystem\n";
const TEMPLATE_WORDS_REPEATED: usize = 20_000;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [corpus, out] = &args[..] else {
        return Err("usage: init_checkpoint CORPUS.jsonl OUT_DIR".into());
    };
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/embedded-model/base");
    let out = Path::new(out);
    fs::create_dir_all(out)?;
    for name in ["config.json", "generation_config.json", "tokenizer_config.json", "chat_template.jinja"] {
        fs::copy(base.join(name), out.join(name))?;
    }
    let config: Value = serde_json::from_slice(&fs::read(base.join("config.json"))?)?;
    let size = |key: &str| -> Result<usize> { Ok(config[key].as_u64().ok_or_else(|| format!("config.json lacks {key}"))? as usize) };

    train_tokenizer(corpus, size("vocab_size")?, &out.join("tokenizer.json"))?;

    let (hidden, heads, kv_heads, head_dim, intermediate) =
        (size("hidden_size")?, size("num_attention_heads")?, size("num_key_value_heads")?, size("head_dim")?, size("intermediate_size")?);
    let std = config["initializer_range"].as_f64().ok_or("config.json lacks initializer_range")?;
    let mut shapes = vec![("model.embed_tokens.weight".to_owned(), vec![size("vocab_size")?, hidden])];
    for layer in 0..size("num_hidden_layers")? {
        for (name, shape) in [
            ("input_layernorm", vec![hidden]),
            ("self_attn.q_proj", vec![heads * head_dim, hidden]),
            ("self_attn.k_proj", vec![kv_heads * head_dim, hidden]),
            ("self_attn.v_proj", vec![kv_heads * head_dim, hidden]),
            ("self_attn.o_proj", vec![hidden, heads * head_dim]),
            ("post_attention_layernorm", vec![hidden]),
            ("mlp.gate_proj", vec![intermediate, hidden]),
            ("mlp.up_proj", vec![intermediate, hidden]),
            ("mlp.down_proj", vec![hidden, intermediate]),
        ] {
            shapes.push((format!("model.layers.{layer}.{name}.weight"), shape));
        }
    }
    shapes.push(("model.norm.weight".to_owned(), vec![hidden]));

    let mut random = Random(2026);
    let mut tensors = Vec::new();
    for (name, shape) in shapes {
        let count: usize = shape.iter().product();
        // As transformers initialises: norms at one, all else normal with initializer_range.
        let values: Vec<f32> = match shape.len() {
            1 => vec![1.0; count],
            _ => (0..count).map(|_| (random.normal() * std) as f32).collect(),
        };
        tensors.push((name, shape, values));
    }
    let parameters: usize = tensors.iter().map(|(_, _, values)| values.len()).sum();
    let views = tensors
        .iter()
        .map(|(name, shape, values)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values))?)))
        .collect::<Result<BTreeMap<_, _>>>()?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    fs::write(out.join("model.safetensors"), safetensors::serialize(views, Some(metadata))?)?;
    eprintln!("{}: {parameters} parameters at random", out.display());
    Ok(())
}

/// A byte-level BPE tokenizer of `vocab_size` tokens, specials included: no text is out of its vocabulary.
fn train_tokenizer(corpus: &str, vocab_size: usize, out: &Path) -> Result<()> {
    let mut texts = vec![TEMPLATE_WORDS.to_owned(); TEMPLATE_WORDS_REPEATED];
    for (index, line) in fs::read_to_string(corpus)?.lines().enumerate() {
        let line: Value = serde_json::from_str(line)?;
        let text = line["text"].as_str().ok_or_else(|| format!("{corpus}:{}: no text", index + 1))?;
        texts.push(text.to_owned());
    }
    let byte_level = ByteLevel::default().add_prefix_space(false);
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(vocab_size)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(SPECIAL_TOKENS.iter().map(|token| AddedToken::from(*token, true)).collect())
        .build();
    let mut tokenizer = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(None::<tokenizers::NormalizerWrapper>)
        .with_pre_tokenizer(Some(byte_level))
        .with_post_processor(None::<tokenizers::PostProcessorWrapper>)
        .with_decoder(Some(byte_level))
        .build()?;
    tokenizer.train(&mut trainer, texts.iter().map(String::as_str))?;
    tokenizer.save(out, true)?;
    let tokens: usize =
        texts[TEMPLATE_WORDS_REPEATED..].iter().map(|text| Ok(tokenizer.encode(text.as_str(), false)?.len() + 1)).sum::<Result<usize>>()?;
    eprintln!("{}: {} tokens; the corpus has {tokens}", out.display(), tokenizer.get_vocab_size(true));
    Ok(())
}

/// splitmix64, and a normal variate as the sum of twelve uniform ones less six: additions only, so every machine writes the same bits.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mix(self.0) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Mean 0, variance 12 · 1/12 = 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}
