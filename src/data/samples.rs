//! From records to training samples: token ids and the labels to learn, aligned as transformers aligns them.

use super::answers::Answers;
use super::conversation::{Earlier, Opening, Turns, encode_conversation};
use super::faults::Faults;
use super::packing::{pack, share_length};
use super::preference;
use super::record::{Content, Conversation, Record};
use super::sample::{Feedback, IGNORE, Sample};
use super::tokenizer::Tokenizer;
use crate::config::{OnBadRecord, Recipe, Stage};
use crate::error::{Error, Result};
use crate::platform::in_parallel;

/// How records become samples: the data keys of a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "LLaMA-Factory's names, explained in the table of keys")]
pub struct Encoding {
    pub stage: Stage,
    pub cutoff_len: usize,
    pub train_on_prompt: bool,
    pub mask_history: bool,
    pub packing: bool,
    pub neat_packing: bool,
}

impl Encoding {
    /// As the recipe trains.
    pub fn training(recipe: &Recipe) -> Self {
        Encoding {
            stage: recipe.stage,
            cutoff_len: recipe.cutoff_len,
            train_on_prompt: recipe.train_on_prompt,
            mask_history: recipe.mask_history,
            packing: recipe.packing,
            neat_packing: recipe.neat_packing,
        }
    }

    /// As a recipe's held-out samples are scored: the same, but sft samples are never packed, so that each is scored on its own.
    pub fn evaluation(recipe: &Recipe) -> Self {
        let packing = recipe.packing && recipe.stage == Stage::Pt;
        Encoding { packing, neat_packing: false, ..Self::training(recipe) }
    }

    /// As `rootstock eval` scores: each text and each conversation on its own, cut at `cutoff_len` tokens only.
    pub fn scoring(cutoff_len: usize) -> Self {
        Encoding { stage: Stage::Sft, cutoff_len, train_on_prompt: false, mask_history: false, packing: false, neat_packing: false }
    }
}

/// Samples, and what was done to get them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The samples, in the records' order unless they were packed.
    pub samples: Vec<Sample>,
    /// How many records were read.
    pub records: usize,
    /// How many of them are conversations.
    pub conversations: usize,
    /// How many of them were cut at `cutoff_len`.
    pub truncated: usize,
    /// The `cutoff_len` at which none of them is cut; 0 where texts are cut into blocks.
    pub needs: usize,
    /// How many of them had no target left, and were dropped.
    pub dropped: usize,
    /// Tokens that stage pt dropped because they fill no block.
    pub remainder: usize,
    /// What the user should be told.
    pub notices: Vec<String>,
}

impl Encoded {
    /// Adds the samples of another dataset.
    pub(super) fn append(&mut self, other: Encoded) {
        self.samples.extend(other.samples);
        self.records += other.records;
        self.conversations += other.conversations;
        self.truncated += other.truncated;
        self.needs = self.needs.max(other.needs);
        self.dropped += other.dropped;
        self.remainder += other.remainder;
        self.notices.extend(other.notices);
    }

    /// Tokens of all samples.
    pub fn tokens(&self) -> usize {
        self.samples.iter().map(|s| s.ids.len()).sum()
    }

    /// Targets of all samples.
    pub fn targets(&self) -> usize {
        self.samples.iter().map(Sample::targets).sum()
    }
}

/// A record as tokens, before records are packed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RecordTokens {
    /// One sequence, or several where a template rewrites earlier turns. (ids, labels); without labels every token is learned.
    pub(super) sequences: Vec<(Vec<u32>, Vec<i32>)>,
    pub(super) line: usize,
    /// Whether it was cut at `cutoff_len`.
    pub(super) truncated: bool,
    /// The `cutoff_len` at which it is not cut; 0 where texts are cut into blocks.
    pub(super) needs: usize,
    pub(super) conversation: bool,
    /// What its answers are, in stages dpo, kto and rm.
    pub(super) feedback: Option<Feedback>,
}

