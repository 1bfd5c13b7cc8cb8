//! The layout of the buffer that holds a batch: sections of one u32 per token.

use super::{Bind, Resource};

/// A section of the batch buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Token id per token.
    Ids,
    /// Position in its sequence per token.
    Positions,
    /// First token of the token's sequence.
    Starts,
    /// One past the last token of the token's sequence.
    Ends,
    /// Rows that have a target, ascending.
    TargetRows,
    /// The target of each such row.
    TargetLabels,
    /// Distinct token ids, ascending.
    BucketIds,
    /// First entry of each bucket in `BucketTokens`, one more than buckets.
    BucketOffsets,
    /// Tokens sorted by id.
    BucketTokens,
    /// Distinct positions, ascending (learned position embeddings).
    PositionBucketIds,
    /// First entry of each bucket in `PositionBucketTokens`.
    PositionBucketOffsets,
    /// Tokens sorted by position.
    PositionBucketTokens,
    /// First entry of each answer in `TargetRows`, one more than answers (preferences).
    AnswerOffsets,
    /// Log-probability of each answer by the reference, an f32's bits.
    AnswerReferences,
    /// What each answer is: 0 preferred, 1 rejected, 2 of another prompt.
    AnswerRoles,
}

const SECTIONS: u64 = 15;

/// Where the sections lie for a number of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputLayout {
    tokens: usize,
}

impl InputLayout {
    /// The layout for micro-batches of this many tokens.
    pub fn new(tokens: usize) -> Self {
        InputLayout { tokens }
    }

    fn section_bytes(self) -> u64 {
        ((self.tokens as u64 + 1) * 4).next_multiple_of(256)
    }

    /// Bytes of the whole buffer.
    pub fn bytes(self) -> u64 {
        SECTIONS * self.section_bytes()
    }

    /// First byte of a section.
    pub fn offset(self, input: Input) -> u64 {
        input as u64 * self.section_bytes()
    }

    /// The section as a binding.
    pub fn bind(self, input: Input) -> Bind {
        Bind { resource: Resource::Inputs, offset: self.offset(input), size: self.section_bytes() }
    }
}
