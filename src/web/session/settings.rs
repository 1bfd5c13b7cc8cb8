//! Recipes: converts the page's keys and values to the library's recipe, and to and from YAML.

use std::fmt::Write;

use super::super::messages::{ReadRecipe, RecipeKey, SettingValue, Settings};
use crate::config::keys::{Support, USING_GROUP, keys};
use crate::config::value::Value;
use crate::config::{Recipe, Stage, read_keys};
use crate::error::{Error, Result};

/// The file name that messages use for a recipe of the page.
const NAME: &str = "recipe.yaml";

/// The key whose value is, on the page, the id of a stored adapter that is trained further. In a recipe's file it is a path.
const ADAPTER: &str = "adapter_name_or_path";

/// Keys that hold paths. The page does not offer them: the worker sets them itself.
const PLACES: [&str; 11] = [
    "model_name_or_path",
    "model_revision",
    ADAPTER,
    "ref_model",
    "dataset",
    "eval_dataset",
    "dataset_dir",
    "tokenized_path",
    "output_dir",
    "resume_from_checkpoint",
    "overwrite_output_dir",
];

/// Every key that has an effect on training, with its help text.
pub(super) fn recipe_keys() -> Vec<RecipeKey> {
    let used = keys().filter(|key| key.support == Support::Used && key.group != USING_GROUP && !PLACES.contains(&key.name));
    let describe = |key: &crate::config::keys::Key| RecipeKey {
        name: key.name.into(),
        group: key.group.into(),
        values: key.kind.describe(),
        default: key.default.into(),
        help: key.help.into(),
    };
    used.map(describe).collect()
}

/// Reads a LLaMA-Factory recipe for the page.
///
/// # Errors
/// As [`read_keys`]; for a reward model.
pub(super) fn read(yaml: &str) -> Result<ReadRecipe> {
    let (given, mut notes) = read_keys(NAME, yaml)?;
    if given.iter().any(|(name, value)| name == "stage" && value.as_text().as_deref() == Ok("rm")) {
        return Err(reward_model());
    }
    let (places, others): (Vec<_>, Vec<_>) = given.into_iter().partition(|(name, _)| PLACES.contains(&name.as_str()));
    if !places.is_empty() {
        let names: Vec<String> = places.into_iter().map(|(name, _)| name).collect();
        notes.push(format!("left out, as they are chosen on this page: {}", names.join(", ")));
    }
    Ok(ReadRecipe { recipe: others.into_iter().map(|(name, value)| (name, setting(&value))).collect(), notes })
}

fn setting(value: &Value) -> SettingValue {
    match value {
        Value::Bool(flag) => SettingValue::Flag(*flag),
        Value::Integer(n) => SettingValue::Number(*n as f64),
        Value::Number(n) => SettingValue::Number(*n),
        // Values such as 1e-4 are text for PyYAML, but numbers for the keys that take them.
        Value::Text(text) => {
            text.trim().parse().ok().filter(|n: &f64| n.is_finite()).map_or_else(|| SettingValue::Text(text.clone()), SettingValue::Number)
        }
        Value::Map(entries) => SettingValue::Text(flow(entries)),
        other => other.as_list().map_or_else(|_| SettingValue::Text(other.to_string()), |list| SettingValue::Text(list.join(","))),
    }
}

/// Writes a mapping in YAML flow style, on one line.
fn flow(entries: &[(String, Value)]) -> String {
    let one = |value: &Value| match setting(value) {
        SettingValue::Text(text) if matches!(value, Value::Map(_)) => text,
        other => scalar(&other),
    };
    let quoted = |name: &str| serde_json::Value::from(name).to_string();
    let entries: Vec<String> = entries.iter().map(|(name, value)| format!("{}: {}", quoted(name), one(value))).collect();
    format!("{{{}}}", entries.join(", "))
}

/// Writes a recipe as YAML, in the order of the key table.
pub(super) fn write(settings: &Settings, places: &[(&str, String)]) -> String {
    let mut text = String::from("# For LLaMA-Factory and for `rootstock train`; paths are to be filled in.\n");
    let mut group = "";
    for key in keys() {
        let place = places.iter().find(|(name, _)| *name == key.name).map(|(_, value)| SettingValue::Text(value.clone()));
        let Some(value) = place.or_else(|| settings.get(key.name).cloned()) else { continue };
        if key.group != group {
            group = key.group;
            let _ = write!(text, "\n### {}\n", group.to_lowercase()); // writing into a String cannot fail
        }
        let _ = writeln!(text, "{}: {}", key.name, scalar(&value));
    }
    text
}

