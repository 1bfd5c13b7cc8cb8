//! What a recipe file and the command line give, checked key by key against the table, before it becomes a `Recipe`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer, MapAccess, Visitor};
use serde_saphyr::Spanned;

use super::keys::{self, Key, Support};
use super::value::{Kind, Value};
use crate::error::{Error, Result};
use crate::platform::text_without_byte_order_mark;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// In the recipe file, at this line.
    Line(usize),
    /// As `key=value` on the command line.
    CommandLine,
}

/// Checked values by key.
#[derive(Debug, Default)]
pub(super) struct Settings {
    path: String,
    given: BTreeMap<&'static str, (Value, Origin)>,
    /// Keys that `Recipe` asked for: a test compares them with the table.
    read: RefCell<BTreeSet<&'static str>>,
    /// What the user should know about keys that do nothing here.
    pub(super) notices: Vec<String>,
}

impl Settings {
    /// Reads YAML text and overrides; the later one wins.
    ///
    /// # Errors
    /// [`Error::Line`] or [`Error::Recipe`] for broken YAML, unknown keys, and values of the wrong type.
    pub(super) fn read(path: &str, text: &str, overrides: &[String]) -> Result<Self> {
        let mut settings = Settings { path: path.to_string(), ..Default::default() };
        let text = text_without_byte_order_mark(text);
        // A comment-only or empty file is an empty recipe: all may come from the command line.
        let empty = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        let entries: Entries = match serde_saphyr::from_str(text) {
            _ if empty => Entries(Vec::new()),
            Ok(entries) => entries,
            Err(error) => {
                let line = error.location().map_or(1, |l| l.line() as usize);
                let message = error.without_snippet().to_string();
                return Err(Error::line(path, line, format!("the recipe must be YAML, one `key: value` per line: {message}")));
            }
        };
        let mut ignored = Vec::new();
        for (line, name, value) in entries.0 {
            settings.set(&name, value, Origin::Line(line), &mut ignored)?;
        }
        for text in overrides {
            let Some((name, value)) = text.trim_start_matches("--").split_once('=') else {
                return Err(Error::recipe(text, "write overrides as key=value, for example learning_rate=1e-5"));
            };
            settings.given.remove(keys::canonical(name.trim()));
            settings.set(name.trim(), Value::parse(value), Origin::CommandLine, &mut ignored)?;
        }
        ignored.sort();
        ignored.dedup();
        if !ignored.is_empty() {
            settings.notices.push(format!("these keys have no meaning here and are ignored: {}", ignored.join(", ")));
        }
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: Value, origin: Origin, ignored: &mut Vec<String>) -> Result<()> {
        let Some(key) = keys::find(keys::canonical(name)) else {
            let hint = match keys::nearest(name) {
                Some(near) => format!("did you mean {near}?"),
                None => "docs/recipes.md lists all keys".to_string(),
            };
            return Err(self.fault(name, &origin, format!("unknown key; {hint}")));
        };
        match key.support {
            Support::Ignored if value.is_off() => return Ok(()),
            Support::Ignored => {
                ignored.push(name.to_string());
                return Ok(());
            }
            Support::Only(allowed) => {
                let words = value.as_list().unwrap_or_else(|_| vec![value.to_string()]);
                if value.is_off() || words.iter().all(|w| allowed.contains(&w.as_str())) {
                    return Ok(());
                }
                return Err(self.fault(name, &origin, format!("not supported: {}", key.help)));
            }
            Support::Used => {}
        }
        if value == Value::Null {
            self.given.remove(key.name); // null means: as if it were not there
            return Ok(());
        }
        key.kind.check(&value).map_err(|reason| self.fault(name, &origin, reason))?;
        if let Some((_, Origin::Line(first))) = self.given.get(key.name) {
            return Err(self.fault(name, &origin, format!("this key is given at line {first} already")));
        }
        self.given.insert(key.name, (value, origin));
        Ok(())
    }

    fn fault(&self, name: &str, origin: &Origin, reason: String) -> Error {
        match origin {
            Origin::Line(line) => Error::line(&self.path, *line, format!("{name}: {reason}")),
            Origin::CommandLine => Error::recipe(name, reason),
        }
    }

    /// An error about a key that the user gave (at its line), or did not give.
    pub(super) fn error(&self, name: &str, reason: impl Into<String>) -> Error {
        match self.given.get(name) {
            Some((_, origin)) => self.fault(name, origin, reason.into()),
            None => Error::recipe(name, reason),
        }
    }

