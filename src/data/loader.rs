//! Which samples a step is trained on: a pure function of the seed and the step, so that a resumed run needs only its step.

use std::cell::RefCell;
use std::rc::Rc;

use super::budget::Budget;
use crate::config::Recipe;
use crate::error::{Error, Result};
use crate::random::Random;

/// Streams of the data seed, apart from the epochs, which count from 0.
const SPLIT: u64 = u64::MAX;

/// The order of samples over a run.
#[derive(Debug, Clone)]
pub struct Loader {
    samples: usize,
    batch_size: usize,
    accumulation: usize,
    seed: u64,
    shuffle: bool,
    epochs: f64,
    max_steps: Option<u64>,
    /// The samples' lengths, where samples of similar length come together.
    lengths: Option<Rc<[usize]>>,
    /// Where micro-batches are of so many tokens. The samples of all epochs are one stream then, which is cut without regard to its epochs.
    budget: Option<Budget>,
    /// How many samples of that stream come before each step, as far as was asked for.
    before: RefCell<Vec<u64>>,
    /// The order of the epoch that was asked for last: making one costs a pass over all samples.
    order: RefCell<Option<(u64, Rc<[usize]>)>>,
}

impl Loader {
    /// The loader of a recipe over so many training samples.
    ///
    /// # Errors
    /// [`Error::Dataset`] when there are none.
    pub fn new(samples: usize, recipe: &Recipe) -> Result<Self> {
        if samples == 0 {
            return Err(Error::dataset(recipe.dataset.join(", "), "not one sample is left to train on"));
        }
        Ok(Loader {
            samples,
            batch_size: recipe.per_device_train_batch_size.max(1),
            accumulation: recipe.gradient_accumulation_steps.max(1),
            seed: recipe.data_seed,
            shuffle: !recipe.disable_shuffling,
            epochs: recipe.num_train_epochs,
            max_steps: recipe.max_steps,
            lengths: None,
            budget: None,
            before: RefCell::new(vec![0]),
            order: RefCell::default(),
        })
    }

