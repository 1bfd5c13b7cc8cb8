//! One tokenised sample: ids and the labels to learn, before the shift by one.

/// The label that takes no part in the loss (PyTorch's and transformers' `ignore_index`).
pub const IGNORE: i32 = -100;

/// One tokenised sample, before the shift by one: `labels[i]` belongs to `ids[i]` and is that id or [`IGNORE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Token ids. (T)
    pub ids: Vec<u32>,
    /// The id again where the token is to be learned, [`IGNORE`] where it is only read. (T)
    pub labels: Vec<i32>,
    /// Where the sequences inside end, ascending, the last one `ids.len()`. An ordinary sample is one sequence;
    /// `neat_packing` puts several into one sample; none attends to another.
    pub ends: Vec<usize>,
    /// The line of the dataset file that it began at, for messages.
    pub line: usize,
}

impl Sample {
    /// A sample of one sequence.
    pub fn new(ids: Vec<u32>, labels: Vec<i32>, line: usize) -> Self {
        debug_assert_eq!(ids.len(), labels.len());
        Sample { ends: vec![ids.len()], ids, labels, line }
    }

    /// A sequence in which every token is learned.
    pub(super) fn all_learned(ids: Vec<u32>, line: usize) -> Self {
        let labels = ids.iter().map(|&id| id as i32).collect();
        Sample::new(ids, labels, line)
    }

    /// How many targets it has once the labels are shifted: the first token of a sequence is predicted from nothing.
    pub fn targets(&self) -> usize {
        let learned = self.labels.iter().filter(|&&label| label != IGNORE).count();
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        learned - starts.filter(|&start| self.labels.get(start).is_some_and(|&label| label != IGNORE)).count()
    }
}
