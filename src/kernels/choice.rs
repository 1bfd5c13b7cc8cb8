//! A tuning that a person asks for: a family of devices, single values of a tuning, or both.

use serde_json::{Map, Value};

use super::Subgroups;
use super::tuning::{Family, Tuning, Version};
use crate::error::{Error, Result};

/// What `--tuning` and the page's address ask for: `amd`, `vector_rows=4`, or `amd,vector_rows=4`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TuningChoice {
    /// The family whose tuning is taken, instead of the device's own.
    pub family: Option<Family>,
    /// Values to change, by the names of [`Tuning`]'s fields, as they were written.
    pub changes: Vec<(String, String)>,
}

/// What an error about a choice names.
const PLACE: &str = "tuning";

impl TuningChoice {
    /// Reads a choice.
    ///
    /// # Errors
    /// [`Error::Recipe`] for a family or a name that does not exist, or a value of another kind, with what there is.
    pub fn parse(text: &str) -> Result<TuningChoice> {
        let mut choice = TuningChoice::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((name, value)) => choice.changes.push((name.trim().to_string(), value.trim().to_string())),
                None => choice.family = Some(family_of(part)?),
            }
        }
        // Names and kinds are the same for every family.
        choice.apply(&Tuning::of(Family::UnknownGpu, None))?;
        Ok(choice)
    }

    /// The tuning with its values changed.
    ///
    /// # Errors
    /// [`Error::Recipe`] for a name that does not exist or a value that the kernels do not take.
    pub fn apply(&self, tuning: &Tuning) -> Result<Tuning> {
        let mut fields = tuning.fields();
        for (name, text) in &self.changes {
            let known: Vec<String> = fields.keys().cloned().collect();
            let Some(field) = fields.get_mut(name) else { return Err(unknown(name, &known)) };
            *field = value_of(text);
            if Tuning::from_fields(&fields).is_none() {
                let kind = match tuning.fields().get(name) {
                    Some(Value::String(_)) => "it is one of subgroup, registers and tiled".to_string(),
                    Some(Value::Bool(_)) => "it is true or false".to_string(),
                    Some(Value::Null) => "it is a number, or none".to_string(),
                    _ => "it is a whole number".to_string(),
                };
                return Err(Error::recipe(PLACE, format!("{name}={text} is not possible: {kind}")));
            }
        }
        let Some(changed) = Tuning::from_fields(&fields) else { return Err(Error::recipe(PLACE, "these values do not go together")) };
        changed.check()?;
        Ok(changed)
    }
}

fn family_of(name: &str) -> Result<Family> {
    let known = Family::ALL.map(Family::name);
    let found = Family::ALL.into_iter().find(|family| family.name() == name);
    found.ok_or_else(|| {
        Error::recipe(PLACE, format!("{name:?} is neither NAME=VALUE nor a family of devices; the families are {}", known.join(", ")))
    })
}

fn unknown(name: &str, known: &[String]) -> Error {
    let near = known.iter().max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    let near = near.filter(|near| strsim::jaro_winkler(name, near) > 0.8).map_or(String::new(), |near| format!(" (did you mean {near}?)"));
    Error::recipe(PLACE, format!("there is no {name}{near}; the names are {}", known.join(", ")))
}

fn value_of(text: &str) -> Value {
    match text {
        "none" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse::<u64>().map_or_else(|_| Value::String(text.to_string()), Value::from),
    }
}

