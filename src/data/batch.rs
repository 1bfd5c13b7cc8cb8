//! A batch as the kernels see it: sequences one after the other in one row of tokens, no padding between them.

use super::sample::{Feedback, IGNORE, Role, Sample};

/// What one micro-batch feeds to the model. All vectors but the answers have one entry per token. (T)
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Position within the token's own sequence, from 0.
    pub positions: Vec<u32>,
    /// Index in this batch of the first token of the token's sequence.
    pub starts: Vec<u32>,
    /// Index in this batch one past the last token of the token's sequence.
    pub ends: Vec<u32>,
    /// The label of the *next* token of the same sequence: already shifted. [`IGNORE`] where there is none to learn.
    pub targets: Vec<i32>,
    /// Real tokens; what follows them is filler.
    pub tokens: usize,
    /// How many samples it was made of.
    pub samples: usize,
    /// The answers of samples of preferences, two for each sample; none otherwise.
    pub answers: Vec<Answer>,
}

/// An answer that is compared with others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// What it is.
    pub role: Role,
    /// Its targets.
    pub targets: usize,
    /// Its log-probability by the reference model; 0 without one.
    pub reference: f32,
}

/// Tokens grouped by a key (an embedding row), so that each row's gradient is summed by one owner in a fixed order:
/// no atomics, the same bits every time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Buckets {
    /// The distinct keys, ascending. (K)
    pub ids: Vec<u32>,
    /// `tokens[offsets[k]..offsets[k + 1]]` are the tokens of `ids[k]`. (K + 1)
    pub offsets: Vec<u32>,
    /// Token indices, ascending within a key. (T)
    pub tokens: Vec<u32>,
}

impl Batch {
    /// Lays the samples' sequences one after the other.
    pub fn of(samples: &[&Sample]) -> Self {
        let total = samples.iter().map(|s| s.ids.len()).sum();
        let mut batch = Batch {
            ids: Vec::with_capacity(total),
            positions: Vec::with_capacity(total),
            starts: Vec::with_capacity(total),
            ends: Vec::with_capacity(total),
            targets: Vec::with_capacity(total),
            tokens: total,
            samples: samples.len(),
            answers: Vec::new(),
        };
        for sample in samples {
            let mut roles = sample.feedback.map(|feedback| feedback.roles().into_iter());
            for (ids, labels) in sample.sequences() {
                batch.push_sequence(ids, labels);
                if let Some(role) = roles.as_mut().and_then(Iterator::next) {
                    let targets = match sample.feedback {
                        Some(Feedback::Judged) => batch.judge_last(ids),
                        _ => labels.iter().skip(1).filter(|label| **label != IGNORE).count(),
                    };
                    batch.answers.push(Answer { role, targets, reference: 0.0 });
                }
            }
        }
        batch
    }

    /// The same with what a reference model gives the answers of each sample.
    #[must_use]
    pub fn with_references(mut self, references: impl IntoIterator<Item = [f32; 2]>) -> Self {
        for (answer, reference) in self.answers.iter_mut().zip(references.into_iter().flatten()) {
            answer.reference = reference;
        }
        self
    }

    /// The first target of each answer, and the number of all.
    pub fn answer_offsets(&self) -> Vec<u32> {
        let mut offsets = vec![0; if self.answers.is_empty() { 0 } else { 1 }];
        for answer in &self.answers {
            offsets.push(offsets.last().copied().unwrap_or(0) + answer.targets as u32);
        }
        offsets
    }

    fn push_sequence(&mut self, ids: &[u32], labels: &[i32]) {
        let start = self.ids.len() as u32;
        let end = start + ids.len() as u32;
        self.ids.extend_from_slice(ids);
        self.positions.extend(0..ids.len() as u32);
        self.starts.extend(std::iter::repeat_n(start, ids.len()));
        self.ends.extend(std::iter::repeat_n(end, ids.len()));
        self.targets.extend(labels.iter().skip(1));
        if !ids.is_empty() {
            self.targets.push(IGNORE);
        }
    }

    /// Makes the last token of the sequence that was pushed last its only target, and returns their number. The label is that token: a value
    /// head reads none.
    fn judge_last(&mut self, ids: &[u32]) -> usize {
        let Some(last) = ids.last() else { return 0 };
        let end = self.targets.len();
        self.targets[end - ids.len()..].fill(IGNORE);
        self.targets[end - 1] = *last as i32;
        1
    }

    /// Appends filler until the length is a multiple of `multiple`, so that fewer plans need compiling. A filler token is a
    /// sequence of its own with nothing to learn: it reaches no real token and no gradient.
    pub fn pad_to(&mut self, multiple: usize) {
        let length = self.ids.len().next_multiple_of(multiple.max(1));
        for i in self.ids.len()..length {
            self.ids.push(0);
            self.positions.push(0);
            self.starts.push(i as u32);
            self.ends.push(i as u32 + 1);
            self.targets.push(IGNORE);
        }
    }

    /// Length with filler.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is not one token.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many targets it has: its share of the N that the summed loss is divided by.
    pub fn target_count(&self) -> usize {
        self.targets.iter().filter(|&&t| t != IGNORE).count()
    }

    /// The longest sequence, in tokens.
    pub fn longest(&self) -> usize {
        self.positions.iter().map(|&p| p as usize + 1).max().unwrap_or(0)
    }

    /// The tokens that have a target, ascending, and those targets: the only rows that the language-model head computes.
    pub fn target_rows(&self) -> (Vec<u32>, Vec<u32>) {
        let learned = self.targets.iter().enumerate().filter(|&(_, &t)| t != IGNORE);
        learned.map(|(i, &t)| (i as u32, t as u32)).unzip()
    }

    /// Real tokens by token id: the rows of the embedding that this batch touches. Filler has no gradient and is left out.
    pub fn buckets(&self) -> Buckets {
        Buckets::of(&self.ids[..self.tokens])
    }

    /// Real tokens by position: the rows of a learned position embedding that this batch touches.
    pub fn position_buckets(&self) -> Buckets {
        Buckets::of(&self.positions[..self.tokens])
    }
}

impl Buckets {
    /// Groups the indices of `keys` by key.
    pub fn of(keys: &[u32]) -> Self {
        let mut tokens: Vec<u32> = (0..keys.len() as u32).collect();
        tokens.sort_by_key(|&t| keys[t as usize]); // stable: ascending within a key
        let mut buckets = Buckets { ids: Vec::new(), offsets: vec![0], tokens };
        for (i, &token) in buckets.tokens.iter().enumerate() {
            let key = keys[token as usize];
            if buckets.ids.last() == Some(&key) {
                *buckets.offsets.last_mut().expect("one offset was pushed at the start") = i as u32 + 1;
            } else {
                buckets.ids.push(key);
                buckets.offsets.push(i as u32 + 1);
            }
        }
        buckets
    }
}
