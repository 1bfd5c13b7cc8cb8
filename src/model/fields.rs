//! Typed access to the fields of a `config.json`: a field that is missing, of the wrong type or out of bounds causes an error that names
//! the field, shows its value and says what is expected.

use serde_json::{Map, Value};

use crate::error::{Cause, Error, Result};

/// The largest accepted sizes. A larger model cannot run here, so a larger number is a mistake (or an attack) and is rejected before
/// anything is allocated.
pub(crate) mod limits {
    pub(crate) const VOCABULARY: usize = 1 << 22;
    pub(crate) const WIDTH: usize = 1 << 18;
    pub(crate) const LAYERS: usize = 1 << 10;
    pub(crate) const HEADS: usize = 1 << 10;
    pub(crate) const HEAD_DIM: usize = 1 << 10;
    pub(crate) const POSITIONS: usize = 1 << 30;
}

/// The fields of one JSON object, with the names needed for messages.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    file: &'a str,
    /// Prefix of field names in messages, for an object inside the file (`rope_parameters.`).
    prefix: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(file: &'a str, map: &'a Map<String, Value>) -> Self {
        Fields { file, prefix: String::new(), map }
    }

    pub(crate) fn map(&self) -> &'a Map<String, Value> {
        self.map
    }

    /// The value of a field; `null` counts as present.
    pub(crate) fn value(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key)
    }

    /// Whether the field is present and not `null`.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.value(key).is_some_and(|v| !v.is_null())
    }

    /// An error about `key`; `reason` follows the field's name in the sentence.
    pub(crate) fn error(&self, key: &str, reason: impl std::fmt::Display) -> Error {
        let field = format!("{}{key}", self.prefix);
        Error::config(self.file, field.clone(), format!("{field} {reason}"))
    }

    fn wrong_type(&self, key: &str, value: &Value, wanted: &str) -> Error {
        self.error(key, format!("is {}; it must be {wanted}", describe(value))).because(Cause::WrongType)
    }

    /// A required size: an integer from 1 to `max`.
    pub(crate) fn count(&self, key: &str, max: usize) -> Result<usize> {
        match self.value(key) {
            Some(value) => self.to_count(key, value, max),
            None => Err(self.error(key, "is missing, and the model's sizes are not guessed; take it from the base model's config.json")),
        }
    }

    /// A size with a default for an absent field. `null` is an error.
    pub(crate) fn count_or(&self, key: &str, default: usize, max: usize) -> Result<usize> {
        self.value(key).map_or(Ok(default), |value| self.to_count(key, value, max))
    }

    /// A size that may be `null` (`None`); `absent` is the value of an absent field.
    pub(crate) fn optional_count(&self, key: &str, absent: Option<usize>, max: usize) -> Result<Option<usize>> {
        match self.value(key) {
            None => Ok(absent),
            Some(Value::Null) => Ok(None),
            Some(value) => self.to_count(key, value, max).map(Some),
        }
    }

    fn to_count(&self, key: &str, value: &Value, max: usize) -> Result<usize> {
        let wanted = "a whole number, written without quotes or a decimal point";
        let number = match value {
            Value::Number(n) if n.as_u64().is_some() || n.as_i64().is_some() => n,
            _ => return Err(self.wrong_type(key, value, wanted)),
        };
        match number.as_u64().and_then(|n| usize::try_from(n).ok()) {
            Some(n) if (1..=max).contains(&n) => Ok(n),
            _ => Err(self.error(key, format!("is {number}; it must lie between 1 and {max}"))),
        }
    }

    /// A finite number greater than zero, with a default for an absent field.
    pub(crate) fn positive_or(&self, key: &str, default: f64) -> Result<f64> {
        self.value(key).map_or(Ok(default), |value| self.to_positive(key, value))
    }

    /// A required finite number greater than zero.
    pub(crate) fn positive(&self, key: &str) -> Result<f64> {
        match self.value(key) {
            Some(value) => self.to_positive(key, value),
            None => Err(self.error(key, "is missing; take it from the base model's config.json")),
        }
    }

    /// A finite number greater than zero, or `None` when the field is absent or `null`.
    pub(crate) fn optional_positive(&self, key: &str) -> Result<Option<f64>> {
        match self.value(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => self.to_positive(key, value).map(Some),
        }
    }

    fn to_positive(&self, key: &str, value: &Value) -> Result<f64> {
        match value.as_f64() {
            // The forward pass computes in f32, so numbers that underflow or overflow there are rejected too.
            Some(n) if n > 0.0 && (n as f32) > 0.0 && (n as f32).is_finite() => Ok(n),
            Some(n) => Err(self.error(key, format!("is {n}; it must be a number greater than zero"))),
            None => Err(self.wrong_type(key, value, "a number, written without quotes")),
        }
    }

    /// A list of exactly `length` finite numbers greater than zero.
    pub(crate) fn positives(&self, key: &str, length: usize) -> Result<Vec<f64>> {
        let list = match self.value(key) {
            Some(Value::Array(list)) => list,
            Some(value) => return Err(self.wrong_type(key, value, "a list of numbers")),
            None => {
                return Err(self.error(key, "is missing; take it from the base model's config.json"));
            }
        };
        if list.len() != length {
            return Err(self.error(key, format!("has {} numbers; half the rotary dimension, {length}, are needed", list.len())));
        }
        list.iter().map(|value| self.to_positive(key, value)).collect()
    }

    /// `true` or `false`, with a default for a field that is absent or `null` (as some are in old files).
    pub(crate) fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        match self.value(key) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(b)) => Ok(*b),
            Some(value) => Err(self.wrong_type(key, value, "true or false, without quotes")),
        }
    }

    /// A string, or `None` when the field is absent or `null`.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>> {
        match self.value(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(s)) => Ok(Some(s)),
            Some(value) => Err(self.wrong_type(key, value, "a text in quotes")),
        }
    }

    /// A token id, a list of them, `null` or -1 (which means none in old files).
    pub(crate) fn token_ids(&self, key: &str, absent: &[u32]) -> Result<Vec<u32>> {
        let one = |value: &Value| match value.as_i64() {
            Some(-1) => Ok(None),
            Some(n) => match u32::try_from(n) {
                Ok(id) => Ok(Some(id)),
                Err(_) => Err(self.error(key, format!("is {n}; a token id is a whole number of at least 0"))),
            },
            None => Err(self.wrong_type(key, value, "a token id (a whole number) or a list of them")),
        };
        match self.value(key) {
            None => Ok(absent.to_vec()),
            Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(list)) => list.iter().filter_map(|v| one(v).transpose()).collect(),
            Some(value) => Ok(one(value)?.into_iter().collect()),
        }
    }

    /// The fields of an object inside this one; `None` when it is absent, `null` or empty.
    pub(crate) fn object(&self, key: &str) -> Result<Option<Fields<'a>>> {
        match self.value(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(map)) if map.is_empty() => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Fields { file: self.file, prefix: format!("{}{key}.", self.prefix), map })),
            Some(value) => Err(self.wrong_type(key, value, "an object, {…}, or null")),
        }
    }
}

/// Describes a JSON value for an error message.
fn describe(value: &Value) -> String {
    let shortened = |s: &str| match s.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &s[..end]),
        None => s.to_string(),
    };
    match value {
        Value::Null => "null".to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) => format!("the text \"{}\"", shortened(s)),
        Value::Array(_) => "a list".to_string(),
        Value::Object(_) => "an object".to_string(),
    }
}
