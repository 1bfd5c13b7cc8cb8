//! Values of recipe keys: what YAML or the command line gave, and what a key makes of it.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};

/// A YAML value. (Not `serde_json::Value`: `.nan` must stay visible to be refused.)
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// An integer.
    Integer(i64),
    /// Another number.
    Number(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A mapping, in its order.
    Map(Vec<(String, Value)>),
}

/// What values a key takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number, at least this.
    Count(u64),
    /// A whole number, also negative.
    Integer,
    /// A number above 0.
    Positive,
    /// A number from 0.
    NonNegative,
    /// A number from 0, below 1.
    Share,
    /// A whole number of steps from 1, or a share of all steps between 0 and 1.
    Steps,
    /// Text.
    Text,
    /// `true`, `false`, or text.
    BoolOrText,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Texts, comma-separated or as a YAML list.
    List,
    /// A mapping of names to numbers or words, or such a JSON object as text.
    Map,
    /// Text, or a mapping of names to values.
    TextOrMap,
    /// A file size: `5GB`, `500MB`, or a number of GB.
    Size,
    /// Anything: a key that is not used.
    Any,
}

impl Value {
    /// Whether this switches a feature off: what unsupported keys may still say.
    pub fn is_off(&self) -> bool {
        match self {
            Value::Null | Value::Bool(false) | Value::Integer(0) => true,
            Value::Number(n) => *n == 0.0,
            Value::Text(text) => matches!(text.to_lowercase().as_str(), "" | "none" | "null" | "~" | "false" | "no" | "off" | "0" | "0.0"),
            Value::List(items) => items.is_empty(),
            Value::Map(entries) => entries.is_empty(),
            Value::Bool(true) | Value::Integer(_) => false,
        }
    }

    /// Reads a command line value or a default of the table, both written as in a recipe.
    pub fn parse(text: &str) -> Value {
        match text.trim() {
            "" | "null" | "none" | "None" | "~" => Value::Null,
            t if t.starts_with('[') || t.starts_with('{') => serde_saphyr::from_str(t).unwrap_or_else(|_| Value::Text(t.to_string())),
            t => Value::Text(t.to_string()), // every kind reads text, so nothing is lost to a guess at its type
        }
    }

    /// As a truth value; YAML 1.1's words included, as PyYAML reads them.
    pub fn as_bool(&self) -> Result<bool, String> {
        let word = match self {
            Value::Bool(b) => return Ok(*b),
            Value::Text(text) => text.to_lowercase(),
            _ => String::new(),
        };
        match word.as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(format!("{self} is neither true nor false")),
        }
    }

    /// As a finite number; `1e-4` in quotes (or as PyYAML reads it: text) is one too.
    pub fn as_number(&self) -> Result<f64, String> {
        let number = match self {
            Value::Integer(n) => Some(*n as f64),
            Value::Number(n) => Some(*n),
            Value::Text(text) => text.trim().replace('_', "").parse().ok(),
            _ => None,
        };
        match number {
            Some(n) if n.is_finite() => Ok(n),
            _ => Err(format!("{self} is not a number")),
        }
    }

    /// As a whole number; `10.0` and `1e3` are whole.
    pub fn as_integer(&self) -> Result<i64, String> {
        let number = self.as_number().map_err(|_| format!("{self} is not a whole number"))?;
        // Beyond 2^53 an f64 skips integers, so the text or the integer itself is read there.
        match self {
            Value::Integer(n) => Ok(*n),
            Value::Text(text) if text.trim().parse::<i64>().is_ok() => Ok(text.trim().parse().unwrap_or_default()),
            _ if number.fract() == 0.0 && number.abs() < 9e15 => Ok(number as i64),
            _ => Err(format!("{self} is not a whole number")),
        }
    }

    /// As text.
    pub fn as_text(&self) -> Result<String, String> {
        match self {
            Value::Text(text) => Ok(text.clone()),
            Value::Bool(_) | Value::Integer(_) | Value::Number(_) => Ok(self.to_string()),
            _ => Err(format!("{self} is not text")),
        }
    }

    /// As a list of texts.
    pub fn as_list(&self) -> Result<Vec<String>, String> {
        let items: Vec<String> = match self {
            Value::Null => Vec::new(),
            Value::List(items) => items.iter().map(Value::as_text).collect::<Result<_, _>>()?,
            other => other.as_text()?.split(',').map(str::to_string).collect(),
        };
        Ok(items.iter().map(|item| item.trim().to_string()).filter(|item| !item.is_empty()).collect())
    }

    /// As a mapping.
    pub fn as_map(&self) -> Result<Vec<(String, Value)>, String> {
        match self {
            Value::Null => Ok(Vec::new()),
            Value::Map(entries) => Ok(entries.clone()),
            Value::Text(text) if text.trim().starts_with('{') => match Value::parse(text) {
                Value::Map(entries) => Ok(entries),
                _ => Err(format!("{self} is not a mapping")),
            },
            _ => Err(format!("{self} is not a mapping such as {{min_lr: 1e-6}}")),
        }
    }

    /// As a number of bytes.
    pub fn as_bytes(&self) -> Result<u64, String> {
        let fault = || format!("{self} is not a size such as 5GB or 500MB");
        let text = self.as_text().map_err(|_| fault())?.trim().to_uppercase();
        let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
        // Hugging Face's units are powers of ten, GiB and its kin powers of two.
        let unit = match text[digits.len()..].trim() {
            "" | "GB" => 1e9,
            "MB" => 1e6,
            "KB" => 1e3,
            "GIB" => 1024f64.powi(3),
            "MIB" => 1024f64.powi(2),
            "KIB" => 1024.0,
            _ => return Err(fault()),
        };
        match digits.trim().parse::<f64>() {
            Ok(n) if n.is_finite() && n > 0.0 => Ok((n * unit).min(u64::MAX as f64) as u64),
            _ => Err(fault()),
        }
    }
}