fn scalar(value: &SettingValue) -> String {
    match value {
        SettingValue::Flag(flag) => flag.to_string(),
        // Written as 1.0e-5, because PyYAML reads 1e-5 as text.
        SettingValue::Number(n) if *n != 0.0 && n.abs() < 1e-3 => {
            let text = format!("{n:e}");
            if text.contains('.') { text } else { text.replacen('e', ".0e", 1) }
        }
        SettingValue::Number(n) => n.to_string(),
        SettingValue::Text(text) => {
            let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./, ".contains(c)) && text.trim() == text;
            if plain && text.starts_with(|c: char| c.is_ascii_alphabetic()) {
                text.clone()
            } else {
                serde_json::Value::from(text.as_str()).to_string()
            }
        }
    }
}

/// The page's steps are about answers: those of the model while it learns, and the conversation with the result. A reward model has none.
fn reward_model() -> Error {
    Error::recipe(
        "stage",
        "rm trains a reward model, which gives an answer a number and writes none, so this page has nothing to show of it: train it by \
         `rootstock train RECIPE` and let it judge by `rootstock eval RECIPE`; here stage: dpo learns from the same pairs",
    )
}

/// Builds the library's recipe from the page's settings and the paths set by the worker.
///
/// # Errors
/// As [`Recipe::parse`], with the key's name; for a reward model.
pub(super) fn resolve(settings: &Settings, places: &[(&str, String)]) -> Result<Recipe> {
    let given = settings.iter().filter(|(name, _)| *name == ADAPTER || !PLACES.contains(&name.as_str()));
    let mut overrides: Vec<String> = given.map(|(name, value)| format!("{name}={}", plain(value))).collect();
    overrides.extend(places.iter().map(|(name, value)| format!("{name}={value}")));
    let recipe = Recipe::parse(NAME, "", &overrides)?;
    if recipe.stage == Stage::Rm { Err(reward_model()) } else { Ok(recipe) }
}

/// Places for settings that are looked at without a model, data and output.
pub(super) fn nowhere() -> [(&'static str, String); 3] {
    [("model_name_or_path", "m".into()), ("output_dir", "o".into()), ("dataset", "d".into())]
}

fn plain(value: &SettingValue) -> String {
    match value {
        SettingValue::Flag(flag) => flag.to_string(),
        SettingValue::Number(n) => n.to_string(),
        SettingValue::Text(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_survives_the_page() {
        let yaml = "model_name_or_path: models/a\nstage: sft\nfinetuning_type: lora\nlora_target: [q_proj, v_proj]\nlearning_rate: 1e-4\n\
                    num_train_epochs: 3.0\nuse_dora: true\nlr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr_rate: 0.1}\n";
        let read_once = read(yaml).unwrap_or_else(|e| panic!("{e}"));
        assert!(read_once.notes[0].contains("model_name_or_path"), "{:?}", read_once.notes);
        let places = [("model_name_or_path", "somewhere".to_string()), ("dataset", "d.jsonl".into()), ("output_dir", "out".into())];
        let written = write(&read_once.recipe, &places);
        assert_eq!(read(&written).map(|again| again.recipe), Ok(read_once.recipe.clone()), "{written}");
        let direct = Recipe::parse("r", yaml, &["dataset=d.jsonl".into(), "output_dir=out".into(), "model_name_or_path=somewhere".into()]);
        assert_eq!(resolve(&read_once.recipe, &places), direct);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_key() {
        let fault = read("learning_rat: 1\n").map_err(|e| e.to_string()).err().unwrap_or_default();
        assert!(fault.contains("learning_rate"), "{fault}");
        let settings = Settings::from([("lora_rank".to_string(), SettingValue::Text("many".into()))]);
        let fault = resolve(&settings, &[]).map_err(|e| e.to_string()).err().unwrap_or_default();
        assert!(fault.contains("lora_rank"), "{fault}");
        let fault = read("stage: rm\n").map_err(|e| e.to_string()).err().unwrap_or_default();
        assert!(fault.contains("`rootstock train RECIPE`"), "{fault}");
        let settings = Settings::from([("stage".to_string(), SettingValue::Text("rm".into()))]);
        assert_eq!(resolve(&settings, &nowhere()).map_err(|e| e.to_string()).err(), Some(fault));
    }
}
