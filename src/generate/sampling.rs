//! Choosing the next token from logits, in the order that transformers' `generate` applies its processors:
//! repetition penalty, temperature, top-k, top-p, min-p, then a draw.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::random::Random;

/// The stream of the seed that tokens are drawn from.
const STREAM: u64 = 0x67656e;

/// How tokens are chosen. The default draws from the model's own distribution.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SamplingOptions {
    /// Take the likeliest token instead of drawing one.
    pub greedy: bool,
    /// Divides the logits; below 1 sharpens.
    pub temperature: f32,
    /// Keep the k likeliest tokens (ties included); 0 keeps all.
    pub top_k: usize,
    /// Keep the likeliest tokens that together reach this probability; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this likely relative to the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Makes tokens of the prompt and the answer so far less likely above 1; 1 changes nothing.
    pub repetition_penalty: f32,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        SamplingOptions { greedy: false, temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 42 }
    }
}

impl SamplingOptions {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Recipe`] that names the option.
    pub fn check(&self) -> Result<()> {
        let fault = |name: &str, reason: String| Err(Error::recipe(name, reason));
        let SamplingOptions { temperature, top_p, min_p, repetition_penalty, .. } = *self;
        if !(self.greedy || temperature.is_finite() && temperature > 0.0) {
            return fault("temperature", format!("{temperature} is not above 0; for the likeliest token use greedy decoding"));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return fault("top_p", format!("{top_p} is not above 0 and at most 1"));
        }
        if !(0.0..=1.0).contains(&min_p) {
            return fault("min_p", format!("{min_p} is not between 0 and 1"));
        }
        if !(repetition_penalty.is_finite() && repetition_penalty > 0.0) {
            return fault("repetition_penalty", format!("{repetition_penalty} is not above 0; 1 changes nothing"));
        }
        Ok(())
    }
}

/// Draws the tokens of one answer.
#[derive(Debug, Clone)]
pub struct Sampler {
    options: SamplingOptions,
    random: Random,
}

impl Sampler {
    /// A sampler at the start of its seed's draws.
    ///
    /// # Errors
    /// As [`SamplingOptions::check`].
    pub fn new(options: SamplingOptions) -> Result<Self> {
        options.check()?;
        Ok(Sampler { random: Random::new(options.seed, STREAM), options })
    }

    /// The next token. `logits` are the model's, one per token of the vocabulary; `history` holds the ids of the prompt and of
    /// the answer so far.
    ///
    /// # Errors
    /// [`Error::NotFinite`] when no logit is a number: the weights are damaged.
    pub fn next(&mut self, logits: &[f32], history: &[u32]) -> Result<u32> {
        let candidates = self.candidates(logits, history)?;
        let mut left = self.random.unit();
        for &(id, probability) in &candidates {
            left -= probability;
            if left < 0.0 {
                return Ok(id);
            }
        }
        Ok(candidates.last().map_or(0, |&(id, _)| id)) // rounding used the whole up
    }

    /// The tokens that may come next and their probabilities, the likeliest first; one only when greedy.
    ///
    /// # Errors
    /// As `next`.
    pub fn candidates(&self, logits: &[f32], history: &[u32]) -> Result<Vec<(u32, f64)>> {
        let mut scores = logits.to_vec();
        if scores.iter().any(|s| s.is_nan() || *s == f32::INFINITY) || !scores.iter().any(|s| s.is_finite()) {
            return Err(Error::NotFinite {
                step: history.len() as u64,
                reason: "the model's logits are not numbers; check its weights with `rootstock validate`".into(),
            });
        }
        penalise(&mut scores, history, self.options.repetition_penalty);
        if self.options.greedy {
            return Ok(vec![(likeliest(&scores), 1.0)]);
        }
        let mut kept = self.weighted(&scores);
        let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
        kept.iter_mut().for_each(|(_, weight)| *weight /= total);
        Ok(kept)
    }

    /// The tokens that may be drawn, the likeliest first and of weight 1. Never empty.
    fn weighted(&self, scores: &[f32]) -> Vec<(u32, f64)> {
        let SamplingOptions { temperature, top_k, top_p, min_p, .. } = self.options;
        let mut order: Vec<u32> = (0..scores.len() as u32).collect();
        let score = |id: u32| scores[id as usize];
        order.sort_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
        if top_k > 0 && top_k < order.len() {
            let least = score(order[top_k - 1]);
            order.retain(|&id| score(id) >= least); // ties with the k-th stay, as in transformers
        }
        let highest = order.first().map_or(0.0, |&id| score(id));
        let weight = |id: u32| (f64::from(score(id) - highest) / f64::from(temperature)).exp();
        let mut kept: Vec<(u32, f64)> = order.into_iter().map(|id| (id, weight(id))).filter(|(_, w)| *w > 0.0).collect();
        if top_p < 1.0 {
            let total: f64 = kept.iter().map(|(_, w)| w).sum();
            let mut before = 0.0; // the probability of all likelier tokens
            kept.retain(|(_, w)| {
                let keep = before < f64::from(top_p) || before == 0.0;
                before += w / total;
                keep
            });
        }
        if min_p > 0.0 {
            kept.retain(|(_, w)| *w >= f64::from(min_p)); // the likeliest weighs 1
        }
        kept
    }
}

/// transformers' repetition penalty: a positive logit is divided, a negative one multiplied; once per token, however often it came.
fn penalise(scores: &mut [f32], history: &[u32], penalty: f32) {
    if penalty == 1.0 {
        return;
    }
    let mut seen = history.to_vec();
    seen.sort_unstable();
    seen.dedup();
    for id in seen {
        if let Some(score) = scores.get_mut(id as usize) {
            *score = if *score < 0.0 { *score * penalty } else { *score / penalty };
        }
    }
}

/// The index of the largest value, the first of equals.
fn likeliest(scores: &[f32]) -> u32 {
    let mut best = 0;
    for (i, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = i;
        }
    }
    best as u32
}
