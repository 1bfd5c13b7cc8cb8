//! One tokenised sample: ids and the labels to learn, before the shift by one.

/// The label that takes no part in the loss (PyTorch's and transformers' `ignore_index`).
pub const IGNORE: i32 = -100;

/// What is known of the answers in a sample of preferences, which is two sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feedback {
    /// The preferred answer to a prompt, and the rejected one.
    Pair,
    /// The same for a reward model, which judges each by its last token.
    Judged,
    /// A good answer to a prompt, and an answer to another prompt in its place.
    Good,
    /// A bad answer to a prompt, and an answer to another prompt in its place.
    Bad,
}

/// What an answer is compared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Role {
    /// Preferred.
    Chosen = 0,
    /// Rejected.
    Rejected = 1,
    /// An answer to another prompt.
    Unrelated = 2,
}

impl Feedback {
    /// What a sample's two answers are.
    pub fn roles(self) -> [Role; 2] {
        match self {
            Feedback::Pair | Feedback::Judged => [Role::Chosen, Role::Rejected],
            Feedback::Good => [Role::Chosen, Role::Unrelated],
            Feedback::Bad => [Role::Rejected, Role::Unrelated],
        }
    }
}

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
    /// What its answers are, in stages dpo, kto and rm.
    pub feedback: Option<Feedback>,
    /// The line of the dataset file that it began at, for messages.
    pub line: usize,
}

impl Sample {
    /// A sample of one sequence.
    pub fn new(ids: Vec<u32>, labels: Vec<i32>, line: usize) -> Self {
        debug_assert_eq!(ids.len(), labels.len());
        Sample { ends: vec![ids.len()], ids, labels, feedback: None, line }
    }

    /// A sample of two answers, each a sequence of its own.
    pub fn of_answers(feedback: Feedback, answers: [(Vec<u32>, Vec<i32>); 2], line: usize) -> Self {
        let [(mut ids, mut labels), (more_ids, more_labels)] = answers;
        let first = ids.len();
        ids.extend(more_ids);
        labels.extend(more_labels);
        debug_assert_eq!(ids.len(), labels.len());
        Sample { ends: vec![first, ids.len()], ids, labels, feedback: Some(feedback), line }
    }

    /// The token ids and labels of its sequences.
    pub fn sequences(&self) -> impl Iterator<Item = (&[u32], &[i32])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(from, &to)| (&self.ids[from..to], &self.labels[from..to]))
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