/// The tokens of a record: what of an encoding takes long, and needs no other record.
///
/// # Errors
/// [`Error::Line`] for a record that the chat template or the stage refuses.
pub(super) fn encode_record(record: &Record, tokenizer: &Tokenizer, how: &Encoding) -> Result<RecordTokens> {
    let answers = match record.content {
        Content::Text(_) | Content::Conversation(_) => Answers::One,
        Content::Pair(..) => Answers::ranked(),
        Content::Rated(..) => Answers::Rated("label".into()),
    };
    answers.check_stage(how.stage).map_err(|reason| Error::line(&*record.path, record.line, reason))?;
    let encoded = match (how.stage, &record.content) {
        (Stage::Pt, Content::Text(text)) => encode_pretraining(text, tokenizer, how),
        (Stage::Pt, Content::Conversation(_)) => Err(Error::line(
            &*record.path,
            record.line,
            "stage pt learns plain text, and this is a conversation; use stage: sft, or give {\"text\": …} records",
        )),
        (Stage::Sft, Content::Text(text)) => encode_text(text, tokenizer, how),
        (Stage::Sft, Content::Conversation(conversation)) => encode_answers(conversation, tokenizer, how),
        (_, Content::Pair(chosen, rejected)) => preference::encode_pair(chosen, rejected, tokenizer, how),
        (_, Content::Rated(conversation, good)) => preference::encode_rated(conversation, *good, tokenizer),
        (Stage::Dpo | Stage::Rm | Stage::Kto, Content::Text(_) | Content::Conversation(_)) => Ok(RecordTokens::default()),
    };
    encoded.map(|tokens| RecordTokens { line: record.line, ..tokens }).map_err(|e| at_line(record, e))
}

/// Makes samples of records. `name` is what errors call the dataset.
///
/// # Errors
/// [`Error::Line`] or [`Error::Records`] for records that the chat template or the stage refuses, [`Error::Dataset`] when no sample is left.
pub fn encode_records(name: &str, records: &[Record], tokenizer: &Tokenizer, how: &Encoding) -> Result<Encoded> {
    let mut faults = Faults::default();
    let mut tokens = Vec::with_capacity(records.len());
    for encoded in in_parallel(records.iter().collect(), |record| encode_record(record, tokenizer, how)) {
        match encoded {
            Ok(encoded) => tokens.push(encoded),
            Err(fault) => faults.note(fault),
        }
    }
    faults.judge(name, records.len(), OnBadRecord::Stop)?;
    preference::add_unrelated(&mut tokens, how);
    assemble(name, tokens, tokenizer, how)
}

/// Makes samples of the tokens of records. `name` is what errors call the dataset.
///
/// # Errors
/// [`Error::Dataset`] when no sample is left.
pub(super) fn assemble(name: &str, records: Vec<RecordTokens>, tokenizer: &Tokenizer, how: &Encoding) -> Result<Encoded> {
    let mut encoded = Encoded { records: records.len(), ..Default::default() };
    encoded.truncated = records.iter().filter(|record| record.truncated).count();
    encoded.needs = records.iter().map(|record| record.needs).max().unwrap_or(0);
    encoded.conversations = records.iter().filter(|record| record.conversation).count();
    match how.stage {
        Stage::Pt if how.packing => encoded.cut_blocks(records, tokenizer, how),
        Stage::Pt | Stage::Sft => encoded.take_samples(records, tokenizer, how),
        Stage::Dpo | Stage::Rm | Stage::Kto => encoded.take_preferences(records),
    }
    if encoded.samples.is_empty() {
        return Err(Error::dataset(
            name,
            format!("none of the {} records leaves a token to learn; is cutoff_len too small?", encoded.records),
        ));
    }
    encoded.report(how);
    Ok(encoded)
}

