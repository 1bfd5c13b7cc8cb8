//! A run in the offline format of Weights & Biases (`report_to: wandb`): `wandb sync` uploads it, nothing else does.
//!
//! `run-ID.wandb` is a log of LevelDB's form: seven bytes that say what it is, then blocks of 32 KiB of records, each with its checksum (CRC-32 of
//! the record's type and data, unlike LevelDB's own), its length and its type. A message that does not fit into a block is cut. The messages are
//! `Record`s of wandb_internal.proto, of which few fields are used.

use serde_json::{Map, Value, json};

use super::events::named;
use super::history::{History, LogEntry};
use super::job::Job;
use super::protobuf::{field_bytes, field_number};
use crate::data::time_stamp;
use crate::error::Result;
use crate::platform::{OutputDirectory, write_file};
use crate::random::mix;

/// The folder that wandb keeps its runs in.
pub(super) const FOLDER: &str = "wandb";

const IDENTITY: &[u8; 7] = b":W&B\xe1\xbe\x00";
const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;

/// A run's file, and what its messages need to know of it.
pub(super) struct Offline<'a> {
    job: &'a Job<'a>,
    id: String,
    file: String,
}

impl<'a> Offline<'a> {
    /// The file of a run; a run that is resumed has the same.
    pub(super) fn of(job: &'a Job<'a>) -> Offline<'a> {
        const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut bits = mix(job.recipe.seed ^ job.date.cast_unsigned().rotate_left(32) ^ 0x7761_6e64);
        let mut letter = || {
            let letter = LETTERS[(bits % 36) as usize];
            bits /= 36;
            char::from(letter)
        };
        let id: String = (0..8).map(|_| letter()).collect();
        let file = format!("{FOLDER}/offline-run-{}-{id}/run-{id}.wandb", time_stamp(job.date));
        Offline { job, id, file }
    }

    /// Writes the file anew with the lines so far.
    pub(super) async fn rewrite(&self, out: &dyn OutputDirectory, history: &History) -> Result<()> {
        let mut bytes = IDENTITY.to_vec();
        push(&mut bytes, 0, &record(1, 21, &field_bytes(1, &field_bytes(1, env!("CARGO_PKG_VERSION").as_bytes()))));
        push(&mut bytes, 0, &record(2, 17, &self.run()?));
        for (index, entry) in history.entries.iter().enumerate() {
            push(&mut bytes, 0, &self.line(index, entry));
        }
        write_file(out, &self.file, &bytes).await
    }

    /// Adds a line of the log, before which there were so many.
    pub(super) async fn add(&self, out: &dyn OutputDirectory, lines: usize, entry: &LogEntry) -> Result<()> {
        self.append(out, &self.line(lines, entry)).await
    }

    /// Notes the end of the run: its last numbers as its summary, and that it ended well.
    pub(super) async fn finish(&self, out: &dyn OutputDirectory, history: &History, seconds: f64) -> Result<()> {
        let mut last = Map::new();
        for entry in &history.entries {
            last.extend(numbers(self.job, entry));
        }
        let update: Vec<u8> = items(&last).flat_map(|item| field_bytes(1, &item)).collect();
        let lines = history.entries.len();
        self.append(out, &record(lines + 3, 3, &update)).await?;
        self.append(out, &record(lines + 4, 18, &field_number(2, seconds.max(0.0) as u64))).await
    }

    async fn append(&self, out: &dyn OutputDirectory, message: &[u8]) -> Result<()> {
        let before = out.size(&self.file).await?.unwrap_or(0);
        let mut bytes = Vec::new();
        push(&mut bytes, before as usize, message);
        out.append(&self.file, &bytes).await
    }

    /// A `RunRecord`: id, project (Trainer's default), configuration, name, start.
    fn run(&self) -> Result<Vec<u8>> {
        let recipe = self.job.recipe;
        let mut config = recipe.fixed_on_resume()?;
        config.insert("model_name_or_path".into(), json!(recipe.model_name_or_path));
        let config: Vec<u8> = items(&config).flat_map(|item| field_bytes(1, &item)).collect();
        let start = field_number(1, self.job.date.max(0).cast_unsigned());
        Ok([
            field_bytes(1, self.id.as_bytes()),
            field_bytes(3, b"huggingface"),
            field_bytes(4, &config),
            field_bytes(8, recipe.output_dir.as_bytes()),
            field_bytes(17, &start),
        ]
        .concat())
    }

    /// A `HistoryRecord` with a line's numbers.
    fn line(&self, index: usize, entry: &LogEntry) -> Vec<u8> {
        let step = index as u64;
        let mut line = numbers(self.job, entry);
        line.insert("_step".into(), json!(step));
        let items: Vec<u8> = items(&line).flat_map(|item| field_bytes(1, &item)).collect();
        record(index + 3, 2, &[items, field_bytes(2, &field_number(1, step))].concat())
    }
}

