//! The names of the fields of a dataset file's records, by its first one.

use serde_json::Value as Json;

use super::bytes::Bytes;
use super::formats::{is_columnar, kind_of_file, rows_of_file};
use super::table::column_names;
use crate::error::{Error, Result};
use crate::platform::Directory;

/// The longest first record that is looked at, in bytes.
const MAX_FIRST: usize = 16 << 20;

/// The names of a file's columns or fields; none for plain text, which has none. No more of the file is read than it takes to know them.
///
/// # Errors
/// [`Error::Dataset`] when there is no first record that names fields; what reading the file fails with.
pub async fn field_names(dir: &dyn Directory, name: &str) -> Result<Vec<String>> {
    let fault = |reason: String| Error::dataset(name, reason);
    let kind = kind_of_file(name);
    if kind == "txt" {
        return Ok(Vec::new());
    }
    if is_columnar(&kind) {
        let mut names = None;
        rows_of_file(dir, name, name, &mut |_, _, row| {
            names = Some(keys(&row));
            Ok(false)
        })
        .await?;
        return names.ok_or_else(|| fault("the file holds no row".into()));
    }
    let mut file = Bytes::open(dir, name, name).await?;
    let mut bytes = Vec::new();
    while let Some(more) = file.next().await? {
        bytes.extend(more);
        if kind == "csv" || kind == "tsv" {
            let usual = if kind == "tsv" { b'\t' } else { b',' };
            let names = column_names(name, usual, &bytes)?;
            return Ok(names.into_iter().filter(|name| !name.is_empty()).collect());
        }
        // Lines of records, or a list of them: only the first is parsed.
        let text = bytes.trim_ascii_start();
        let first = text.strip_prefix(b"[").unwrap_or(text);
        match serde_json::Deserializer::from_slice(first).into_iter::<Json>().next() {
            Some(Ok(record @ Json::Object(_))) => return Ok(keys(&record)),
            Some(Err(e)) if e.is_eof() && bytes.len() < MAX_FIRST => {}
            Some(Err(e)) => return Err(fault(format!("the first record is not valid JSON: {e}"))),
            None if bytes.len() < MAX_FIRST => {}
            Some(Ok(_)) | None => break,
        }
    }
    Err(fault("there is no record with named fields in it".into()))
}

fn keys(record: &Json) -> Vec<String> {
    record.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{MemoryDirectory, block_on};

    fn names(name: &str, text: &str) -> Result<Vec<String>> {
        block_on(field_names(&MemoryDirectory::new("given").with(name, text), name))
    }

    #[test]
    fn fields_are_named_by_the_first_record() {
        let of = |name: &str, text: &str| names(name, text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(of("a.csv", "frage, antwort\n1,2\n"), ["frage", "antwort"]);
        assert_eq!(of("a.tsv", "frage\tantwort\n"), ["frage", "antwort"]);
        assert_eq!(of("a.csv", "frage;antwort"), ["frage", "antwort"]);
        assert_eq!(of("a.jsonl", "\u{feff}{\"q\": 1, \"a\": 2}\n{\"x\": 3}"), ["q", "a"]);
        assert_eq!(of("a.json", "[\n {\"q\": [1, 2]},\n {\"x\": 3}"), ["q"]);
        assert_eq!(of("a.txt", "{"), [""; 0]);
        let long = format!("\n\n{{\"long\": \"{}\", \"end\": 1}}\n", "x".repeat(600_000));
        assert_eq!(of("a.jsonl", &long), ["long", "end"], "a record that is longer than what is read at once");
        for text in ["", "[]", "[1]", "{broken", "{\"a\": "] {
            assert!(names("a.json", text).is_err(), "{text}");
        }
    }
}