impl Encoded {
    fn report(&mut self, how: &Encoding) {
        if self.truncated > 0 {
            self.notices.push(format!(
                "{} of {} records are longer than cutoff_len ({}) and were cut",
                self.truncated, self.records, how.cutoff_len
            ));
        }
        if self.dropped > 0 {
            self.notices
                .push(format!("{} of {} samples have no answer left within cutoff_len and were dropped", self.dropped, self.records));
        }
        if self.remainder > 0 {
            self.notices.push(format!("the last {} tokens fill no block of cutoff_len and were dropped", self.remainder));
        }
    }
}

/// Stage sft, plain text: everything is learned.
fn encode_text(text: &str, tokenizer: &Tokenizer, how: &Encoding) -> Result<RecordTokens> {
    let mut ids = tokenizer.encode(text, true)?;
    close(&mut ids, tokenizer);
    let needs = ids.len();
    ids.truncate(how.cutoff_len);
    Ok(RecordTokens { truncated: needs > how.cutoff_len, needs, sequences: vec![(ids, Vec::new())], ..Default::default() })
}

/// Stage sft, conversations: the answers are learned.
fn encode_answers(conversation: &Conversation, tokenizer: &Tokenizer, how: &Encoding) -> Result<RecordTokens> {
    let mut sequences = encode_conversation(tokenizer, conversation, if how.mask_history { Earlier::Masked } else { Earlier::Learned })?;
    if how.mask_history {
        sequences.drain(..sequences.len().saturating_sub(1));
    }
    let mut tokens = RecordTokens { conversation: true, ..Default::default() };
    for turns in sequences {
        tokens.needs = tokens.needs.max(turns.tokens());
        let (sequence, cut) = sequence_of(turns, how);
        tokens.truncated |= cut;
        tokens.sequences.push(sequence);
    }
    Ok(tokens)
}

/// Appends the end-of-sequence token, unless the tokenizer did so by itself.
fn close(ids: &mut Vec<u32>, tokenizer: &Tokenizer) {
    if let Some(eos) = tokenizer.eos()
        && ids.last() != Some(&eos)
    {
        ids.push(eos);
    }
}

/// Joins the turns of a conversation, `cutoff_len` shared between them as in LLaMA-Factory; also whether it was cut.
fn sequence_of(Turns { mut turns, eos }: Turns, how: &Encoding) -> ((Vec<u32>, Vec<i32>), bool) {
    // With mask_history the last turn matters most, so it is fitted first and earlier ones fill what is left.
    if how.mask_history {
        turns.reverse();
    }
    let (mut total, mut cut) = (usize::from(eos.is_some()), false);
    let mut kept: Vec<(Vec<u32>, Vec<i32>)> = Vec::with_capacity(turns.len());
    for (i, turn) in turns.iter().enumerate() {
        if total >= how.cutoff_len {
            cut = true;
            break;
        }
        let (source, target) = share_length(turn.source.len(), turn.target.len(), how.cutoff_len - total);
        cut |= source < turn.source.len() || target < turn.target.len();
        total += source + target;
        let (source, target) = (&turn.source[..source], &turn.target[..target]);
        let learned = turn.learned && !(how.mask_history && i > 0);
        let label = |ids: &[u32], learn: bool| ids.iter().map(|&id| if learn { id as i32 } else { IGNORE }).collect::<Vec<_>>();
        let mut labels = label(source, how.train_on_prompt);
        let end = match turn.opening {
            Opening::EndsAnswer(end) if !how.mask_history && !how.train_on_prompt => Some(end),
            Opening::UnlessFirst(end) if i > 0 => Some(end),
            _ => None,
        };
        if let (Some(end), Some(first)) = (end, labels.first_mut()) {
            *first = end as i32;
        }
        labels.extend(label(target, learned || how.train_on_prompt));
        kept.push(([source, target].concat(), labels));
    }
    if how.mask_history {
        kept.reverse();
    }
    let (ids, labels): (Vec<_>, Vec<_>) = kept.into_iter().unzip();
    let (mut ids, mut labels) = (ids.concat(), labels.concat());
    ids.extend(eos);
    labels.extend(eos.map(|id| id as i32));
    ((ids, labels), cut)
}