/// A line's numbers under the names that Trainer gives them, and when they were.
fn numbers(job: &Job<'_>, entry: &LogEntry) -> Map<String, Value> {
    let (step, values) = named(entry);
    let elapsed = match entry {
        LogEntry::Step(line) => &line.elapsed_time,
        LogEntry::Evaluation(line) => &line.elapsed_time,
    };
    let elapsed = elapsed.split(':').fold(0i64, |seconds, part| seconds * 60 + part.parse::<i64>().unwrap_or(0));
    let mut line: Map<String, Value> = values.into_iter().map(|(name, number)| (name, json!(number))).collect();
    line.insert("train/global_step".into(), json!(step));
    line.insert("_runtime".into(), json!(elapsed));
    line.insert("_timestamp".into(), json!(job.date + elapsed));
    line
}

/// The messages of a map's entries: `key` and `value_json`, which they have in configuration, summary and history alike.
fn items(map: &Map<String, Value>) -> impl Iterator<Item = Vec<u8>> + '_ {
    map.iter().map(|(key, value)| [field_bytes(1, key.as_bytes()), field_bytes(16, value.to_string().as_bytes())].concat())
}

/// A `Record` with its number and one field.
fn record(number: usize, field: u32, message: &[u8]) -> Vec<u8> {
    [field_number(1, number as u64), field_bytes(field, message)].concat()
}

/// Appends a message to a file of which `before` bytes and then `bytes` are there, cut at the ends of blocks.
fn push(bytes: &mut Vec<u8>, before: usize, message: &[u8]) {
    const FULL: u8 = 1;
    const FIRST: u8 = 2;
    const MIDDLE: u8 = 3;
    const LAST: u8 = 4;
    let room = |bytes: &Vec<u8>| BLOCK - (before + bytes.len()) % BLOCK;
    if room(bytes) < HEADER {
        bytes.resize(bytes.len() + room(bytes), 0);
    }
    let (mut rest, mut is_first) = (message, true);
    loop {
        let (part, after) = rest.split_at(rest.len().min(room(bytes) - HEADER));
        let kind = match (is_first, after.is_empty()) {
            (true, true) => FULL,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&[kind]);
        checksum.update(part);
        bytes.extend(checksum.finalize().to_le_bytes());
        bytes.extend((part.len() as u16).to_le_bytes());
        bytes.push(kind);
        bytes.extend(part);
        (rest, is_first) = (after, false);
        if rest.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// scripts/fixtures/check_wandb.py prints the hash of what wandb 0.17.9's DataStore writes for these messages.
    #[test]
    fn messages_are_cut_as_wandb_cuts_them() {
        let mut bytes = IDENTITY.to_vec();
        for length in [0, 1, 5_000, 27_730, 3, 40_000, 100_000, 32_754, 9, 65_000] {
            let message: Vec<u8> = (0..length).map(|i: usize| (i * 7 + length) as u8).collect();
            push(&mut bytes, 0, &message);
        }
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((bytes.len(), hash.as_str()), (EXPECTED.0, EXPECTED.1));
        // In pieces, as a run appends them.
        let (mut whole, mut parts) = (IDENTITY.to_vec(), IDENTITY.to_vec());
        for length in [32_740, 2, 70_000, 4] {
            let message = vec![length as u8; length];
            push(&mut whole, 0, &message);
            let mut piece = Vec::new();
            push(&mut piece, parts.len(), &message);
            parts.extend(piece);
        }
        assert!(whole == parts);
    }

    const EXPECTED: (usize, &str) = (270_625, "5029ab406bfc365db47e2df18ba93401132ccb7151e7218998127ca0e8462d96");
}
