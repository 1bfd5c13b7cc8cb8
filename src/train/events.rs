//! Event files that TensorBoard reads (`report_to: tensorboard`): the lines of the log as scalars, under the names that Trainer gives them.
//!
//! A file is a sequence of records: length, its checksum, an `Event` message, its checksum. The messages hold few fields, so they are
//! written here: a time, a step, and pairs of a name and a number.

use web_time::{SystemTime, UNIX_EPOCH};

use super::history::{History, LogEntry};
use super::protobuf::{field_bytes, field_f32, field_f64, field_number};
use crate::error::Result;
use crate::platform::{OutputDirectory, write_file};

/// The folder that Trainer keeps them in.
pub(super) const FOLDER: &str = "runs";

/// TensorBoard takes every file with `tfevents` in its name.
const FILE: &str = "runs/events.out.tfevents.rootstock";

/// Adds a line of the log.
pub(super) async fn add(out: &dyn OutputDirectory, entry: &LogEntry) -> Result<()> {
    out.append(FILE, &record(&scalars(entry, now()))).await
}

/// Writes the file anew with the lines so far.
pub(super) async fn rewrite(out: &dyn OutputDirectory, history: &History) -> Result<()> {
    let time = now();
    let mut bytes = record(&[field_f64(1, time), field_bytes(3, b"brain.Event:2")].concat());
    for entry in &history.entries {
        bytes.extend(record(&scalars(entry, time)));
    }
    write_file(out, FILE, &bytes).await
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// A line's step, and its numbers under the names that Trainer gives them in trackers.
pub(super) fn named(entry: &LogEntry) -> (u64, Vec<(String, f64)>) {
    match entry {
        LogEntry::Step(line) => {
            let values = [("loss", line.loss), ("grad_norm", line.grad_norm), ("learning_rate", line.lr), ("epoch", line.epoch)];
            let more = line.more.iter().filter_map(|(name, number)| Some((format!("train/{name}"), (*number)?)));
            (line.current_steps, values.map(|(name, number)| (format!("train/{name}"), number)).into_iter().chain(more).collect())
        }
        LogEntry::Evaluation(line) => {
            let each = line.each.iter().filter_map(|(name, loss)| Some((name.replacen('_', "/", 1), (*loss)?)));
            (line.current_steps, [("eval/loss".to_string(), line.eval_loss)].into_iter().chain(each).collect())
        }
    }
}

/// An `Event` with a line's numbers.
fn scalars(entry: &LogEntry, time: f64) -> Vec<u8> {
    let (step, values) = named(entry);
    let value = |(tag, number): (String, f64)| field_bytes(1, &[field_bytes(1, tag.as_bytes()), field_f32(2, number as f32)].concat());
    let summary: Vec<u8> = values.into_iter().flat_map(value).collect();
    [field_f64(1, time), field_number(2, step), field_bytes(5, &summary)].concat()
}

/// A record: length and data, each with its checksum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_checksum(&length).to_le_bytes(), data, &masked_checksum(data).to_le_bytes()].concat()
}

/// CRC-32C, turned and shifted as these files have it.
fn masked_checksum(bytes: &[u8]) -> u32 {
    let crc = !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    });
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::super::history::EvalLine;
    use super::*;

    #[test]
    fn checksums_are_crc32c() {
        // RFC 3720's vectors for CRC-32C, unmasked.
        let plain = |bytes: &[u8]| masked_checksum(bytes).wrapping_sub(0xa282_ead8).rotate_left(15);
        assert_eq!(plain(&[0; 32]), 0x8a91_36aa);
        assert_eq!(plain(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn an_event_is_what_tensorboard_writes() {
        // tensorboard 2.21.0, RecordWriter: Event(wall_time=1.5, step=300, summary=[Value(tag="eval/loss", simple_value=0.25)]).
        let line = EvalLine {
            current_steps: 300,
            total_steps: 300,
            eval_loss: 0.25,
            each: std::collections::BTreeMap::new(),
            epoch: 1.0,
            percentage: 100.0,
            elapsed_time: String::new(),
            remaining_time: String::new(),
        };
        let bytes = record(&scalars(&LogEntry::Evaluation(line), 1.5));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, EXPECTED);
    }

    const EXPECTED: &str = "200000000000000029eda95009000000000000f83f10ac022a120a100a096576616c2f6c6f7373150000803e79a3fca9";
}