    /// The same for samples of known lengths, which `group_by_length` and batches by number of tokens ask for.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn of_lengths(lengths: &[usize], recipe: &Recipe) -> Result<Self> {
        let mut loader = Loader::new(lengths.len(), recipe)?;
        if recipe.group_by_length && loader.shuffle {
            loader.lengths = Some(lengths.into());
        }
        loader.budget = Budget::of(recipe, lengths);
        Ok(loader)
    }

    /// How many samples an epoch has.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Micro-batches of an epoch; the last may be smaller.
    pub fn micro_batches_per_epoch(&self) -> usize {
        self.samples.div_ceil(self.batch_size)
    }

    /// Optimiser steps of an epoch: ceil(micro-batches / accumulation); the last may be of a partial group.
    pub fn steps_per_epoch(&self) -> u64 {
        self.micro_batches_per_epoch().div_ceil(self.accumulation) as u64
    }

    /// Optimiser steps of the run: `max_steps`, or ceil(epochs · steps per epoch) as in transformers.
    pub fn total_steps(&self) -> u64 {
        self.max_steps.unwrap_or_else(|| ((self.epochs * self.steps_per_epoch() as f64).ceil() as u64).max(1))
    }

    /// How many epochs are done after `steps` steps; whole at the end of each epoch.
    pub fn epoch_after(&self, steps: u64) -> f64 {
        if let Some(budget) = &self.budget {
            return self.samples_before(steps, budget) as f64 / self.samples as f64;
        }
        let per_epoch = self.steps_per_epoch();
        let (whole, rest) = (steps / per_epoch, steps % per_epoch);
        let micro_batches = (rest * self.accumulation as u64).min(self.micro_batches_per_epoch() as u64);
        whole as f64 + micro_batches as f64 / self.micro_batches_per_epoch() as f64
    }

    /// Whether an epoch ends with step `step` (counted from 0).
    pub fn ends_epoch(&self, step: u64) -> bool {
        if let Some(budget) = &self.budget {
            let epoch = |step| self.samples_before(step, budget) / self.samples as u64;
            return epoch(step) < epoch(step + 1);
        }
        (step + 1).is_multiple_of(self.steps_per_epoch())
    }

    /// The micro-batches of step `step` (counted from 0), each a list of sample indices. Never empty.
    pub fn group(&self, step: u64) -> Vec<Vec<usize>> {
        if let Some(budget) = &self.budget {
            return self.group_from(self.samples_before(step, budget), budget);
        }
        let (epoch, within) = (step / self.steps_per_epoch(), (step % self.steps_per_epoch()) as usize);
        let order = self.order_of(epoch);
        let micro_batches = order.chunks(self.batch_size).skip(within * self.accumulation).take(self.accumulation);
        micro_batches.map(<[usize]>::to_vec).collect()
    }

    /// The most tokens that a micro-batch can have, where that is known without looking at all of them.
    pub fn token_limit(&self) -> Option<usize> {
        self.budget.as_ref().map(Budget::most)
    }

    /// The micro-batches of a step that begins after so many samples of the stream.
    fn group_from(&self, first: u64, budget: &Budget) -> Vec<Vec<usize>> {
        let mut at = first;
        let samples = self.samples as u64;
        let micro_batch = |_| {
            let next = (at..).map(|place| self.order_of(place / samples)[(place % samples) as usize]);
            let taken = budget.take(next);
            at += taken.len() as u64;
            taken
        };
        (0..self.accumulation).map(micro_batch).collect()
    }

    /// How many samples of the stream come before a step.
    fn samples_before(&self, step: u64, budget: &Budget) -> u64 {
        let mut before = self.before.borrow_mut();
        while before.len() as u64 <= step {
            let first = before.last().copied().unwrap_or(0);
            let taken: usize = self.group_from(first, budget).iter().map(Vec::len).sum();
            before.push(first + taken as u64);
        }
        before[step as usize]
    }

    fn order_of(&self, epoch: u64) -> Rc<[usize]> {
        let mut cached = self.order.borrow_mut();
        match &*cached {
            Some((of, order)) if *of == epoch => order.clone(),
            _ => cached.insert((epoch, self.epoch_order(epoch).into())).1.clone(),
        }
    }

    fn epoch_order(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.samples).collect();
        if self.shuffle {
            Random::new(self.seed, epoch).shuffle(&mut order);
        }
        match &self.lengths {
            Some(lengths) => group_by_length(&order, lengths, self.batch_size * self.accumulation),
            None => order,
        }
    }
}

/// Puts samples of similar length together, as transformers' `get_length_grouped_indices`: stretches of the order as long as fifty steps
/// (fewer in a small set) are sorted, the longest first, and the longest of all comes first.
pub fn group_by_length(order: &[usize], lengths: &[usize], step: usize) -> Vec<usize> {
    let steps = (order.len() / (step.max(1) * 4)).clamp(1, 50);
    let mut grouped = order.to_vec();
    let stretch = steps * step.max(1);
    for part in grouped.chunks_mut(stretch) {
        part.sort_by_key(|&sample| std::cmp::Reverse(lengths[sample])); // stable
    }
    // The first of the stretches that begin with the longest sample.
    let longest = (0..grouped.len()).step_by(stretch).max_by_key(|&first| (lengths[grouped[first]], std::cmp::Reverse(first)));
    if let Some(longest) = longest {
        grouped.swap(0, longest);
    }
    grouped
}

/// Splits `count` records into those to train on and those held out, each in their own order; which ones is drawn from the
/// seed. `val_size` is a count from 1 and a share below; a share is rounded up, as LLaMA-Factory's split does.
///
/// # Errors
/// [`Error::Recipe`] when nothing would be left to train on.
pub fn split(count: usize, val_size: f64, seed: u64) -> Result<(Vec<usize>, Vec<usize>)> {
    let held_out = if val_size >= 1.0 { val_size as usize } else { (count as f64 * val_size).ceil() as usize };
    if held_out > 0 && held_out >= count {
        return Err(Error::recipe(
            "val_size",
            format!("{held_out} samples held out of {count} leave nothing to train on; make it smaller"),
        ));
    }
    let mut order: Vec<usize> = (0..count).collect();
    Random::new(seed, SPLIT).shuffle(&mut order);
    let mut train = order.split_off(held_out);
    train.sort_unstable();
    order.sort_unstable();
    Ok((train, order))
}
