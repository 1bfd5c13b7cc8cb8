//! Samples of stages dpo, rm and kto: two sequences each, of which the last answer is compared and all before it is read, as LLaMA-Factory
//! cuts them (`data/processor/pairwise.py` and `feedback.py`).

use super::conversation::{Earlier, encode_conversation};
use super::packing::share_length;
use super::record::Conversation;
use super::sample::{Feedback, IGNORE, Sample};
use super::samples::{Encoded, Encoding, RecordTokens};
use super::tokenizer::Tokenizer;
use crate::config::Stage;
use crate::error::Result;

/// LLaMA-Factory gives each answer of stage kto one of another prompt within groups of this many records (its `preprocessing_batch_size`).
const GROUP: usize = 1000;

/// A prompt and the answer to it, in tokens.
type Exchange = (Vec<u32>, Vec<u32>);

/// Stages dpo and rm: the preferred answer and the rejected one, cut to the same lengths.
pub(super) fn encode_pair(chosen: &Conversation, rejected: &Conversation, tokenizer: &Tokenizer, how: &Encoding) -> Result<RecordTokens> {
    let exchanges = [last_exchange(chosen, tokenizer)?, last_exchange(rejected, tokenizer)?];
    let answer = exchanges.iter().map(|(_, answer)| answer.len()).max().unwrap_or(0);
    let feedback = if how.stage == Stage::Rm { Feedback::Judged } else { Feedback::Pair };
    let mut tokens = RecordTokens { conversation: true, feedback: Some(feedback), ..Default::default() };
    for (prompt, own) in exchanges {
        let (source, target) = share_length(prompt.len(), answer, how.cutoff_len);
        let target = target.min(own.len());
        tokens.needs = tokens.needs.max(prompt.len() + answer);
        tokens.truncated |= source < prompt.len() || target < own.len();
        tokens.sequences.push(sequence(&prompt[..source], &own[..target]));
    }
    Ok(tokens)
}

/// Stage kto: the answer, uncut, as [`add_unrelated`] wants it.
pub(super) fn encode_rated(conversation: &Conversation, good: bool, tokenizer: &Tokenizer) -> Result<RecordTokens> {
    let (prompt, answer) = last_exchange(conversation, tokenizer)?;
    let feedback = Some(if good { Feedback::Good } else { Feedback::Bad });
    let needs = prompt.len() + answer.len();
    Ok(RecordTokens { sequences: vec![sequence(&prompt, &answer)], needs, conversation: true, feedback, ..Default::default() })
}

/// All before the last answer, and that answer with what ends its turn.
fn last_exchange(conversation: &Conversation, tokenizer: &Tokenizer) -> Result<Exchange> {
    let turns = encode_conversation(tokenizer, conversation, Earlier::Prompt)?.pop().unwrap_or_default();
    let mut prompt = Vec::new();
    let mut answer = Vec::new();
    for turn in turns.turns {
        prompt.append(&mut answer);
        prompt.extend(turn.source);
        answer = turn.target;
    }
    answer.extend(turns.eos);
    Ok((prompt, answer))
}

fn sequence(prompt: &[u32], answer: &[u32]) -> (Vec<u32>, Vec<i32>) {
    let labels = prompt.iter().map(|_| IGNORE).chain(answer.iter().map(|id| *id as i32)).collect();
    ([prompt, answer].concat(), labels)
}

/// Stage kto: cuts the answers, and gives each record, as its second sequence, its prompt with the answer of the record before it.
pub(super) fn add_unrelated(records: &mut [RecordTokens], how: &Encoding) {
    if how.stage != Stage::Kto {
        return;
    }
    for group in records.chunks_mut(GROUP) {
        let exchanges: Vec<Exchange> = group.iter().filter_map(|record| record.sequences.first()).map(split).collect();
        for (i, record) in group.iter_mut().enumerate().take(exchanges.len()) {
            let before = (i + exchanges.len() - 1) % exchanges.len();
            let (prompt, own) = &exchanges[i];
            let cut = |answer: &[u32]| {
                let (source, target) = share_length(prompt.len(), answer.len(), how.cutoff_len);
                (sequence(&prompt[..source], &answer[..target]), source < prompt.len() || target < answer.len())
            };
            let (own, truncated) = cut(own);
            let (other, _) = cut(&exchanges[before].1);
            record.truncated = truncated;
            record.sequences = vec![own, other];
        }
    }
}

/// A sequence's prompt and answer.
fn split((ids, labels): &(Vec<u32>, Vec<i32>)) -> Exchange {
    let answer = labels.iter().position(|label| *label != IGNORE).unwrap_or(ids.len());
    (ids[..answer].to_vec(), ids[answer..].to_vec())
}

impl Encoded {
    /// Makes a sample of each record's two sequences.
    pub(super) fn take_preferences(&mut self, records: Vec<RecordTokens>) {
        self.samples.reserve_exact(records.len());
        let (mut good, mut bad) = (0, 0);
        for record in records {
            let (Some(feedback), Ok([first, second])) = (record.feedback, <[_; 2]>::try_from(record.sequences)) else {
                self.dropped += 1;
                continue;
            };
            let sample = Sample::of_answers(feedback, [first, second], record.line);
            if sample.sequences().any(|(_, labels)| labels.iter().skip(1).all(|label| *label == IGNORE)) {
                self.dropped += 1;
                continue;
            }
            match feedback {
                Feedback::Pair | Feedback::Judged => {}
                Feedback::Good => good += 1,
                Feedback::Bad => bad += 1,
            }
            self.samples.push(sample);
        }
        if (good == 0) != (bad == 0) {
            let which = if good > 0 { "good" } else { "bad" };
            self.notices.push(format!(
                "all {} answers are marked as {which}: kto learns from the difference between good and bad ones",
                good + bad
            ));
        }
    }
}
