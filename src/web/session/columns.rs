//! The columns of tables and the fields of JSON records, for data whose columns have names of their own.

use serde_json::{Map, Value as Json, json};

use super::super::messages::{Columns, DataFile};
use crate::data::column_names;
use crate::error::{Error, Result};

/// The names in a file's first record; none for plain text, which has no columns.
///
/// # Errors
/// [`Error::Dataset`] when there is no first record.
pub(super) fn names(file: &DataFile) -> Result<Vec<String>> {
    let extension = file.name.rsplit('.').next().unwrap_or_default().to_lowercase();
    let text = file.text.trim_start_matches('\u{feff}').trim_start();
    let fault = |reason: String| Error::dataset(&file.name, reason);
    match extension.as_str() {
        "txt" => Ok(Vec::new()),
        "csv" | "tsv" => {
            let usual = if extension == "tsv" { b'\t' } else { b',' };
            let names = column_names(&file.name, usual, text.as_bytes())?;
            Ok(names.into_iter().filter(|name| !name.is_empty()).collect())
        }
        _ => {
            // Lines of records, or a list of them: only the first is parsed.
            let first = text.strip_prefix('[').unwrap_or(text);
            match serde_json::Deserializer::from_str(first).into_iter::<Json>().next() {
                Some(Ok(Json::Object(record))) => Ok(record.keys().cloned().collect()),
                Some(Err(e)) => Err(fault(format!("the first record is not valid JSON: {e}"))),
                Some(Ok(_)) | None => Err(fault("there is no record with named fields in it".into())),
            }
        }
    }
}

/// The entry of a file in a `dataset_info.json` that maps its columns.
pub(super) fn entry(file_name: &str, Columns { prompt, response }: &Columns) -> Json {
    let mut columns = Map::from_iter([("prompt".to_string(), json!(prompt))]);
    if let Some(response) = response {
        columns.insert("response".into(), json!(response));
    }
    json!({ "file_name": file_name, "columns": columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> DataFile {
        DataFile { name: name.into(), text: text.into(), columns: None }
    }

    #[test]
    fn columns_are_named_by_the_first_record() {
        let of = |name: &str, text: &str| names(&file(name, text)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(of("a.csv", "frage, antwort\n1,2\n"), ["frage", "antwort"]);
        assert_eq!(of("a.tsv", "frage\tantwort\n"), ["frage", "antwort"]);
        assert_eq!(of("a.csv", "frage;antwort"), ["frage", "antwort"]);
        assert_eq!(of("a.jsonl", "{\"q\": 1, \"a\": 2}\n{\"x\": 3}"), ["q", "a"]);
        assert_eq!(of("a.json", "[\n {\"q\": [1, 2]},\n {\"x\": 3}"), ["q"]);
        assert_eq!(of("a.txt", "{"), [""; 0]);
        for text in ["", "[]", "[1]", "{broken"] {
            assert!(names(&file("a.json", text)).is_err(), "{text}");
        }
    }
}
