//! The samples of a run, from the dataset keys of its recipe.

use std::mem;

use sha2::{Digest, Sha256};

use super::datasets::{OpenPath, SEED, Wanted, hash_datasets, read_datasets};
use super::faults::Faults;
use super::formats::{Piece, ReadRecord};
use super::interleave::interleave;
use super::loader::split;
use super::preference;
use super::sample::Sample;
use super::samples::{Encoded, Encoding, RecordTokens, assemble, encode_record};
use super::token_cache::{self, CachedTokens};
use super::tokenizer::Tokenizer;
use super::unread::Unread;
use crate::config::{MixStrategy, OnBadRecord, Recipe, Stage};
use crate::error::{Error, Result};
use crate::model::ModelConfig;
use crate::platform::{OutputDirectory, WORK_TOGETHER, in_parallel};

/// So many are tokenised together, however short they are.
const TOGETHER_RECORDS: usize = 4096;

/// What a run trains and evaluates on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Training samples; none when the recipe does not train.
    pub train: Encoded,
    /// Held-out samples (`val_size`) or those of `eval_dataset`; may be none.
    pub eval: Encoded,
    /// With `eval_on_each_dataset`: the evaluation sets' names and their numbers of samples, in the samples' order.
    pub eval_parts: Vec<(String, usize)>,
}

/// How far the preparation of data is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrepareProgress {
    /// How much of the files was read, from 0 to 1.
    pub share: f64,
    /// Records read so far.
    pub records: usize,
    /// Their tokens.
    pub tokens: usize,
}

/// Reads, splits and tokenizes the datasets of a recipe for a model, or takes their tokens from `cache`, where they are kept for the next
/// time. `watch` is told how far it is; an error of it ends the preparation.
///
/// # Errors
/// What [`super::load_datasets`] and [`super::encode_records`] fail with, [`split`], [`check_fits_model`], and `watch`.
pub async fn prepare(
    recipe: &Recipe,
    tokenizer: &Tokenizer,
    config: &ModelConfig,
    open: &OpenPath<'_>,
    cache: Option<&dyn OutputDirectory>,
    watch: &mut dyn FnMut(PrepareProgress) -> Result<()>,
) -> Result<Prepared> {
    if let Some(named) = tokenizer.named_template().filter(|_| recipe.train_on_prompt) {
        named.check_train_on_prompt()?;
    }
    let mut prepared = Prepared::default();
    let (training, evaluation) = (Encoding::training(recipe), Encoding::evaluation(recipe));
    let name = recipe.dataset.join(", ");
    if !recipe.dataset.is_empty() {
        let (records, notices) = tokenize(recipe, false, tokenizer, open, cache, watch).await?;
        let (train, held_out) = share_out(records, recipe)?;
        if recipe.do_train {
            prepared.train = assemble(&name, train, tokenizer, &training)?;
            prepared.train.notices.splice(0..0, notices);
            check_fits_model(&name, &prepared.train.samples, config)?;
        }
        if !held_out.is_empty() && recipe.eval_dataset.is_empty() {
            prepared.eval = assemble(&name, held_out, tokenizer, &evaluation)?;
            check_fits_model(&name, &prepared.eval.samples, config)?;
        }
    }
    if recipe.eval_on_each_dataset && recipe.eval_dataset.len() > 1 {
        for name in &recipe.eval_dataset {
            let one = Recipe { eval_dataset: vec![name.clone()], ..recipe.clone() };
            let (records, notices) = tokenize(&one, true, tokenizer, open, cache, watch).await?;
            let encoded = assemble(name, records, tokenizer, &evaluation)?;
            check_fits_model(name, &encoded.samples, config)?;
            prepared.eval_parts.push((name.clone(), encoded.samples.len()));
            prepared.eval.notices.extend(notices);
            prepared.eval.append(encoded);
        }
    } else if !recipe.eval_dataset.is_empty() {
        let name = recipe.eval_dataset.join(", ");
        let (records, notices) = tokenize(recipe, true, tokenizer, open, cache, watch).await?;
        prepared.eval = assemble(&name, records, tokenizer, &evaluation)?;
        prepared.eval.notices.splice(0..0, notices);
        check_fits_model(&name, &prepared.eval.samples, config)?;
    }
    Ok(prepared)
}

