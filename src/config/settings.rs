//! What a recipe file and the command line give, checked key by key against the table, before it becomes a `Recipe`.
//!
//! The command line is put over the file before anything is judged, and every fault is kept until the end, so that one report names all.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};

use super::entries::{self, Entry, Origin};
use super::keys::{self, Key, Support};
use super::types::DescribedTokens;
use super::value::{Kind, Value};
use super::version1;
use crate::error::{Error, Result};
use crate::platform::text_without_byte_order_mark;

/// A value that the user gave.
#[derive(Debug)]
struct Given {
    value: Value,
    origin: Origin,
    /// The name that the user wrote: an older spelling, or one of version 1.
    shown: String,
}

/// One thing that is wrong.
#[derive(Debug)]
struct Fault {
    shown: String,
    origin: Origin,
    reason: String,
}

/// Checked values by key.
#[derive(Debug, Default)]
pub(super) struct Settings {
    path: String,
    given: BTreeMap<&'static str, Given>,
    /// Keys that `Recipe` asked for: a test compares them with the table.
    read: RefCell<BTreeSet<&'static str>>,
    faults: RefCell<Vec<Fault>>,
    /// Keys that something is wrong with: what follows from that is not said again.
    faulty: RefCell<BTreeSet<String>>,
    /// What the user should know about keys that do nothing here.
    pub(super) notices: Vec<String>,
}

/// Words of LLaMA-Factory that a key does not take here, and why.
const ELSEWHERE: &[(&str, &[&str], &str)] = &[
    (
        "stage",
        &["ppo"],
        "not supported: PPO draws answers while it trains and has a reward model judge them, which is not built in; stage: dpo learns from the \
         pairs that a reward model (stage: rm) learns from, or take this recipe to LLaMA-Factory",
    ),
    (
        "pref_loss",
        &["kto_pair"],
        "not supported: TRL has given it up; use pref_loss: sigmoid, or stage: kto for answers that are marked one by one",
    ),
    ("finetuning_type", &["oft"], "not supported: orthogonal fine-tuning is not built in; use finetuning_type: lora"),
];

impl Settings {
    /// Reads YAML (or JSON) text and overrides; the later one wins. What is wrong with keys and values is kept for [`Settings::finish`].
    ///
    /// # Errors
    /// [`Error::Line`] for text that is no mapping, [`Error::File`] for a configuration of another program.
    pub(super) fn read(path: &str, text: &str, overrides: &[String]) -> Result<Self> {
        let mut settings = Settings { path: path.to_string(), ..Default::default() };
        let mut list = entries::read(path, text_without_byte_order_mark(text))?;
        for text in overrides {
            match entries::override_of(text) {
                Some((name, value)) => entries::put(&mut list, &name, value),
                None => settings.fault(text, Origin::CommandLine, "write overrides as key=value, for example learning_rate=1e-5"),
            }
        }
        if version1::is_meant(&list) {
            let translated = version1::translate(list);
            settings.notices = translated.notices;
            for (entry, reason) in translated.faults {
                settings.fault(&entry.shown, entry.origin, reason);
            }
            list = translated.entries;
        }
        settings.judge(list);
        Ok(settings)
    }

    /// Sorts the entries into values, remarks and faults.
    fn judge(&mut self, list: Vec<Entry>) {
        let mut ignored = BTreeSet::new();
        let mut remarks: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        let mut refused: Vec<(&'static Key, Entry, String)> = Vec::new();
        // Keys that say more about another one, by that one.
        let mut companions: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        let mut features = BTreeSet::new();
        for entry in list {
            let Some(key) = keys::find(&entry.key) else {
                let near = keys::nearest(&entry.key);
                let hint = near.map_or("docs/recipes.md lists all keys".to_string(), |near| format!("did you mean {near}?"));
                self.faulty.borrow_mut().extend(near.map(str::to_string));
                self.fault(&entry.shown, entry.origin, format!("unknown key; {hint}"));
                continue;
            };
            if key.support != Support::Used && entry.value.is_off() {
                continue;
            }
            let words = entry.value.as_list().unwrap_or_else(|_| vec![entry.value.to_string()]);
            let all_in = |list: &[&str]| words.iter().all(|word| list.contains(&word.as_str()));
            match key.support {
                Support::Used => self.give(key, entry, &mut refused),
                Support::Ignored => drop(ignored.insert(entry.shown)),
                Support::Noted(silent) if all_in(silent) => {}
                Support::Noted(_) => {
                    features.insert(key.name);
                    remarks.entry(key.help).or_default().push(entry.shown);
                }
                Support::Only { accepted, .. } if all_in(accepted) => {}
                Support::Only { accepted, noted }
                    if words.iter().all(|w| accepted.contains(&w.as_str()) || noted.contains(&w.as_str())) =>
                {
                    remarks.entry(key.help).or_default().push(format!("{}: {}", entry.shown, words.join(",")));
                }
                Support::Only { .. } => refused.push((key, entry, format!("not supported: {}", key.help))),
                Support::With(feature) => companions.entry(feature).or_default().push(entry.shown),
            }
        }
        for (key, entry, mut reason) in refused {
            if let Some(names) = companions.remove(key.name) {
                reason += &format!(" ({} {} to it)", names.join(", "), if names.len() == 1 { "belongs" } else { "belong" });
            }
            self.fault(&entry.shown, entry.origin, reason);
            self.faulty.borrow_mut().insert(key.name.to_string());
        }
        let (with, without): (Vec<_>, Vec<_>) = companions.into_iter().partition(|(feature, _)| features.contains(feature));
        ignored.extend(with.into_iter().flat_map(|(_, names)| names));
        let mut notices: Vec<String> = remarks.into_iter().map(|(why, names)| format!("{}: {why}", names.join(", "))).collect();
        for (feature, names) in without {
            let feature = if feature == "stage" { "stage ppo" } else { feature };
            notices.push(format!("without effect, as they belong to {feature}: {}", names.join(", ")));
        }
        if !ignored.is_empty() {
            let names: Vec<String> = ignored.into_iter().collect();
            notices.push(format!("these keys have no meaning here and are ignored: {}", names.join(", ")));
        }
        self.notices.extend(notices);
    }

    /// Takes the value of a key that is used.
    fn give(&mut self, key: &'static Key, entry: Entry, refused: &mut Vec<(&'static Key, Entry, String)>) {
        let Entry { key: _, ref shown, ref value, origin } = entry;
        if *value == Value::Null {
            return; // null means: as if it were not there
        }
        let word = value.as_text().unwrap_or_default();
        if let Some((.., why)) = ELSEWHERE.iter().find(|(name, words, _)| *name == key.name && words.contains(&word.as_str())) {
            refused.push((key, Entry { shown: format!("{shown}: {word}"), ..entry }, (*why).to_string()));
            return;
        }
        if let Err(reason) = key.kind.check(value) {
            self.faulty.borrow_mut().insert(key.name.to_string());
            return self.fault(shown, origin, reason);
        }
        match self.given.get(key.name) {
            Some(Given { origin: Origin::Line(first), .. }) => {
                let reason = format!("this key is given at line {first} already");
                self.fault(shown, origin, reason);
            }
            _ => drop(self.given.insert(key.name, Given { value: entry.value, origin, shown: entry.shown })),
        }
    }

