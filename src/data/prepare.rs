//! The samples of a run, from the dataset keys of its recipe.

use super::dataset_info::{OpenPath, load_datasets};
use super::loader::split;
use super::sample::Sample;
use super::samples::{Encoded, Encoding, encode_records};
use super::tokenizer::Tokenizer;
use crate::config::Recipe;
use crate::error::{Error, Result};
use crate::model::ModelConfig;

/// What a run trains and evaluates on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Training samples; none when the recipe does not train.
    pub train: Encoded,
    /// Held-out samples (`val_size`) or those of `eval_dataset`; may be none.
    pub eval: Encoded,
}

/// Reads, splits and tokenizes the datasets of a recipe for a model.
///
/// # Errors
/// What [`load_datasets`], [`split`] and [`encode_records`] fail with, and [`check_fits_model`].
pub async fn prepare(recipe: &Recipe, tokenizer: &Tokenizer, config: &ModelConfig, open: &OpenPath<'_>) -> Result<Prepared> {
    let mut prepared = Prepared::default();
    let name = recipe.dataset.join(", ");
    let records = load_datasets(&recipe.dataset, &recipe.dataset_dir, recipe.max_samples, open).await?;
    let (train, held_out) = split(records.len(), recipe.val_size, recipe.seed)?;
    let of = |indices: &[usize]| indices.iter().map(|i| records[*i].clone()).collect::<Vec<_>>();
    if recipe.do_train {
        prepared.train = encode_records(&name, &of(&train), tokenizer, &Encoding::training(recipe))?;
        check_fits_model(&name, &prepared.train.samples, config)?;
    }
    if !recipe.eval_dataset.is_empty() {
        let name = recipe.eval_dataset.join(", ");
        let records = load_datasets(&recipe.eval_dataset, &recipe.dataset_dir, recipe.max_samples, open).await?;
        prepared.eval = encode_records(&name, &records, tokenizer, &Encoding::evaluation(recipe))?;
        check_fits_model(&name, &prepared.eval.samples, config)?;
    } else if !held_out.is_empty() {
        prepared.eval = encode_records(&name, &of(&held_out), tokenizer, &Encoding::evaluation(recipe))?;
        check_fits_model(&name, &prepared.eval.samples, config)?;
    }
    Ok(prepared)
}

/// Refuses samples that a model cannot read: token ids without a row in its embedding, more tokens than it has positions.
///
/// # Errors
/// [`Error::Dataset`] naming the first such sample's line.
pub fn check_fits_model(name: &str, samples: &[Sample], config: &ModelConfig) -> Result<()> {
    for sample in samples {
        if let Some(id) = sample.ids.iter().find(|id| **id as usize >= config.vocab_size) {
            return Err(Error::dataset(
                name,
                format!(
                    "the tokenizer makes token {id} of line {}, but the model's vocabulary ends at {} (vocab_size {}): tokenizer.json belongs \
                     to another model; copy the one that this model came with",
                    sample.line,
                    config.vocab_size - 1,
                    config.vocab_size
                ),
            ));
        }
        let starts = std::iter::once(0).chain(sample.ends.iter().copied());
        let longest = sample.ends.iter().zip(starts).map(|(end, start)| end - start).max().unwrap_or(0);
        // Rotary positions go on beyond what the model was made for; a table of positions ends.
        if config.ropes.is_empty() && longest > config.max_position_embeddings {
            return Err(Error::dataset(
                name,
                format!(
                    "the sample of line {} has {longest} tokens and the model {} positions; set cutoff_len: {}",
                    sample.line, config.max_position_embeddings, config.max_position_embeddings
                ),
            ));
        }
    }
    Ok(())
}
