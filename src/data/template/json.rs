//! `tojson` as transformers defines it for chat templates: Python's `json.dumps`.

use minijinja::value::Kwargs;
use minijinja::{ErrorKind, Value};
use serde_json::Value as Json;

/// transformers' `tojson`: `json.dumps` with `ensure_ascii=False`, keys in their order, nothing escaped for HTML.
pub(super) fn tojson(value: &Value, indent: Option<usize>, kwargs: Kwargs) -> Result<String, minijinja::Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => kwargs.get::<Option<usize>>("indent")?,
    };
    let ensure_ascii = kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sort_keys = kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let separators = kwargs.get::<Option<Vec<String>>>("separators")?;
    kwargs.assert_all_used()?;
    let default_item = if indent.is_some() { "," } else { ", " };
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.as_str(), key.as_str()),
        _ => (default_item, ": "),
    };
    let json = serde_json::to_value(value)
        .map_err(|e| minijinja::Error::new(ErrorKind::BadSerialization, "this value cannot be written as JSON").with_source(e))?;
    let mut out = String::new();
    Dumps { indent, item, key, ensure_ascii, sort_keys }.write(&json, 0, &mut out);
    Ok(out)
}

/// The options of Python's `json.dumps`.
struct Dumps<'a> {
    indent: Option<usize>,
    item: &'a str,
    key: &'a str,
    ensure_ascii: bool,
    sort_keys: bool,
}

impl Dumps<'_> {
    fn write(&self, value: &Json, depth: usize, out: &mut String) {
        match value {
            Json::String(text) => self.write_text(text, out),
            Json::Array(items) => self.write_all('[', ']', items.iter().map(|item| (None, item)).collect(), depth, out),
            Json::Object(map) => {
                let mut entries: Vec<_> = map.iter().map(|(key, value)| (Some(key.as_str()), value)).collect();
                if self.sort_keys {
                    entries.sort_by_key(|(key, _)| *key);
                }
                self.write_all('{', '}', entries, depth, out);
            }
            other => out.push_str(&other.to_string()),
        }
    }

    fn write_all(&self, open: char, close: char, entries: Vec<(Option<&str>, &Json)>, depth: usize, out: &mut String) {
        let line = |depth: usize, out: &mut String| {
            if let Some(indent) = self.indent {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent * depth));
            }
        };
        out.push(open);
        for (i, (key, value)) in entries.iter().enumerate() {
            if i > 0 {
                out.push_str(self.item);
            }
            line(depth + 1, out);
            if let Some(key) = key {
                self.write_text(key, out);
                out.push_str(self.key);
            }
            self.write(value, depth + 1, out);
        }
        if !entries.is_empty() {
            line(depth, out);
        }
        out.push(close);
    }

    fn write_text(&self, text: &str, out: &mut String) {
        let quoted = Json::from(text).to_string();
        if !self.ensure_ascii {
            out.push_str(&quoted);
            return;
        }
        for unit in quoted.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => out.push(byte as char),
                _ => out.push_str(&format!("\\u{unit:04x}")),
            }
        }
    }
}