    /// Whether the user wrote this key.
    pub(super) fn has(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    fn key(&self, name: &str) -> &'static Key {
        let key = keys::find(name).expect("Recipe asks only for keys of the table; a test resolves a full recipe");
        self.read.borrow_mut().insert(key.name);
        key
    }

    /// The value, or the table's default, or nothing.
    pub(super) fn get(&self, name: &str) -> Option<Value> {
        let key = self.key(name);
        let default = || Some(Value::parse(key.default)).filter(|v| *v != Value::Null);
        self.given.get(key.name).map(|(value, _)| value.clone()).or_else(default)
    }

    fn if_given<T>(&self, name: &str, read: impl Fn(&Value) -> Result<T, String>) -> Option<T> {
        self.get(name).map(|value| read(&value).expect("the value was checked against the key's kind when it was set"))
    }

    /// The value of a key that has a default in the table.
    fn value<T>(&self, name: &str, read: impl Fn(&Value) -> Result<T, String>) -> T {
        self.if_given(name, read).expect("the table has a default for this key; a test resolves a recipe that gives none")
    }

    pub(super) fn bool(&self, name: &str) -> bool {
        self.value(name, Value::as_bool)
    }

    pub(super) fn bool_if_given(&self, name: &str) -> Option<bool> {
        self.if_given(name, Value::as_bool)
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.value(name, as_count)
    }

    pub(super) fn count_if_given(&self, name: &str) -> Option<usize> {
        self.if_given(name, as_count)
    }

    pub(super) fn integer(&self, name: &str) -> i64 {
        self.value(name, Value::as_integer)
    }

    pub(super) fn integer_if_given(&self, name: &str) -> Option<i64> {
        self.if_given(name, Value::as_integer)
    }

    pub(super) fn number(&self, name: &str) -> f64 {
        self.value(name, Value::as_number)
    }

    pub(super) fn number_if_given(&self, name: &str) -> Option<f64> {
        self.if_given(name, Value::as_number)
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.value(name, Value::as_text)
    }

    pub(super) fn text_if_given(&self, name: &str) -> Option<String> {
        self.if_given(name, Value::as_text)
    }

    /// The word of a key that takes one of several.
    pub(super) fn word(&self, name: &str) -> String {
        self.value(name, Kind::word)
    }

    /// The same as the type whose variants are these words.
    pub(super) fn one_of<T: DeserializeOwned>(&self, name: &str) -> T {
        let word = self.word(name);
        let deserializer: StrDeserializer<'_, serde::de::value::Error> = word.as_str().into_deserializer();
        T::deserialize(deserializer).expect("the type has the words of the table; a test tries all of them")
    }

    /// A list; empty when it was not given.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        self.if_given(name, Value::as_list).unwrap_or_default()
    }

    /// A mapping; empty when it was not given.
    pub(super) fn map(&self, name: &str) -> Vec<(String, Value)> {
        self.if_given(name, Value::as_map).unwrap_or_default()
    }

    pub(super) fn bytes(&self, name: &str) -> u64 {
        self.value(name, Value::as_bytes)
    }

    /// The keys that were asked for so far.
    pub(super) fn keys_read(&self) -> BTreeSet<&'static str> {
        self.read.borrow().clone()
    }
}

fn as_count(value: &Value) -> Result<usize, String> {
    Ok(value.as_integer()?.max(0) as usize)
}

/// A recipe's keys as they were given, and what to know about them.
pub type GivenKeys = (Vec<(String, Value)>, Vec<String>);

/// Reads a recipe key by key and checks the values; also returns remarks on keys that have no effect here. For a page that shows a recipe
/// and lets it be changed before it is run.
///
/// # Errors
/// [`Error::Line`] for broken YAML, unknown keys, and values of the wrong type.
pub fn read_keys(path: &str, text: &str) -> Result<GivenKeys> {
    let settings = Settings::read(path, text, &[])?;
    Ok((settings.given.into_iter().map(|(name, (value, _))| (name.to_string(), value)).collect(), settings.notices))
}

/// The top-level mapping with the line of each key.
struct Entries(Vec<(usize, String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`key: value` lines")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<Spanned<String>>()? {
                    entries.push((name.referenced.line() as usize, name.value, map.next_value()?));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}