/// The records to train on and those held out.
fn share_out(records: Vec<RecordTokens>, recipe: &Recipe) -> Result<(Vec<RecordTokens>, Vec<RecordTokens>)> {
    let (_, held_out) = split(records.len(), recipe.val_size, recipe.seed)?;
    let mut held_out = held_out.into_iter().peekable();
    let mut parts = (Vec::with_capacity(records.len()), Vec::with_capacity(held_out.len()));
    for (i, record) in records.into_iter().enumerate() {
        match held_out.next_if_eq(&i) {
            Some(_) => parts.1.push(record),
            None => parts.0.push(record),
        }
    }
    Ok(parts)
}

/// Reads and tokenises the datasets to train on, or those for evaluation; also what the user should be told.
async fn tokenize(
    recipe: &Recipe,
    evaluation: bool,
    tokenizer: &Tokenizer,
    open: &OpenPath<'_>,
    cache: Option<&dyn OutputDirectory>,
    watch: &mut dyn FnMut(PrepareProgress) -> Result<()>,
) -> Result<(Vec<RecordTokens>, Vec<String>)> {
    let names = if evaluation { &recipe.eval_dataset } else { &recipe.dataset };
    let stage = Some(recipe.stage);
    let wanted = Wanted { names, dataset_dir: &recipe.dataset_dir, max_samples: recipe.max_samples, evaluation, stage, seed: recipe.seed };
    let how = Encoding::training(recipe);
    let mut key = String::new();
    if let Some(cache) = cache {
        let mut hash = Sha256::new();
        hash_datasets(&wanted, open, &mut hash).await?;
        // Only stage pt cuts texts in another way where it packs.
        let packing = how.packing && how.stage == Stage::Pt;
        let settings = (how.stage, how.cutoff_len, how.train_on_prompt, how.mask_history, packing, recipe.on_bad_record);
        let mixing = (!evaluation).then_some((recipe.mix_strategy, &recipe.interleave_probs, recipe.seed));
        let mixing = mixing.filter(|(strategy, ..)| *strategy != MixStrategy::Concat);
        hash.update(format!("{} {settings:?} {mixing:?}", env!("CARGO_PKG_VERSION")));
        tokenizer.add_to(&mut hash)?;
        key = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if !recipe.overwrite_cache
            && let Some(CachedTokens { mut records, mut notices }) = token_cache::load(cache, &key).await?
        {
            preference::add_unrelated(&mut records, &how);
            notices.push(format!("the tokens of {} are those that {} kept", names.join(", "), cache.label()));
            return Ok((records, notices));
        }
    }
    let mut pool = Pool::new(tokenizer, how, watch);
    let (mut notices, mut ends, count) = (Vec::new(), Vec::new(), names.len().max(1));
    for (i, name) in names.iter().enumerate() {
        let names = std::slice::from_ref(name);
        let wanted = Wanted { names, ..wanted };
        let part = |share: f64| (i as f64 + share) / count as f64;
        notices.extend(read_datasets(&wanted, open, &mut |piece, share| pool.take(piece, part(share)).map(|()| true)).await?);
        if recipe.mix_strategy != MixStrategy::Concat {
            pool.work()?;
        }
        ends.push(pool.done.len());
    }
    let mut records = pool.finish(&names.join(", "), recipe.on_bad_record, &mut notices)?;
    if !evaluation && recipe.mix_strategy != MixStrategy::Concat {
        records = mix(records, &ends, recipe);
    }
    if let Some(cache) = cache {
        match token_cache::save(cache, &key, &records, &notices).await {
            Err(Error::NoSpace { .. }) => notices.push(format!("there is no space in {} to keep the tokens", cache.label())),
            other => other?,
        }
    }
    preference::add_unrelated(&mut records, &how);
    Ok((records, notices))
}