impl Tuning {
    /// Its fields by name, as JSON.
    pub fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        }
    }

    /// The tuning of such fields; `None` where one is missing or of another kind.
    pub fn from_fields(fields: &Map<String, Value>) -> Option<Tuning> {
        serde_json::from_value(Value::Object(fields.clone())).ok()
    }

    /// This tuning with the fields that `recorded` names; what an older or newer version of the program wrote and this one does not know is
    /// left out. `None` where a value is of another kind.
    pub fn with_fields(&self, recorded: &Map<String, Value>) -> Option<Tuning> {
        let mut fields = self.fields();
        for (name, value) in &mut fields {
            if let Some(recorded) = recorded.get(name) {
                *value = recorded.clone();
            }
        }
        Tuning::from_fields(&fields).filter(|tuning| tuning.check().is_ok())
    }

    /// The fields in which `self` differs from `other`, as `name=value`.
    pub fn differences(&self, other: &Tuning) -> Vec<String> {
        let theirs = other.fields();
        let differing = self.fields().into_iter().filter(|(name, value)| theirs.get(name) != Some(value));
        differing.map(|(name, value)| format!("{name}={}", shown(&value))).collect()
    }

    /// Refuses values that no kernel takes.
    ///
    /// # Errors
    /// [`Error::Recipe`] with the first of them.
    pub fn check(&self) -> Result<()> {
        let power = |n: usize| n.is_power_of_two() && n <= 256;
        let lanes = self.row_lanes.unwrap_or(1) as usize;
        let rules = [
            ("vector_rows", self.vector_rows, self.vector_rows <= 8, "at most 8"),
            ("product_workgroups", self.product_workgroups, self.product_workgroups > 0, "at least 1"),
            ("product_part", self.product_part, self.product_part >= 16, "at least 16"),
            ("product_lanes", self.product_lanes as usize, [8, 16].contains(&self.product_lanes), "8 or 16"),
            ("product_steps", self.product_steps as usize, [8, 16].contains(&self.product_steps), "8 or 16"),
            ("attention_rows", self.attention_rows as usize, [4, 8].contains(&self.attention_rows), "4 or 8"),
            ("attention_kept", self.attention_kept, [64, 128].contains(&self.attention_kept), "64 or 128"),
            ("attention_key_kept", self.attention_key_kept as usize, self.attention_key_kept <= 2, "at most 2"),
            ("row_lanes", lanes, power(lanes), "none or a power of two up to 256"),
            ("sum_rows", self.sum_rows, self.sum_rows > 0, "at least 1"),
            ("long_threads", self.long_threads as usize, power(self.long_threads as usize), "a power of two up to 256"),
            ("norm_threads", self.norm_threads as usize, power(self.norm_threads as usize), "a power of two up to 256"),
            ("norm_items", self.norm_items as usize, (1..=1 << 16).contains(&self.norm_items), "from 1 to 65536"),
            ("prompt_tokens", self.prompt_tokens, (1..=1 << 16).contains(&self.prompt_tokens), "from 1 to 65536"),
        ];
        if self.attention == Version::Quads {
            return Err(Error::recipe(PLACE, "attention=quads is not possible: it is subgroup, registers or tiled"));
        }
        match rules.into_iter().find(|(_, _, holds, _)| !holds) {
            Some((name, value, _, rule)) => Err(Error::recipe(PLACE, format!("{name}={value} is not possible: it is {rule}"))),
            None => Ok(()),
        }
    }

    /// Refuses versions of kernels that need other subgroups than the device has (`subgroups`: their sizes, where they may be used).
    ///
    /// # Errors
    /// [`Error::Recipe`] with the first of them.
    pub fn check_subgroups(&self, subgroups: Option<Subgroups>) -> Result<()> {
        let has = subgroups.map_or("offers none".to_string(), |sizes| format!("has subgroups of {sizes}"));
        let subgroup = subgroups.and_then(Subgroups::same);
        if self.products == Version::Subgroup && subgroup != Some(self.product_lanes) {
            let lanes = self.product_lanes;
            return Err(Error::recipe(
                PLACE,
                format!("products=subgroup with product_lanes={lanes} needs subgroups of {lanes} lanes, and this device {has}"),
            ));
        }
        if self.products == Version::Quads && subgroup.is_none_or(|lanes| lanes < 4) {
            return Err(Error::recipe(PLACE, format!("products=quads needs subgroups of at least 4 lanes, and this device {has}")));
        }
        if self.attention == Version::Subgroup && subgroup.is_none_or(|lanes| lanes < 8) {
            return Err(Error::recipe(
                PLACE,
                format!("attention=subgroup needs subgroups of at least 8 lanes, all of one size, and this device {has}"),
            ));
        }
        let across = [("sums", self.sums_in_subgroups), ("vectors", self.vectors_in_subgroups), ("maxima", self.maxima_in_subgroups)];
        if let Some((name, _)) = across.into_iter().find(|(_, chosen)| *chosen && subgroups.is_none()) {
            return Err(Error::recipe(PLACE, format!("{name}_in_subgroups=true needs subgroups, and this device {has}")));
        }
        Ok(())
    }
}

