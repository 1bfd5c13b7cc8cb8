//! What lies beside the recipe: the script that launches it, configurations, and the guide for whoever gets the directory.

use std::fmt::Write;

use rootstock::config::Recipe;

use super::dataset::Datasets;
use super::recipe::HandedOver;

/// What the files tell about.
pub(super) struct Guide<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) handed: &'a HandedOver,
    pub(super) datasets: &'a Datasets,
}

impl Guide<'_> {
    /// The files by their names.
    pub(super) fn files(&self) -> Vec<(&'static str, String)> {
        let has = |line: &str| self.handed.yaml.lines().any(|found| found == line);
        let precision = if has("bf16: true") || has("pure_bf16: true") {
            "bf16"
        } else if has("fp16: true") {
            "fp16"
        } else {
            "no"
        };
        let batch = self.recipe.per_device_train_batch_size;
        let launch = include_str!("files/launch.sh")
            .replace("@BATCH@", &batch.to_string())
            .replace("@STEP@", &(batch * self.recipe.gradient_accumulation_steps).to_string());
        vec![
            ("launch.sh", launch),
            ("deepspeed-zero2.json", include_str!("files/deepspeed-zero2.json").into()),
            ("deepspeed-zero3.json", include_str!("files/deepspeed-zero3.json").into()),
            ("fsdp.yaml", include_str!("files/fsdp.yaml").replace("@PRECISION@", precision)),
            ("README.md", self.readme()),
        ]
    }

    fn readme(&self) -> String {
        let mut what = String::new();
        for dataset in &self.datasets.written {
            let _ = writeln!(what, "- data/{}.jsonl: {} records", dataset.name, dataset.records); // writing to a String cannot fail
        }
        let mut differs = String::new();
        for text in self.handed.changes.iter().chain(&self.handed.remarks) {
            let _ = writeln!(differs, "- {text}");
        }
        for (key, why) in &self.handed.left_out {
            let _ = writeln!(differs, "- left out: `{key}` ({why})");
        }
        if differs.is_empty() {
            differs.push_str("- nothing that is known\n");
        }
        let steps = self.recipe.per_device_train_batch_size * self.recipe.gradient_accumulation_steps;
        include_str!("files/README.md").replace("@DATA@", &what).replace("@DIFFERS@", &differs).replace("@STEP@", &steps.to_string())
    }
}
