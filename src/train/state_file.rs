//! Reading `trainer_state.json`, which holds the log of the whole run: it is read piece by piece, and what is not asked for is dropped on
//! the way, so that a run of any length can be gone on from.

use super::names::STATE_FILE;
use crate::error::{Cause, Error, Result};
use crate::platform::Directory;

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;
/// The most bytes of a state without its log; several times those of the longest recipe and the most files.
const WITHOUT_LOG: u64 = 16 << 20;
/// The most bytes of the log for each step: its own line, and the evaluation after it with a loss for each of its sets.
const LOG_OF_STEP: u64 = 16 << 10;

/// The same log, in transformers' words. It is written for others.
const LOG_HISTORY: &str = "log_history";
const LOG: &str = "trainer_log";

/// The text of a state without its log.
///
/// # Errors
/// What reading fails with; [`Error::File`] for a file that cannot be a state.
pub(super) async fn without_log(dir: &dyn Directory) -> Result<Vec<u8>> {
    read(dir, &[LOG_HISTORY, LOG], WITHOUT_LOG).await
}

/// The text of a state of a run of so many steps, with the log that a resumed run goes on writing.
///
/// # Errors
/// As [`without_log`].
pub(super) async fn with_log(dir: &dyn Directory, steps: u64) -> Result<Vec<u8>> {
    read(dir, &[LOG_HISTORY], WITHOUT_LOG.saturating_add(LOG_OF_STEP.saturating_mul(steps))).await
}

async fn read(dir: &dyn Directory, dropped: &'static [&'static str], limit: u64) -> Result<Vec<u8>> {
    let Some(size) = dir.size(STATE_FILE).await? else { return dir.read(STATE_FILE).await };
    let mut filter = Filter::new(dropped);
    let mut at = 0;
    loop {
        filter.push(&dir.read_range(STATE_FILE, at..(at + PIECE).min(size)).await?);
        at += PIECE;
        if filter.kept.len() as u64 > limit {
            let place = format!("{}/{STATE_FILE}", dir.label());
            let reason =
                format!("it holds more than {limit} bytes, which no run of so many steps writes; start anew from the checkpoint's weights");
            return Err(Error::file(place, reason).because(Cause::TooLarge));
        }
        if at >= size {
            return Ok(filter.kept);
        }
    }
}

/// A JSON object's text, in which the values of some of its keys become empty lists. Lines stay lines, so that errors name the right one.
struct Filter {
    dropped: &'static [&'static str],
    kept: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Whether the next string at depth 1 is a key, and the one that was read last.
    before_key: bool,
    in_key: bool,
    key: Vec<u8>,
    dropping: bool,
}

impl Filter {
    fn new(dropped: &'static [&'static str]) -> Filter {
        Filter {
            dropped,
            kept: Vec::new(),
            depth: 0,
            in_string: false,
            escaped: false,
            before_key: false,
            in_key: false,
            key: Vec::new(),
            dropping: false,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.in_string {
                self.string(byte);
            } else {
                self.outside(byte);
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        if !self.dropping || byte == b'\n' {
            self.kept.push(byte);
        }
    }

    fn string(&mut self, byte: u8) {
        let ends = byte == b'"' && !self.escaped;
        self.escaped = byte == b'\\' && !self.escaped;
        if ends {
            (self.in_string, self.in_key) = (false, false);
        } else if self.in_key {
            self.key.push(byte);
        }
        self.keep(byte);
    }

    fn outside(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.in_string = true;
                if self.depth == 1 && self.before_key {
                    (self.in_key, self.before_key) = (true, false);
                    self.key.clear();
                }
            }
            b'{' | b'[' => {
                self.depth += 1;
                self.before_key = self.depth == 1;
            }
            b'}' | b']' => {
                // The end of the object is none of its last value.
                self.dropping &= self.depth > 1;
                self.depth = self.depth.saturating_sub(1);
            }
            b',' if self.depth == 1 => (self.dropping, self.before_key) = (false, true),
            b':' if self.depth == 1 && self.dropped.iter().any(|key| key.as_bytes() == self.key) => {
                self.kept.extend(b":[]");
                self.dropping = true;
            }
            _ => {}
        }
        self.keep(byte);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::platform::{MemoryDirectory, block_on};

    fn filtered(text: &[u8], pieces: usize) -> Vec<u8> {
        let mut filter = Filter::new(&["log"]);
        text.chunks(pieces).for_each(|piece| filter.push(piece));
        filter.kept
    }

    fn json() -> impl Strategy<Value = Value> {
        let word = prop_oneof![Just("log".to_string()), "[a-z\"\\\\,:{}\\[\\]\n]{0,4}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            word.clone().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(word.clone(), inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Of any object only the named values change, and every line stays at its place.
        #[test]
        fn only_what_is_named_is_dropped(mut object in prop::collection::btree_map("log|[a-c\"]{1,2}", json(), 0..5), pieces in 1usize..9) {
            let pretty = serde_json::to_string_pretty(&object).expect("JSON");
            let kept = filtered(pretty.as_bytes(), pieces);
            prop_assert_eq!(kept.iter().filter(|byte| **byte == b'\n').count(), pretty.matches('\n').count());
            if let Some(log) = object.get_mut("log") {
                *log = json!([]);
            }
            let expected: Map<String, Value> = object.into_iter().collect();
            prop_assert_eq!(serde_json::from_slice::<Value>(&kept).expect("JSON"), Value::Object(expected));
        }

        /// Whatever the bytes are, nothing is made up: no more comes out than went in but the empty lists.
        #[test]
        fn what_is_no_json_does_no_harm(bytes in prop::collection::vec(prop::sample::select(&b"{}[]\",:\\log \n"[..]), 0..200)) {
            let kept = filtered(&bytes, 7);
            prop_assert!(kept.len() <= bytes.len() * 2);
        }
    }

    #[test]
    fn a_state_may_be_as_long_as_its_run() {
        let line = r#"{"current_steps":1,"loss":1.0}"#;
        let text = format!(r#"{{"global_step":9,"log_history":[{}],"trainer_log":[{line}]}}"#, vec![line; 3_000_000].join(","));
        assert!(text.len() > 64 << 20);
        let dir = MemoryDirectory::new("checkpoint-9").with(STATE_FILE, text.into_bytes());
        assert_eq!(block_on(without_log(&dir)), Ok(br#"{"global_step":9,"log_history":[],"trainer_log":[]}"#.to_vec()));
        let with = block_on(with_log(&dir, 9)).expect("it is short");
        assert_eq!(with, format!(r#"{{"global_step":9,"log_history":[],"trainer_log":[{line}]}}"#).into_bytes());
    }

    #[test]
    fn a_state_that_is_longer_than_its_run_is_refused() {
        let dir =
            MemoryDirectory::new("checkpoint-9").with(STATE_FILE, format!(r#"{{"trainer_log":"{}"}}"#, "x".repeat(17 << 20)).into_bytes());
        let error = block_on(with_log(&dir, 9)).expect_err("too long").to_string();
        assert!(error.starts_with("checkpoint-9/trainer_state.json: it holds more than"), "{error}");
        assert!(block_on(with_log(&dir, 1000)).is_ok());
    }
}
