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
    for key in keys() {
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
the command line wins over the file. Names, meanings and defaults are LLaMA-Factory's and transformers', so the same file
runs there. Paths are relative to the directory that the command is called in. An unknown key is an error that names the
nearest known one.

This page is generated from the table that the parser reads (`src/config/keys.rs`).
";

const RESUMING: &str =
    "A run that is resumed (`resume_from_checkpoint`) ends with the same bits as one that was not interrupted, so its data
and all keys that the bits depend on must be as they were; what differs is named. These may change:";

fn heading(key: &Key) -> &'static str {
    match key.support {
        Support::Used => "| key | value | default | what it does |\n|---|---|---|---|\n",
        Support::Ignored => "These have no meaning here. A run mentions them and goes on.\n\n| key | why |\n|---|---|\n",
        Support::Only(_) => {
            "These would change the result and are not supported. A value that switches them off is fine, any other an error.\n\n\
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
        Support::Ignored => format!("| `{}` | {} |", key.name, key.help),
        Support::Only(allowed) => format!("| `{}` | {} | {} |", key.name, allowed.join(", "), key.help),
    }
}
