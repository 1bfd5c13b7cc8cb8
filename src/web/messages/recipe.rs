//! Recipes: keys and values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
#[cfg(test)]
use ts_rs::TS;

/// The value of a recipe's key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
#[serde(untagged)]
#[expect(missing_docs, reason = "the names say it")]
pub enum SettingValue {
    Flag(bool),
    Number(f64),
    Text(String),
}

/// A recipe: LLaMA-Factory's keys with their values. What is not named has its default; the worker sets model, dataset and
/// output_dir.
pub type Settings = BTreeMap<String, SettingValue>;

/// A key of recipes, from the table that `docs/recipes.md` is written from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct RecipeKey {
    /// The key.
    pub name: String,
    /// The part of a recipe that it belongs to.
    pub group: String,
    /// What values it takes, in words.
    pub values: String,
    /// What stands for it when it is absent; empty for nothing.
    pub default: String,
    /// One line on what it does.
    pub help: String,
}

/// A recipe that was read.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct ReadRecipe {
    /// Its keys as they were written, without paths: a page has none.
    pub recipe: Settings,
    /// What to know: keys that have no meaning here, paths that were left out.
    pub notes: Vec<String>,
}
