//! What a run begins with where that is not the stored model: weights at random (`train_from_scratch`), and rows for more tokens
//! (`resize_vocab`, `add_tokens`, `add_special_tokens`, `new_special_tokens_config`). Both are the model's directory seen through another one, whose weights are computed while they are
//! read, so everything else takes it for an ordinary model.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::Value;

use crate::checkpoint::{Checkpoint, ComposedDirectory, Dtype, ModelSource, TensorInfo, TensorSource};
use crate::config::{NewRows, Recipe, Vocabulary};
use crate::data::add_tokens;
use crate::error::{Error, Result};
use crate::model::config::{CONFIG_FILE, parse_object};
use crate::model::{ModelConfig, ParamDecl, ParamKind, params};
use crate::platform::{Directory, read_small};
use crate::random::Random;
use crate::validate;

use super::descriptions;

/// Keeps these numbers apart from those of adapters and of the samples' order.
const STREAM: u64 = 0x7261_6e64 << 32;
/// A grown embedding has a multiple of so many rows, as in LLaMA-Factory.
const ROWS_MULTIPLE: usize = 64;
/// Rows of a matrix that are averaged at once.
const ROWS: usize = 1024;

/// The directory that a run begins with, and what to tell about it; the same directory where the recipe changes nothing.
///
/// # Errors
/// What keeps the model or its tokenizer from being read; [`Error::Recipe`] where the recipe asks for what does not go together.
pub async fn beginning(directory: Rc<dyn Directory>, recipe: &Recipe) -> Result<(Rc<dyn Directory>, Vec<String>)> {
    let (mut directory, mut notices) = (directory, Vec::new());
    if recipe.train_from_scratch {
        let (scratch, notice) = at_random(directory, recipe.seed).await?;
        (directory, notices) = (scratch, vec![notice]);
    }
    if recipe.vocabulary.grows() {
        let (grown, notice) = with_tokens(directory, &recipe.vocabulary, recipe.seed).await?;
        directory = grown;
        notices.extend(notice);
    }
    Ok((directory, notices))
}

/// How a tensor's numbers are made.
enum Numbers {
    /// The parameter of the stored model with this index.
    Stored(usize),
    /// Its rows, then new ones.
    Grown { param: usize, rows: usize, new: NewNumbers },
    /// Normal, of this standard deviation; the row of the padding token is zero.
    Normal { std: f64, padding: Option<u64> },
    /// One number.
    Constant(f32),
}

/// Numbers of new rows: those of a row that is described, with noise of the standard deviation `described_std`; of others `mean`, with noise of `std`.
struct NewNumbers {
    mean: Vec<f32>,
    std: f64,
    described: Rc<BTreeMap<u64, Option<Vec<f32>>>>,
    described_std: f64,
}

impl NewNumbers {
    fn number(&self, row: u64, column: usize, random: &mut Random) -> f32 {
        let (begin, std) = match self.described.get(&row) {
            Some(numbers) => (numbers.as_ref().unwrap_or(&self.mean)[column], self.described_std),
            None => (self.mean[column], self.std),
        };
        begin + (random.normal() * std) as f32
    }
}

struct Numbered {
    stored: Option<Checkpoint>,
    /// By tensor: how it is made, and the length of its rows in the file.
    tensors: Vec<(Numbers, u64)>,
    seed: u64,
}

impl Numbered {
    /// Elements of rows that are drawn: each row has a stream of its own, so that a number does not depend on how it is read.
    fn drawn(&self, tensor: usize, elements: Range<u64>, value: impl Fn(u64, u64, &mut Random) -> f32) -> Vec<f32> {
        let width = self.tensors[tensor].1.max(1);
        let mut out = Vec::with_capacity((elements.end - elements.start) as usize);
        let mut at = elements.start;
        while at < elements.end {
            let (row, begin) = (at / width, at % width);
            let end = (elements.end - row * width).min(width);
            let mut random = Random::new(self.seed ^ STREAM, ((tensor as u64) << 32) | row);
            for column in 0..end {
                let number = value(row, column, &mut random);
                if column >= begin {
                    out.push(number);
                }
            }
            at = row * width + end;
        }
        out
    }
}

#[async_trait(?Send)]
impl TensorSource for Numbered {
    async fn elements(&self, tensor: usize, elements: Range<u64>) -> Result<Vec<f32>> {
        let (numbers, width) = &self.tensors[tensor];
        let stored = |param: usize, elements: Range<u64>| async move {
            match &self.stored {
                Some(checkpoint) => ModelSource::read_stored(checkpoint, param, elements).await,
                None => Err(Error::file("", "there are no weights to begin with")),
            }
        };
        match numbers {
            Numbers::Stored(param) => stored(*param, elements).await,
            Numbers::Constant(number) => Ok(vec![*number; (elements.end - elements.start) as usize]),
            Numbers::Normal { std, padding } => Ok(self.drawn(tensor, elements, |row, _, random| {
                let number = (random.normal() * std) as f32;
                if *padding == Some(row) { 0.0 } else { number }
            })),
            Numbers::Grown { param, rows, new } => {
                let there = *rows as u64 * width;
                let mut out = match elements.start < there {
                    true => stored(*param, elements.start..elements.end.min(there)).await?,
                    false => Vec::new(),
                };
                let rest = elements.start.max(there)..elements.end.max(there);
                out.extend(self.drawn(tensor, rest, |row, column, random| new.number(row, column as usize, random)));
                Ok(out)
            }
        }
    }
}

