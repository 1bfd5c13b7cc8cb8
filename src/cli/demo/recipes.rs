//! The demo's recipes, what may be changed about them, and their copies for the user.

use std::path::{Path, PathBuf};

use rootstock::config::Recipe;
use rootstock::config::keys::find;
use rootstock::platform::{Directory, NativeDirectory, write_file};
use rootstock::{Error, Result};

use crate::cli::embedded;

/// The places that the demo writes to, below `--out`.
pub(super) struct Places {
    out: PathBuf,
}

impl Places {
    pub(super) fn new(out: &Path) -> Places {
        Places { out: out.to_path_buf() }
    }

    fn below(&self, name: &str) -> String {
        self.out.join(name).display().to_string()
    }

    /// The model that the program carries.
    pub(super) fn base(&self) -> String {
        self.below("base")
    }

    /// The fully fine-tuned model.
    pub(super) fn full(&self) -> String {
        self.below("village")
    }

    /// The adapter on it.
    pub(super) fn adapter(&self) -> String {
        self.below("pirate")
    }

    /// Both in one.
    pub(super) fn merged(&self) -> String {
        self.below("merged")
    }

    /// Datasets and recipes to go on with.
    pub(super) fn data(&self) -> String {
        self.below("data")
    }

    /// Writes the model that the program carries.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) async fn write_base(&self) -> Result<()> {
        let (from, to) = (embedded::directory("embedded-model"), NativeDirectory::new(self.base()));
        for entry in from.list().await? {
            write_file(&to, &entry.name, &from.read(&entry.name).await?).await?;
        }
        Ok(())
    }

    /// Writes the datasets and recipes that are not there yet; what somebody changed stays. Paths in the recipes become those of this run.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) async fn write_data(&self) -> Result<()> {
        let (from, to) = (embedded::directory("demo"), NativeDirectory::new(self.data()));
        for entry in from.list().await? {
            if to.path().join(&entry.name).exists() {
                continue;
            }
            let mut bytes = from.read(&entry.name).await?;
            if entry.name.ends_with(".yaml") {
                bytes = self.localised(&String::from_utf8_lossy(&bytes)).into_bytes();
            }
            write_file(&to, &entry.name, &bytes).await?;
        }
        Ok(())
    }

    fn localised(&self, recipe: &str) -> String {
        let line = |line: &str| {
            let path = match line.split_once(": ") {
                Some(("dataset_dir", _)) => self.data(),
                Some((_, "assets/embedded-model")) => self.base(),
                Some((_, path)) if path.starts_with("demo-output/") => self.below(&path["demo-output/".len()..]),
                _ => return format!("{line}\n"),
            };
            // A JSON string is a YAML string, whatever the path holds.
            format!("{}: {}\n", line.split(':').next().unwrap_or_default(), serde_json::Value::from(path))
        };
        recipe.lines().filter(|line| !line.starts_with("# From the repository's root")).map(line).collect()
    }
}

/// The journey's two runs.
pub(super) struct Recipes {
    pub(super) full: Recipe,
    pub(super) lora: Recipe,
}

/// What makes the journey what it is.
const FIXED: [&str; 15] = [
    "model_name_or_path",
    "adapter_name_or_path",
    "create_new_adapter",
    "stage",
    "finetuning_type",
    "do_train",
    "dataset_dir",
    "dataset",
    "eval_dataset",
    "val_size",
    "output_dir",
    "overwrite_output_dir",
    "export_dtype",
    "max_shard_size",
    "packing",
];

impl Recipes {
    /// The recipes with a user's settings: for both runs, for one with `full.` or `lora.` before the key, and what only LoRA has for LoRA.
    ///
    /// # Errors
    /// [`Error::Recipe`] for what the journey decides, and what [`Recipe::load`] refuses.
    pub(super) async fn load(places: &Places, overrides: &[String]) -> Result<Recipes> {
        let paths = |model: String, out: String| vec![format!("model_name_or_path={model}"), format!("output_dir={out}")];
        let (mut full, mut lora) = (paths(places.base(), places.full()), paths(places.full(), places.adapter()));
        for setting in overrides {
            let (of, setting) = match setting.split_once('.') {
                Some((of @ ("full" | "lora"), rest)) => (Some(of), rest.to_string()),
                _ => (None, setting.clone()),
            };
            let key = setting.split('=').next().unwrap_or_default();
            if FIXED.contains(&key) {
                return Err(Error::recipe(
                    key,
                    format!("the demo decides this itself; its recipes are in {} afterwards, for `rootstock train`", places.data()),
                ));
            }
            let only_lora = find(key).is_some_and(|key| key.group == "LoRA");
            if of != Some("lora") && !only_lora {
                full.push(setting.clone());
            }
            if of != Some("full") {
                lora.push(setting);
            }
        }
        let demo = embedded::directory("demo");
        let (full, lora) = (Recipe::load(&demo, "village.yaml", &full).await?, Recipe::load(&demo, "pirate.yaml", &lora).await?);
        Ok(Recipes { full, lora })
    }
}
