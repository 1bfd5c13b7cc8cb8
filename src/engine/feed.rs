//! Encodes a batch as the bytes that the kernels read.

use crate::data::{Batch, Buckets};
use crate::kernels::{Input, InputLayout};

/// Numbers of a batch that the step's uniform carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows with a target.
    pub targets: u32,
    /// Distinct token ids.
    pub buckets: u32,
    /// Distinct positions.
    pub position_buckets: u32,
    /// Answers that are compared.
    pub answers: u32,
    /// Tokens of the longest sequence.
    pub longest: usize,
}

/// The tokens of the program for a batch: rounded up by at most an eighth, so that few programs serve all batches.
pub fn program_tokens(tokens: usize) -> usize {
    let unit = (tokens.next_power_of_two() / 16).clamp(32, 1024);
    tokens.next_multiple_of(unit).max(32)
}

/// Lays a batch out for a program of `tokens`, filling it up.
pub fn encode(batch: &Batch, tokens: usize) -> (Vec<u8>, Counts) {
    let mut batch = batch.clone();
    batch.pad_to(tokens);
    let layout = InputLayout::new(tokens);
    let mut words = vec![0u32; layout.bytes() as usize / 4];
    let mut put = |input: Input, data: &[u32]| {
        let first = layout.offset(input) as usize / 4;
        words[first..first + data.len()].copy_from_slice(data);
    };
    put(Input::Ids, &batch.ids);
    put(Input::Positions, &batch.positions);
    put(Input::Starts, &batch.starts);
    put(Input::Ends, &batch.ends);
    let (rows, labels) = batch.target_rows();
    put(Input::TargetRows, &rows);
    put(Input::TargetLabels, &labels);
    let Buckets { ids, offsets, tokens } = batch.buckets();
    put(Input::BucketIds, &ids);
    put(Input::BucketOffsets, &offsets);
    put(Input::BucketTokens, &tokens);
    let positions = batch.position_buckets();
    put(Input::PositionBucketIds, &positions.ids);
    put(Input::PositionBucketOffsets, &positions.offsets);
    put(Input::PositionBucketTokens, &positions.tokens);
    put(Input::AnswerOffsets, &batch.answer_offsets());
    put(Input::AnswerReferences, &batch.answers.iter().map(|answer| answer.reference.to_bits()).collect::<Vec<_>>());
    put(Input::AnswerRoles, &batch.answers.iter().map(|answer| answer.role as u32).collect::<Vec<_>>());
    let counts = Counts {
        targets: rows.len() as u32,
        buckets: ids.len() as u32,
        position_buckets: positions.ids.len() as u32,
        answers: batch.answers.len() as u32,
        longest: batch.positions.iter().max().map_or(0, |last| *last as usize + 1),
    };
    (bytemuck::cast_slice(&words).to_vec(), counts)
}
