//! Micro-batches by their number of tokens: `batching_strategy` of LLaMA-Factory's version 1 (`plugins/trainer_plugins/batching.py` there).

use std::rc::Rc;

use crate::config::{Batching, Recipe};

/// How many tokens a micro-batch may have.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    tokens: usize,
    /// Whether every sample counts as long as the longest, as where all are padded to it.
    padded: bool,
    /// The samples' lengths.
    lengths: Rc<[usize]>,
}

impl Budget {
    /// The budget of a recipe over samples of these lengths; `None` where it counts samples.
    pub(super) fn of(recipe: &Recipe, lengths: &[usize]) -> Option<Budget> {
        let padded = match recipe.batching_strategy {
            Batching::Normal => return None,
            Batching::Padded => true,
            Batching::Tokens => false,
        };
        let tokens = recipe.cutoff_len.saturating_mul(recipe.per_device_train_batch_size);
        Some(Budget { tokens, padded, lengths: lengths.into() })
    }

    /// The samples of the micro-batch that begins with the next sample: at least that one, and as many as fit.
    pub(super) fn take(&self, next: impl Iterator<Item = usize>) -> Vec<usize> {
        let (mut taken, mut longest, mut sum) = (Vec::new(), 0, 0usize);
        for sample in next {
            // A sample without a token would come for ever.
            let length = self.lengths[sample].max(1);
            let all = if self.padded { length.max(longest).saturating_mul(taken.len() + 1) } else { sum.saturating_add(length) };
            if !taken.is_empty() && all > self.tokens {
                break;
            }
            taken.push(sample);
            longest = longest.max(length);
            sum += length;
        }
        taken
    }

    /// The most tokens that a micro-batch can have.
    pub(super) fn most(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0).max(self.tokens)
    }
}
