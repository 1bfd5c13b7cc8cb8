//! A directory as a repair leaves it, before it is written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::set;
use crate::error::{Error, Result};
use crate::model::config::parse_object;
use crate::platform::{Directory, Entry};

/// A directory with some small files changed or removed.
pub(super) struct Patched {
    pub(super) dir: Rc<dyn Directory>,
    /// New contents by name; None for a file that is removed.
    pub(super) changed: BTreeMap<String, Option<Vec<u8>>>,
}

impl Patched {
    /// Sets fields of a JSON file; `Null` removes one.
    pub(super) async fn edit(&mut self, name: &str, fields: &[(String, Value)]) -> Result<()> {
        let mut map: Map<String, Value> = match self.size(name).await? {
            Some(_) => parse_object(name, &self.read(name).await?)?,
            None => Map::new(),
        };
        for (key, value) in fields {
            set(&mut map, key, value.clone());
        }
        self.changed.insert(name.to_string(), Some(format!("{:#}\n", Value::Object(map)).into_bytes()));
        Ok(())
    }
}

#[async_trait(?Send)]
impl Directory for Patched {
    fn label(&self) -> String {
        self.dir.label()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        let mut entries = self.dir.list().await?;
        entries.retain(|entry| !self.changed.contains_key(&entry.name));
        entries
            .extend(self.changed.iter().filter_map(|(name, bytes)| Some(Entry { name: name.clone(), size: bytes.as_ref()?.len() as u64 })));
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        match self.changed.get(name) {
            Some(bytes) => Ok(bytes.as_ref().map(|bytes| bytes.len() as u64)),
            None => self.dir.size(name).await,
        }
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        match self.changed.get(name) {
            None => self.dir.read_range(name, range).await,
            Some(_) => {
                let bytes = self.read(name).await?;
                let part = bytes.get(range.start as usize..range.end as usize);
                part.map(<[u8]>::to_vec).ok_or_else(|| Error::file(name, format!("the file ends at byte {}", bytes.len())))
            }
        }
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        match self.changed.get(name) {
            None => self.dir.read(name).await,
            Some(Some(bytes)) => Ok(bytes.clone()),
            Some(None) => Err(Error::file(name, "there is no such file")),
        }
    }
}
