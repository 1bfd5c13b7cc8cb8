//! Reads the untrusted JSON files of a directory: with size limits, and with a finding for each kind of failure.

use serde_json::{Map, Value};

use super::code::Code;
use super::repair::Repair;
use super::report::Finding;
use super::said::{Said, said};
use crate::error::{Cause, Error};
use crate::platform::{Directory, Entry, check_size, is_lfs_pointer, without_byte_order_mark};

/// A JSON object, and a finding about its file if there is one.
pub(super) struct Json {
    pub(super) map: Map<String, Value>,
    pub(super) finding: Option<Finding>,
}

/// Reads an object; `None` if there is no such file.
///
/// # Errors
/// The finding that says why it cannot be read.
pub(super) async fn read(dir: &dyn Directory, entries: &[Entry], name: &str) -> Result<Option<Json>, Box<Finding>> {
    let Some(entry) = entries.iter().find(|entry| entry.name == name) else { return Ok(None) };
    check_size(name, entry.size).map_err(|reason| Finding::new(Code::InvalidJson, reason).file(name))?;
    let bytes = dir.read(name).await.map_err(|error| unreadable(name, &error))?;
    parse(name, &bytes).map(Some)
}

/// The finding for a file that the platform could not read.
pub(super) fn unreadable(name: &str, error: &Error) -> Finding {
    let reason = match error {
        Error::File { reason, .. } => reason.clone(),
        other => other.to_string(),
    };
    let code = if error.cause() == Cause::OutsideDirectory { Code::OutsideDirectory } else { Code::Unreadable };
    Finding::new(code, reason).file(name)
}

fn parse(name: &str, bytes: &[u8]) -> Result<Json, Box<Finding>> {
    if is_lfs_pointer(bytes) {
        let message = "this is a git-lfs pointer, not the file itself; run `git lfs pull` in the model's repository";
        return Err(Finding::new(Code::LfsPointer, message).file(name).into());
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        let message =
            "is UTF-16, which transformers does not read; save it as UTF-8 (in PowerShell: -Encoding utf8), or take it from the base model";
        return Err(Finding::new(Code::InvalidJson, message).file(name).into());
    }
    let text = without_byte_order_mark(bytes);
    let finding = (text.len() < bytes.len()).then(|| {
        let message = "begins with a byte order mark, which transformers takes for a mistake in the JSON; save it as UTF-8 without BOM";
        Finding::new(Code::ByteOrderMark, message).file(name).repair(Repair::StripByteOrderMark(name.into()))
    });
    match serde_json::from_slice(text) {
        Ok(Value::Object(map)) => Ok(Json { map, finding }),
        Ok(_) => Err(Finding::new(Code::InvalidJson, "holds JSON, but not one object, {…}; take it from the base model").file(name).into()),
        Err(error) => Err(Finding::new(Code::InvalidJson, explain(&error, text)).file(name).into()),
    }
}

/// The value under a key with dots.
pub(super) fn lookup<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((outer, inner)) => lookup(map.get(outer)?.as_object()?, inner),
        None => map.get(key),
    }
}

fn explain(error: &serde_json::Error, text: &[u8]) -> Said {
    const SHOWN: usize = 24;
    let way_out = "take it from the base model or mend it";
    if text.is_empty() {
        return said!("is empty; {way_out}");
    }
    if error.is_eof() {
        let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(SHOWN)..]).trim().to_string();
        let tail: String = tail.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        return said!("breaks off at byte {}, after `{tail}`; {way_out}", text.len());
    }
    let what = error.to_string();
    let what = what.split(" at line ").next().unwrap_or_default();
    said!("is not valid JSON: {what} (line {}, column {}); {way_out}", error.line().max(1), error.column())
}
