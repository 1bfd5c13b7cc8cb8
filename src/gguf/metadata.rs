//! The metadata of a GGUF file: named values, read with their types checked.

use std::collections::HashMap;

use crate::error::{Error, Result};

/// A type of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// 8 bits without sign.
    U8,
    /// 8 bits with sign.
    I8,
    /// 16 bits without sign.
    U16,
    /// 16 bits with sign.
    I16,
    /// 32 bits without sign.
    U32,
    /// 32 bits with sign.
    I32,
    /// f32.
    F32,
    /// One byte, 0 or not.
    Bool,
    /// 64 bits without sign.
    U64,
    /// 64 bits with sign.
    I64,
    /// f64.
    F64,
}

impl Number {
    /// The type with this number in a file.
    pub(super) fn from_id(id: u32) -> Option<Number> {
        use Number::{Bool, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
        let known = [(0, U8), (1, I8), (2, U16), (3, I16), (4, U32), (5, I32), (6, F32), (7, Bool), (10, U64), (11, I64), (12, F64)];
        known.into_iter().find(|(known, _)| *known == id).map(|(_, number)| number)
    }

    /// Size in bytes.
    pub(super) fn bytes(self) -> usize {
        match self {
            Number::U8 | Number::I8 | Number::Bool => 1,
            Number::U16 | Number::I16 => 2,
            Number::U32 | Number::I32 | Number::F32 => 4,
            Number::U64 | Number::I64 | Number::F64 => 8,
        }
    }

    /// The value of this type in as many bytes as it has.
    pub(super) fn read(self, bytes: &[u8]) -> Value {
        fn at<const N: usize>(bytes: &[u8]) -> [u8; N] {
            bytes.first_chunk().copied().unwrap_or([0; N])
        }
        match self {
            Number::U8 => Value::Unsigned(at::<1>(bytes)[0].into()),
            Number::I8 => Value::Signed(i8::from_le_bytes(at(bytes)).into()),
            Number::U16 => Value::Unsigned(u16::from_le_bytes(at(bytes)).into()),
            Number::I16 => Value::Signed(i16::from_le_bytes(at(bytes)).into()),
            Number::U32 => Value::Unsigned(u32::from_le_bytes(at(bytes)).into()),
            Number::I32 => Value::Signed(i32::from_le_bytes(at(bytes)).into()),
            Number::F32 => Value::Float(shortest(f32::from_le_bytes(at(bytes)))),
            Number::Bool => Value::Bool(at::<1>(bytes)[0] != 0),
            Number::U64 => Value::Unsigned(u64::from_le_bytes(at(bytes))),
            Number::I64 => Value::Signed(i64::from_le_bytes(at(bytes))),
            Number::F64 => Value::Float(f64::from_le_bytes(at(bytes))),
        }
    }
}

/// The f64 with the fewest decimal digits that rounds to this f32: 1e-5 was written, not 9.999999747378752e-6.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An integer without sign.
    Unsigned(u64),
    /// An integer with sign.
    Signed(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// A text.
    Text(String),
    /// A list.
    Array(Array),
}

impl Value {
    /// The value as an integer that is not negative.
    fn count(&self) -> Option<u64> {
        match self {
            Value::Unsigned(n) => Some(*n),
            Value::Signed(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Value::Unsigned(n) => Some(*n as f64),
            Value::Signed(n) => Some(*n as f64),
            Value::Float(x) => Some(*x),
            _ => None,
        }
    }
}

/// A list. Numbers stay as they are stored, so that a list takes no more memory than it has bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// Numbers of one type, little-endian.
    Numbers(Number, Vec<u8>),
    /// Texts.
    Texts(Vec<Box<str>>),
}

/// All metadata of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    file: String,
    values: HashMap<String, Value>,
}

impl Metadata {
    pub(super) fn new(file: &str) -> Metadata {
        Metadata { file: file.to_string(), values: HashMap::new() }
    }

    /// Adds a value; returns that which had the key before.
    pub(super) fn insert(&mut self, key: String, value: Value) -> Option<Value> {
        self.values.insert(key, value)
    }

    /// The file, as messages name it.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// An error about the value of a key.
    pub(super) fn error(&self, key: &str, reason: impl std::fmt::Display) -> Error {
        Error::config(&self.file, key, format!("{key} {reason}"))
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    fn read<'a, T>(&'a self, key: &str, what: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        match self.values.get(key) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.error(key, format!("must be {what}; the file is damaged"))),
        }
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>> {
        self.read(key, "a text", |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// An integer that is not negative.
    pub(super) fn count(&self, key: &str) -> Result<Option<u64>> {
        self.read(key, "an integer that is not negative", Value::count)
    }

    /// A number.
    pub(super) fn number(&self, key: &str) -> Result<Option<f64>> {
        self.read(key, "a number", Value::number)
    }

    /// Yes or no.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.read(key, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Result<Option<&[Box<str>]>> {
        self.read(key, "a list of texts", |value| match value {
            Value::Array(Array::Texts(texts)) => Some(texts.as_slice()),
            _ => None,
        })
    }

    /// A list of numbers.
    pub(super) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        self.read(key, "a list of numbers", |value| match value {
            Value::Array(Array::Numbers(number, bytes)) => {
                bytes.chunks_exact(number.bytes()).map(|bytes| number.read(bytes).number()).collect()
            }
            _ => None,
        })
    }

    /// An integer, or a list of integers that are all the same (some converters write one for each layer).
    pub(super) fn same_count(&self, key: &str) -> Result<Option<u64>> {
        if !matches!(self.get(key), Some(Value::Array(_))) {
            return self.count(key);
        }
        let list = self.numbers(key)?.unwrap_or_default();
        match list.first() {
            Some(first) if *first >= 0.0 && list.iter().all(|other| other == first) => Ok(Some(*first as u64)),
            _ => Err(self.error(key, "differs between the layers, which no supported architecture allows")),
        }
    }
}