/// Stage pt: every token is learned.
fn encode_pretraining(text: &str, tokenizer: &Tokenizer, how: &Encoding) -> Result<RecordTokens> {
    let mut ids = tokenizer.encode(text, false)?;
    close(&mut ids, tokenizer);
    let mut needs = 0;
    if !how.packing {
        if let Some(bos) = tokenizer.bos().filter(|_| tokenizer.adds_bos()) {
            ids.insert(0, bos);
        }
        needs = ids.len();
        ids.truncate(how.cutoff_len);
    }
    Ok(RecordTokens { truncated: needs > how.cutoff_len, needs, sequences: vec![(ids, Vec::new())], ..Default::default() })
}

impl Encoded {
    /// Makes a sample of each sequence, or packs them.
    fn take_samples(&mut self, records: Vec<RecordTokens>, tokenizer: &Tokenizer, how: &Encoding) {
        let (mut several, mut sequences) = (0, 0);
        self.samples.reserve_exact(records.iter().map(|record| record.sequences.len()).sum());
        for record in records {
            several += usize::from(record.sequences.len() > 1);
            sequences += record.sequences.len();
            for (ids, labels) in record.sequences {
                let sample = if labels.is_empty() { Sample::all_learned(ids, record.line) } else { Sample::new(ids, labels, record.line) };
                if sample.targets() > 0 { self.samples.push(sample) } else { self.dropped += 1 }
            }
        }
        if several > 0 {
            self.notices.push(format!(
                "{} records became {sequences} sequences: the chat template rewrites earlier turns of {several} of them (as one that cuts \
                 thinking out of them does), so that some answers are learned in a sequence of their own",
                self.records
            ));
        }
        if self.conversations > 0 && tokenizer.template().is_fallback() {
            self.notices.push(
                "the model has no chat template: conversations are written as \"User: …\" and \"Assistant: …\" lines, and that template \
                 is saved with the trained model"
                    .into(),
            );
        }
        if how.packing {
            self.samples = pack(std::mem::take(&mut self.samples), how.cutoff_len, how.neat_packing);
        }
    }

    /// Strings the texts together and cuts them into blocks.
    fn cut_blocks(&mut self, records: Vec<RecordTokens>, tokenizer: &Tokenizer, how: &Encoding) {
        let tokens: usize = records.iter().flat_map(|record| &record.sequences).map(|(ids, _)| ids.len()).sum();
        let whole = tokens / how.cutoff_len * how.cutoff_len;
        if tokens > 0 && whole == 0 {
            self.notices
                .push(format!("the texts have {tokens} tokens, less than cutoff_len ({}): they make one short block", how.cutoff_len));
        } else {
            self.remainder = tokens - whole;
        }
        let bos = tokenizer.bos().filter(|_| tokenizer.adds_bos());
        let mut block = Vec::with_capacity(how.cutoff_len.min(tokens));
        let mut finish = |block: &mut Vec<u32>| {
            let mut ids = std::mem::take(block);
            // As LLaMA-Factory: where the tokenizer begins texts with bos, each block does, in place of its first token.
            if let Some(bos) = bos {
                ids[0] = bos;
            }
            let sample = Sample::all_learned(ids, 1);
            if sample.targets() > 0 { self.samples.push(sample) } else { self.dropped += 1 }
        };
        for (ids, _) in records.into_iter().flat_map(|record| record.sequences) {
            let mut ids = ids.as_slice();
            while !ids.is_empty() {
                let (now, later) = ids.split_at(ids.len().min(how.cutoff_len - block.len()));
                block.extend_from_slice(now);
                ids = later;
                if block.len() == how.cutoff_len {
                    finish(&mut block);
                }
            }
        }
        if whole == 0 && !block.is_empty() {
            finish(&mut block);
        }
    }
}

/// The same reason, with the record's file and line.
fn at_line(record: &Record, error: Error) -> Error {
    let reason = match error {
        Error::Line { .. } => return error,
        Error::Config { reason, .. } => reason,
        other => other.to_string(),
    };
    Error::line(&*record.path, record.line, reason)
}
