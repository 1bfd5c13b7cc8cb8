//! Fields of records that mean something and are not read: the user is told, once for each file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The fields, by file.
#[derive(Debug, Clone, Default)]
pub(super) struct Unread(BTreeMap<Arc<str>, BTreeSet<&'static str>>);

impl Unread {
    pub(super) fn note(&mut self, path: &Arc<str>, fields: BTreeSet<&'static str>) {
        if !fields.is_empty() {
            self.0.entry(path.clone()).or_default().extend(fields);
        }
    }

    pub(super) fn notices(self) -> impl Iterator<Item = String> {
        self.0.into_iter().map(|(path, fields)| {
            let several = fields.len() > 1;
            let names: Vec<String> = fields.into_iter().map(|name| format!("\"{name}\"")).collect();
            format!(
                "{path}: the {} {} of its records {} not read; name {} under columns in dataset_info.json if {} is meant",
                if several { "fields" } else { "field" },
                names.join(", "),
                if several { "are" } else { "is" },
                if several { "them" } else { "it" },
                if several { "that" } else { "it" },
            )
        })
    }
}
