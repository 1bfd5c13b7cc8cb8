//! `docs/recipes.md`, written from the table of keys.

use std::fmt::Write;

use super::keys::{Key, OnResume, Support, keys};

/// The reference of all keys as Markdown. A test compares it with the committed page.
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    let free = keys().filter(|key| key.support == Support::Used && key.on_resume == OnResume::Free);
    let free: Vec<String> = free.map(|key| format!("`{}`", key.name)).collect();
    let _ = writeln!(page, "\n{RESUMING}\n{}.", free.join(", ")); // writing into a String cannot fail
    let mut group = "";
    for key in keys().filter(|key| !matches!(key.support, Support::With(_))) {
        if key.group != group {
            group = key.group;
            let _ = write!(page, "\n## {group}\n\n{}", heading(key));
        }
        let _ = writeln!(page, "{}", row(key));
    }
    page
}

const INTRODUCTION: &str = "# Recipes

A recipe is a YAML file with LLaMA-Factory's keys; `rootstock train RECIPE.yaml key=value …` runs it, and what stands on
the command line wins over the file before anything is judged: `deepspeed=null` switches a key off, `--learning_rate 1e-4` is the same as
`learning_rate=1e-4`, `lr_scheduler_kwargs.min_lr=1e-6` sets one entry of a mapping. `rootstock train -` reads the recipe from the
standard input. Names, meanings and defaults are LLaMA-Factory's and transformers', so the same file runs there. Paths are relative to
the directory that the command is called in. An unknown key is an error that names the nearest known one; all faults of a recipe are
reported at once, each with its line.

A key that asks for other means to the same result (several devices, another way of storing AdamW's moments) is mentioned
and the run goes on; a key is refused where ignoring it would change the result. Recipes of LLaMA-Factory's version 1 (`model`,
`peft_config`, `train_dataset` …) are read as well. A recipe for `llamafactory-cli chat` or `export` works with `rootstock chat` and
`rootstock merge`, one for prediction with `rootstock eval`.

This page is generated from the table that the parser reads (`src/config/keys.rs`).
";

const RESUMING: &str =
    "A run may become longer: with more `num_train_epochs` or `max_steps` it goes on from its last checkpoint, and from there on the learning rate
is that of a run of the new length. Otherwise a run that is resumed (`resume_from_checkpoint`) ends with the same bits as one that was not interrupted, so its data
and all keys that the bits depend on must be as they were; what differs is named. These may change:";

fn heading(key: &Key) -> &'static str {
    match key.support {
        Support::Used => "| key | value | default | what it does |\n|---|---|---|---|\n",
        Support::Ignored => "These have no meaning here. A run mentions them and goes on.\n\n| key | why |\n|---|---|\n",
        Support::Noted(_) => {
            "These ask for other means to the same result. A run says so and goes on.\n\n| key | what a run says |\n|---|---|\n"
        }
        Support::Only { .. } | Support::With(_) => {
            "These would change the result and are not supported. A value that switches them off is fine, any other an error; keys that \
             only say more about one of them (`galore_rank`, `pref_beta`) have no fault of their own.\n\n\
             | key | accepted | why |\n|---|---|---|\n"
        }
    }
}

fn row(key: &Key) -> String {
    match key.support {
        Support::Used => {
            let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
            format!("| `{}` | {} | {default} | {} |", key.name, key.kind.describe(), key.help)
        }
        Support::Ignored | Support::Noted(_) | Support::With(_) => format!("| `{}` | {} |", key.name, key.help),
        Support::Only { accepted, noted } => format!("| `{}` | {} | {} |", key.name, [accepted, noted].concat().join(", "), key.help),
    }
}