impl Kind {
    /// Checks a value against this kind; the message is the reason without the key.
    ///
    /// # Errors
    /// A clause such as "'fast' is not a number; write for example 5e-5".
    pub fn check(self, value: &Value) -> Result<(), String> {
        match self {
            Kind::Bool => value.as_bool().map(drop),
            Kind::Count(least) => match value.as_integer()? {
                n if n >= 0 && n as u64 >= least => Ok(()),
                n => Err(format!("{n} is too small; at least {least}")),
            },
            Kind::Integer => value.as_integer().map(drop),
            Kind::Positive | Kind::NonNegative | Kind::Share => {
                let n = value.as_number().map_err(|e| format!("{e}; write for example 5e-5 or 0.1"))?;
                match self {
                    Kind::Positive if n <= 0.0 => Err(format!("{n} is not above 0")),
                    _ if n < 0.0 => Err(format!("{n} is below 0")),
                    Kind::Share if n >= 1.0 => Err(format!("{n} is not below 1")),
                    _ => Ok(()),
                }
            }
            Kind::Steps => match value.as_number()? {
                n if n <= 0.0 => Err(format!("{n} is not above 0")),
                n if n >= 1.0 && n.fract() != 0.0 => Err(format!("{n} is neither a whole number of steps nor a share below 1")),
                _ => Ok(()),
            },
            Kind::Text | Kind::BoolOrText => value.as_text().map(drop),
            Kind::OneOf(words) => {
                let word = Self::word(value)?;
                if words.contains(&word.as_str()) {
                    return Ok(());
                }
                let scored = words.iter().map(|w| (w, strsim::jaro_winkler(w, &word))).filter(|(_, score)| *score > 0.86);
                let near = scored.max_by(|a, b| a.1.total_cmp(&b.1));
                let hint = near.map(|(w, _)| format!("; did you mean {w}?")).unwrap_or_default();
                Err(format!("'{word}' is not one of {}{hint}", words.join(", ")))
            }
            Kind::List => value.as_list().map(drop),
            Kind::Map => value.as_map().map(drop),
            Kind::TextOrMap => value.as_text().map(drop).or_else(|_| value.as_map().map(drop)),
            Kind::Size => value.as_bytes().map(drop),
            Kind::Any => Ok(()),
        }
    }

    /// The word of a `OneOf`: YAML 1.1 reads `no` as false, which is meant as the word in `eval_strategy: no`.
    pub(super) fn word(value: &Value) -> Result<String, String> {
        match value {
            Value::Bool(false) => Ok("no".into()),
            other => other.as_text(),
        }
    }

    /// How the docs name it.
    pub fn describe(self) -> String {
        match self {
            Kind::Bool => "true or false".into(),
            Kind::Count(least) => format!("whole number ≥ {least}"),
            Kind::Integer => "whole number".into(),
            Kind::Positive => "number > 0".into(),
            Kind::NonNegative => "number ≥ 0".into(),
            Kind::Share => "number, 0 ≤ x < 1".into(),
            Kind::Steps => "steps, or a share below 1".into(),
            Kind::Text => "text".into(),
            Kind::BoolOrText => "true, false or text".into(),
            Kind::OneOf(words) => words.join(", "),
            Kind::List => "list".into(),
            Kind::Map => "mapping".into(),
            Kind::TextOrMap => "text or mapping".into(),
            Kind::Size => "size".into(),
            Kind::Any => String::new(),
        }
    }
}

impl fmt::Display for Value {
    /// As a user would recognise it in a message; text in quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Integer(n) => write!(f, "{n}"),
            Value::Number(n) => write!(f, "{n}"),
            Value::Text(text) => write!(f, "'{text}'"),
            Value::List(_) => f.write_str("a list"),
            Value::Map(_) => f.write_str("a mapping"),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(Value::Integer(n))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(i64::try_from(n).map_or(Value::Number(n as f64), Value::Integer))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
        Ok(Value::Number(n))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries: Vec<(String, Value)> = Vec::new();
        while let Some((name, value)) = map.next_entry()? {
            if entries.iter().any(|(earlier, _)| *earlier == name) {
                return Err(serde::de::Error::custom(format!("{name} stands twice in a mapping")));
            }
            entries.push((name, value));
        }
        Ok(Value::Map(entries))
    }
}