/// Reads and tokenises datasets of `dataset_dir`, named as in [`super::load_datasets`], piece by piece as [`Encoding`] says; what is read is not kept.
/// `watch` is told how far it is; an error of it ends the reading.
///
/// # Errors
/// What [`super::load_datasets`] and [`super::encode_records`] fail with, and `watch`.
pub async fn encode_datasets(
    names: &[String],
    dataset_dir: &str,
    tokenizer: &Tokenizer,
    how: &Encoding,
    open: &OpenPath<'_>,
    watch: &mut dyn FnMut(PrepareProgress) -> Result<()>,
) -> Result<Encoded> {
    let wanted = Wanted { names, dataset_dir, max_samples: None, evaluation: true, stage: None, seed: SEED };
    let mut pool = Pool::new(tokenizer, *how, watch);
    let mut notices = read_datasets(&wanted, open, &mut |piece, share| pool.take(piece, share).map(|()| true)).await?;
    let name = names.join(", ");
    let mut records = pool.finish(&name, OnBadRecord::Stop, &mut notices)?;
    preference::add_unrelated(&mut records, how);
    let mut encoded = assemble(&name, records, tokenizer, how)?;
    encoded.notices.splice(0..0, notices);
    Ok(encoded)
}

/// Puts the records of several datasets together as `mix_strategy` says; `ends` are where each dataset's records end.
fn mix(records: Vec<RecordTokens>, ends: &[usize], recipe: &Recipe) -> Vec<RecordTokens> {
    let firsts: Vec<usize> = std::iter::once(0).chain(ends.iter().copied()).collect();
    let lengths: Vec<usize> = ends.iter().zip(&firsts).map(|(end, first)| end - first).collect();
    let order = interleave(&lengths, recipe.mix_strategy, &recipe.interleave_probs, recipe.seed);
    order.into_iter().map(|(set, record)| records[firsts[set] + record].clone()).collect()
}

/// Tokenises records as they come, many at once.
struct Pool<'a> {
    tokenizer: &'a Tokenizer,
    how: Encoding,
    watch: &'a mut dyn FnMut(PrepareProgress) -> Result<()>,
    waiting: Vec<Piece>,
    waiting_bytes: usize,
    done: Vec<RecordTokens>,
    faults: Faults,
    unread: Unread,
    progress: PrepareProgress,
}

impl<'a> Pool<'a> {
    fn new(tokenizer: &'a Tokenizer, how: Encoding, watch: &'a mut dyn FnMut(PrepareProgress) -> Result<()>) -> Pool<'a> {
        Pool {
            tokenizer,
            how,
            watch,
            waiting: Vec::new(),
            waiting_bytes: 0,
            done: Vec::new(),
            faults: Faults::default(),
            unread: Unread::default(),
            progress: PrepareProgress { share: 0.0, records: 0, tokens: 0 },
        }
    }

    fn take(&mut self, piece: Piece, share: f64) -> Result<()> {
        self.waiting_bytes += piece.bytes();
        self.waiting.push(piece);
        self.progress.share = share;
        if self.waiting_bytes >= WORK_TOGETHER || self.waiting.len() >= TOGETHER_RECORDS { self.work() } else { Ok(()) }
    }

    fn work(&mut self) -> Result<()> {
        self.waiting_bytes = 0;
        let (tokenizer, how) = (self.tokenizer, &self.how);
        let read = in_parallel(mem::take(&mut self.waiting), |piece| -> Result<(RecordTokens, ReadRecord)> {
            let (record, unread) = piece.read()?;
            Ok((encode_record(&record, tokenizer, how)?, (record, unread)))
        });
        for record in read {
            self.progress.records += 1;
            match record {
                Ok((tokens, (record, unread))) => {
                    self.unread.note(&record.path, unread);
                    self.progress.tokens += tokens.sequences.iter().map(|(ids, _)| ids.len()).sum::<usize>();
                    self.done.push(tokens);
                }
                Err(fault) => self.faults.note(fault),
            }
        }
        (self.watch)(self.progress)
    }

    fn finish(mut self, name: &str, on_bad_record: OnBadRecord, notices: &mut Vec<String>) -> Result<Vec<RecordTokens>> {
        self.work()?;
        notices.extend(self.faults.judge(name, self.progress.records, on_bad_record)?);
        notices.extend(self.unread.notices());
        Ok(self.done)
    }
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
