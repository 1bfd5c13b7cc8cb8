//! `tojson` as transformers defines it for chat templates: Python's `json.dumps`.

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, State, Value};
use serde_json::Value as Json;

use super::meter;

/// transformers' `tojson`: `json.dumps` with `ensure_ascii=False`, keys in their order, nothing escaped for HTML.
pub(super) fn tojson(state: &State, value: &Value, indent: Option<usize>, kwargs: Kwargs) -> Result<String, Error> {
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
    meter::weigh(state, value, true)?;
    let json = serde_json::to_value(value)
        .map_err(|e| Error::new(ErrorKind::BadSerialization, "this value cannot be written as JSON").with_source(e))?;
    let mut out = String::new();
    let (_, left) = state.fuel_levels().unwrap_or_default();
    let longest = usize::try_from(left.saturating_mul(64)).unwrap_or(usize::MAX);
    Dumps { indent, item, key, ensure_ascii, sort_keys, longest }.write(&json, 0, &mut out)?;
    Ok(out)
}

/// Python's `json.dumps` with `ensure_ascii=False`.
pub(in crate::data) fn dumps(json: &Json, indent: Option<usize>) -> String {
    let item = if indent.is_some() { "," } else { ", " };
    let mut out = String::new();
    let dumps = Dumps { indent, item, key: ": ", ensure_ascii: false, sort_keys: false, longest: usize::MAX };
    dumps.write(json, 0, &mut out).expect("only a text that is too long fails, and there is no longest");
    out
}

/// The options of Python's `json.dumps`.
struct Dumps<'a> {
    indent: Option<usize>,
    item: &'a str,
    key: &'a str,
    ensure_ascii: bool,
    sort_keys: bool,
    /// The longest text that the render can still pay for, in bytes.
    longest: usize,
}

impl Dumps<'_> {
    fn write(&self, value: &Json, depth: usize, out: &mut String) -> Result<(), Error> {
        match value {
            Json::String(text) => self.write_text(text, out),
            Json::Array(items) => self.write_all('[', ']', items.iter().map(|item| (None, item)).collect(), depth, out)?,
            Json::Object(map) => {
                let mut entries: Vec<_> = map.iter().map(|(key, value)| (Some(key.as_str()), value)).collect();
                if self.sort_keys {
                    entries.sort_by_key(|(key, _)| *key);
                }
                self.write_all('{', '}', entries, depth, out)?;
            }
            other => out.push_str(&other.to_string()),
        }
        Ok(())
    }

    fn write_all(&self, open: char, close: char, entries: Vec<(Option<&str>, &Json)>, depth: usize, out: &mut String) -> Result<(), Error> {
        let line = |depth: usize, out: &mut String| {
            if let Some(indent) = self.indent {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent * depth));
            }
        };
        out.push(open);
        // What an item gets around it, which may be much longer than the item.
        let around = self.indent.unwrap_or(0).saturating_mul(depth + 1).saturating_add(self.item.len() + self.key.len());
        for (i, (key, value)) in entries.iter().enumerate() {
            if around > self.longest.saturating_sub(out.len()) {
                return Err(Error::from(ErrorKind::OutOfFuel));
            }
            if i > 0 {
                out.push_str(self.item);
            }
            line(depth + 1, out);
            if let Some(key) = key {
                self.write_text(key, out);
                out.push_str(self.key);
            }
            self.write(value, depth + 1, out)?;
        }
        if !entries.is_empty() {
            line(depth, out);
        }
        out.push(close);
        Ok(())
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
