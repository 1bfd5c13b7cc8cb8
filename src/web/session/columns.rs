//! The columns of tables and the fields of JSON records, for data whose columns have names of their own.

use serde_json::{Map, Value as Json, json};

use super::super::messages::Columns;

/// The entry of a file in a `dataset_info.json` that maps its columns.
pub(super) fn entry(file_name: &str, Columns { prompt, response }: &Columns) -> Json {
    let mut columns = Map::from_iter([("prompt".to_string(), json!(prompt))]);
    if let Some(response) = response {
        columns.insert("response".into(), json!(response));
    }
    json!({ "file_name": file_name, "columns": columns })
}
