//! From records to training samples: token ids and the labels to learn, aligned as transformers aligns them.

use super::conversation::{Turn, encode_conversation};
use super::formats::{Content, Record};
use super::packing::{pack, share_length};
use super::sample::{IGNORE, Sample};
use super::tokenizer::Tokenizer;
use crate::config::{Recipe, Stage};
use crate::error::{Error, Result};

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
    /// How many of them were cut at `cutoff_len`.
    pub truncated: usize,
    /// How many of them had no target left, and were dropped.
    pub dropped: usize,
    /// Tokens that stage pt dropped because they fill no block.
    pub remainder: usize,
    /// What the user should be told.
    pub notices: Vec<String>,
}

impl Encoded {
    /// Tokens of all samples.
    pub fn tokens(&self) -> usize {
        self.samples.iter().map(|s| s.ids.len()).sum()
    }

    /// Targets of all samples.
    pub fn targets(&self) -> usize {
        self.samples.iter().map(Sample::targets).sum()
    }
}

/// Makes samples of records. `name` is what errors call the dataset.
///
/// # Errors
/// [`Error::Line`] for a record that the chat template or the stage refuses, [`Error::Dataset`] when no sample is left.
pub fn encode_records(name: &str, records: &[Record], tokenizer: &Tokenizer, how: &Encoding) -> Result<Encoded> {
    let mut encoded = match how.stage {
        Stage::Pt => encode_pretraining(records, tokenizer, how)?,
        Stage::Sft => encode_supervised(records, tokenizer, how)?,
    };
    encoded.records = records.len();
    let before = encoded.samples.len();
    encoded.samples.retain(|sample| sample.targets() > 0);
    encoded.dropped += before - encoded.samples.len();
    if encoded.samples.is_empty() {
        return Err(Error::dataset(
            name,
            format!("none of the {} records leaves a token to learn; is cutoff_len too small?", records.len()),
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

/// Stage sft: conversations learn their answers, plain text everything.
fn encode_supervised(records: &[Record], tokenizer: &Tokenizer, how: &Encoding) -> Result<Encoded> {
    let mut encoded = Encoded::default();
    for record in records {
        match &record.content {
            Content::Text(text) => {
                let mut ids = tokenizer.encode(text, true).map_err(|e| at_line(record, &e))?;
                close(&mut ids, tokenizer);
                encoded.truncated += usize::from(ids.len() > how.cutoff_len);
                ids.truncate(how.cutoff_len);
                encoded.samples.push(Sample::all_learned(ids, record.line));
            }
            Content::Conversation(messages) => {
                let mut sequences = encode_conversation(tokenizer, messages).map_err(|e| at_line(record, &e))?;
                if how.mask_history {
                    sequences.drain(..sequences.len().saturating_sub(1));
                }
                let mut cut = false;
                for turns in sequences {
                    let (sample, was_cut) = sample_of(turns, how, record.line);
                    cut |= was_cut;
                    encoded.samples.push(sample);
                }
                encoded.truncated += usize::from(cut);
            }
        }
    }
    let conversations = records.iter().any(|r| matches!(r.content, Content::Conversation(_)));
    if conversations && tokenizer.template().is_fallback() {
        encoded.notices.push(
            "the model has no chat template: conversations are written as \"User: …\" and \"Assistant: …\" lines, and that template \
             is saved with the trained model"
                .into(),
        );
    }
    if how.packing {
        encoded.samples = pack(std::mem::take(&mut encoded.samples), how.cutoff_len, how.neat_packing);
    }
    Ok(encoded)
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
fn sample_of(mut turns: Vec<Turn>, how: &Encoding, line: usize) -> (Sample, bool) {
    // With mask_history the last turn matters most, so it is fitted first and earlier ones fill what is left.
    if how.mask_history {
        turns.reverse();
    }
    let (mut total, mut cut) = (0, false);
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
        kept.push((
            [source, target].concat(),
            [label(source, how.train_on_prompt), label(target, learned || how.train_on_prompt)].concat(),
        ));
    }
    if how.mask_history {
        kept.reverse();
    }
    let (ids, labels): (Vec<_>, Vec<_>) = kept.into_iter().unzip();
    (Sample::new(ids.concat(), labels.concat(), line), cut)
}

/// Stage pt: every token is learned; texts are joined and cut into blocks unless `packing` is off.
fn encode_pretraining(records: &[Record], tokenizer: &Tokenizer, how: &Encoding) -> Result<Encoded> {
    let mut encoded = Encoded::default();
    let bos = tokenizer.bos().filter(|_| tokenizer.adds_bos());
    let mut stream: Vec<u32> = Vec::new();
    for record in records {
        let Content::Text(text) = &record.content else {
            return Err(Error::line(
                &*record.path,
                record.line,
                "stage pt learns plain text, and this is a conversation; use stage: sft, or give {\"text\": …} records",
            ));
        };
        let mut ids = tokenizer.encode(text, false).map_err(|e| at_line(record, &e))?;
        close(&mut ids, tokenizer);
        if how.packing {
            stream.extend(ids);
            continue;
        }
        if let Some(bos) = bos {
            ids.insert(0, bos);
        }
        encoded.truncated += usize::from(ids.len() > how.cutoff_len);
        ids.truncate(how.cutoff_len);
        encoded.samples.push(Sample::all_learned(ids, record.line));
    }
    if !how.packing || stream.is_empty() {
        return Ok(encoded);
    }
    if stream.len() < how.cutoff_len {
        encoded.notices.push(format!(
            "the texts have {} tokens, less than cutoff_len ({}): they make one short block",
            stream.len(),
            how.cutoff_len
        ));
    } else {
        encoded.remainder = stream.len() % how.cutoff_len;
        stream.truncate(stream.len() - encoded.remainder);
    }
    for block in stream.chunks(how.cutoff_len) {
        let mut ids = block.to_vec();
        // As LLaMA-Factory: where the tokenizer begins texts with bos, each block does, in place of its first token.
        if let Some(bos) = bos {
            ids[0] = bos;
        }
        encoded.samples.push(Sample::all_learned(ids, 1));
    }
    Ok(encoded)
}

/// The same reason, with the record's file and line.
fn at_line(record: &Record, error: &Error) -> Error {
    let reason = match error {
        Error::Config { reason, .. } => reason.clone(),
        other => other.to_string(),
    };
    Error::line(&*record.path, record.line, reason)
}