/// A tuning's value as `--tuning` takes it.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        TuningChoice::parse(text).map(|choice| format!("{choice:?} was taken")).unwrap_or_else(|e| e.to_string())
    }

    #[test]
    fn a_family_and_values_are_taken_together() {
        let choice = TuningChoice::parse("amd, vector_rows=4,row_lanes=64").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(choice.family, Some(Family::Amd));
        let tuning = choice.apply(&Tuning::of(Family::Amd, None)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((tuning.vector_rows, tuning.row_lanes), (4, Some(64)));
        assert_eq!(tuning.differences(&Tuning::of(Family::Amd, None)), ["vector_rows=4", "row_lanes=64"]);
        assert_eq!(TuningChoice::parse("").unwrap_or_else(|e| panic!("{e}")), TuningChoice::default());
        let none =
            TuningChoice::parse("row_lanes=none").and_then(|choice| choice.apply(&Tuning::of(Family::Lavapipe, Some(Subgroups::of(8)))));
        assert_eq!(none.map(|tuning| tuning.row_lanes).ok(), Some(None));
    }

    #[test]
    fn what_does_not_exist_or_fit_is_refused_in_a_sentence() {
        let contains = |text: &str, words: &str| {
            let said = refused(text);
            assert!(said.contains(words), "{text}: {said}");
        };
        contains("adm", "the families are nvidia-like, amd, apple");
        contains("vectorrows=4", "did you mean vector_rows?");
        contains("vector_rows=many", "vector_rows=many is not possible: it is a whole number");
        contains("products=fast", "products=fast is not possible: it is one of subgroup, registers and tiled");
        contains("attention=quads", "attention=quads is not possible: it is subgroup, registers or tiled");
        contains("vector_rows=9", "vector_rows=9 is not possible: it is at most 8");
        contains("long_threads=0", "a power of two up to 256");
        let tuning = TuningChoice::parse("products=subgroup").and_then(|choice| choice.apply(&Tuning::of(Family::UnknownGpu, None)));
        let said =
            tuning.and_then(|tuning| tuning.check_subgroups(Some(Subgroups::of(32)))).map_or_else(|e| e.to_string(), |()| "taken".into());
        assert!(said.contains("product_lanes=8 needs subgroups of 8 lanes, and this device has subgroups of 32"), "{said}");
        let tuning = TuningChoice::parse("sums_in_subgroups=true").and_then(|choice| choice.apply(&Tuning::of(Family::UnknownGpu, None)));
        let said = tuning.and_then(|tuning| tuning.check_subgroups(None)).map_or_else(|e| e.to_string(), |()| "taken".into());
        assert!(said.contains("needs subgroups, and this device offers none"), "{said}");
        let quads = TuningChoice::parse("products=quads").and_then(|choice| choice.apply(&Tuning::of(Family::OtherProcessor, None)));
        let said = quads.and_then(|tuning| tuning.check_subgroups(None)).map_or_else(|e| e.to_string(), |()| "taken".into());
        assert!(said.contains("products=quads needs subgroups of at least 4 lanes, and this device offers none"), "{said}");
    }

    #[test]
    fn a_recorded_tuning_of_another_version_is_taken_as_far_as_it_is_known() {
        let seed = Tuning::of(Family::Amd, None);
        let recorded: Map<String, Value> = serde_json::from_str(r#"{"vector_rows": 2, "of_tomorrow": true}"#).expect("JSON");
        assert_eq!(seed.with_fields(&recorded).map(|tuning| tuning.vector_rows), Some(2));
        let damaged: Map<String, Value> = serde_json::from_str(r#"{"vector_rows": "x"}"#).expect("JSON");
        assert_eq!(seed.with_fields(&damaged), None);
    }
}