/// Weights as transformers initialises them (5.6: GPT-2's projections are not scaled by its depth there); the directory needs none.
async fn at_random(directory: Rc<dyn Directory>, seed: u64) -> Result<(Rc<dyn Directory>, String)> {
    let config = ModelConfig::parse(CONFIG_FILE, &read_small(&*directory, CONFIG_FILE).await?)?;
    let std = config.raw.get("initializer_range").and_then(Value::as_f64).unwrap_or(0.02);
    if !(std.is_finite() && std >= 0.0) {
        return Err(Error::config(
            CONFIG_FILE,
            "initializer_range",
            format!("initializer_range is {std}; it must be a number of at least 0"),
        ));
    }
    let padding = config.raw.get("pad_token_id").and_then(Value::as_u64);
    let made = |param: &ParamDecl| match param.kind {
        // Gemma adds one to its norms' weights.
        ParamKind::Norm => Numbers::Constant(1.0 - config.norm_weight_offset),
        ParamKind::Bias => Numbers::Constant(0.0),
        ParamKind::Embedding if param.name.ends_with("embed_tokens.weight") => Numbers::Normal { std, padding },
        _ => Numbers::Normal { std, padding: None },
    };
    let declared = params(&config);
    let infos = declared.iter().map(|param| info(param, param.stored_shape(), Dtype::F32)).collect();
    let tensors = declared.iter().map(|param| (made(param), width(param))).collect();
    let count: u64 = declared.iter().map(ParamDecl::elements).sum();
    let source = Numbered { stored: None, tensors, seed };
    let composed = ComposedDirectory::new(directory, BTreeMap::new(), infos, Box::new(source))?;
    Ok((Rc::new(composed), format!("train_from_scratch: the {count} weights begin at random (standard deviation {std}, seed {seed})")))
}

/// A tokenizer with more tokens, and rows for all tokens that have none.
async fn with_tokens(directory: Rc<dyn Directory>, wanted: &Vocabulary, seed: u64) -> Result<(Rc<dyn Directory>, Option<String>)> {
    let descriptions = match &wanted.described {
        Some(described) => descriptions::read(described).await?,
        None => Vec::new(),
    };
    let described: Vec<String> = descriptions.iter().map(|(token, _)| token.clone()).collect();
    let special = if descriptions.is_empty() { &wanted.special_tokens } else { &described };
    let added = add_tokens(&*directory, &wanted.tokens, special).await?;
    let checkpoint = validate::open_checkpoint(directory.clone()).await?;
    let rows = checkpoint.config().vocab_size;
    let new_rows = if added.tokens > rows { added.tokens.next_multiple_of(ROWS_MULTIPLE) } else { rows };
    if new_rows == rows && added.files.is_empty() {
        return Ok((directory, None));
    }
    let by_description = !descriptions.is_empty() && wanted.rows != NewRows::Noise;
    let described = match by_description {
        true => descriptions::rows(&*directory, &checkpoint, &added, &descriptions, new_rows).await?,
        false => BTreeMap::new(),
    };
    let described = Rc::new(described);
    let mut files = added.files;
    let mut config = parse_object(CONFIG_FILE, &read_small(&*directory, CONFIG_FILE).await?)?;
    config.insert("vocab_size".into(), new_rows.into());
    files.insert(CONFIG_FILE.into(), format!("{:#}\n", Value::Object(config)).into_bytes());
    let (mut infos, mut tensors) = (Vec::new(), Vec::new());
    for (index, param) in checkpoint.params().iter().enumerate() {
        let mut shape = param.stored_shape();
        let grows = matches!(param.kind, ParamKind::Embedding | ParamKind::Head) && new_rows > rows;
        let numbers = match grows {
            true => {
                shape[0] = new_rows;
                let mean = mean_row(&checkpoint, param).await?;
                let noise = 1.0 / (param.cols as f64).sqrt();
                let std = if by_description { 0.0 } else { noise };
                let described_std = if wanted.rows == NewRows::DescriptionWithNoise { noise } else { 0.0 };
                Numbers::Grown { param: index, rows, new: NewNumbers { mean, std, described: described.clone(), described_std } }
            }
            false => Numbers::Stored(index),
        };
        infos.push(info(param, shape, checkpoint.stored_dtype(param)?));
        tensors.push((numbers, width(param)));
    }
    let begin = match described.len() {
        0 if !by_description => "new rows are the mean of the others with noise".to_string(),
        count => format!("{count} new rows begin with the tokens of their descriptions, all others with the mean"),
    };
    let notice = format!(
        "the tokenizer has {} tokens ({} of them new), the embedding {new_rows} rows ({rows} before): {begin}",
        added.tokens, added.new
    );
    let source = Numbered { stored: Some(checkpoint), tensors, seed };
    let composed = ComposedDirectory::new(directory, files, infos, Box::new(source))?;
    Ok((Rc::new(composed), Some(notice)))
}

fn info(param: &ParamDecl, shape: Vec<usize>, dtype: Dtype) -> TensorInfo {
    let dtype = if matches!(dtype, Dtype::F16 | Dtype::BF16) { dtype } else { Dtype::F32 };
    TensorInfo::new(&param.name, dtype, shape.into_iter().map(|n| n as u64).collect::<Vec<u64>>())
}

/// The length of a row in the file.
fn width(param: &ParamDecl) -> u64 {
    param.stored_shape().last().map_or(1, |n| *n as u64)
}

async fn mean_row(checkpoint: &Checkpoint, param: &ParamDecl) -> Result<Vec<f32>> {
    let mut sum = vec![0f64; param.cols];
    for first in (0..param.rows).step_by(ROWS) {
        for row in checkpoint.read_rows(param, first..(first + ROWS).min(param.rows)).await?.chunks_exact(param.cols) {
            sum.iter_mut().zip(row).for_each(|(sum, number)| *sum += f64::from(*number));
        }
    }
    Ok(sum.iter().map(|sum| (sum / param.rows.max(1) as f64) as f32).collect())
}