    fn fault(&self, shown: &str, origin: Origin, reason: impl Into<String>) {
        self.faults.borrow_mut().push(Fault { shown: shown.to_string(), origin, reason: reason.into() });
    }

    /// Notes a fault of a key that the user gave (at its line), or did not give. Nothing is said where the key, or another one that the
    /// fault would follow from, is at fault already.
    pub(super) fn refuse(&self, name: &str, follows_from: &[&str], reason: impl Into<String>) {
        let mut faulty = self.faulty.borrow_mut();
        if faulty.contains(name) || follows_from.iter().any(|other| faulty.contains(*other)) {
            return;
        }
        faulty.insert(name.to_string());
        let given = self.given.get(name);
        let shown = given.map_or(name, |given| given.shown.as_str());
        self.fault(shown, given.map_or(Origin::Nowhere, |given| given.origin), reason);
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Error::Line`] or [`Error::Recipe`] for the one fault, [`Error::Faults`] for several, in the file's order.
    pub(super) fn finish(&self) -> Result<()> {
        let mut faults = self.faults.take();
        faults.sort_by_key(|fault| fault.origin);
        match faults.as_slice() {
            [] => Ok(()),
            [Fault { shown, origin: Origin::Line(line), reason }] => Err(Error::line(&self.path, *line, format!("{shown}: {reason}"))),
            [Fault { shown, reason, .. }] => Err(Error::recipe(shown, reason)),
            several => {
                let sentence = |Fault { shown, origin, reason }: &Fault| match origin {
                    Origin::Line(line) => format!("line {line}: {shown}: {reason}"),
                    _ => format!("{shown}: {reason}"),
                };
                Err(Error::Faults { path: self.path.clone(), faults: several.iter().map(sentence).collect() })
            }
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
        self.given.get(key.name).map(|given| given.value.clone()).or_else(default)
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

    /// `model_name_or_path`, with `model_revision` behind a name of the hub.
    pub(super) fn model(&self) -> String {
        let (name, revision) = (self.text_if_given("model_name_or_path").unwrap_or_default(), self.text("model_revision"));
        let is_name = name.split('/').count() == 2 && !name.contains('@') && !name.starts_with(['.', '/', '~']);
        if is_name && self.has("model_revision") && revision != "main" { format!("{name}@{revision}") } else { name }
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

    /// `new_special_tokens_config`: a file's path, or the mapping itself.
    pub(super) fn described_tokens(&self) -> Option<DescribedTokens> {
        self.if_given("new_special_tokens_config", |value| match value.as_map() {
            Ok(entries) => {
                let entry = |(token, description): (String, Value)| (token, description.as_text().unwrap_or_default());
                Ok(DescribedTokens::Inline(entries.into_iter().map(entry).collect()))
            }
            Err(_) => value.as_text().map(DescribedTokens::File),
        })
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
/// As [`super::Recipe::parse`] for broken YAML, unknown keys, values of the wrong type, and what is not supported.
pub fn read_keys(path: &str, text: &str) -> Result<GivenKeys> {
    let settings = Settings::read(path, text, &[])?;
    settings.finish()?;
    Ok((settings.given.into_iter().map(|(name, given)| (name.to_string(), given.value)).collect(), settings.notices))
}
