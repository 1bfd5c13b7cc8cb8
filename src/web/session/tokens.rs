//! The tokens of large data, kept in this browser by the content of the data, so that a run that goes on, or the next visit, need not make them
//! again.

use super::Session;
use crate::error::Result;
use crate::platform::write_json;

/// The folder of kept tokens.
pub(super) const TOKENS: &str = "tokens";
/// Its folder of files, named by what they depend on.
pub(super) const FILES: &str = "files";
/// The names of these files, the oldest first.
const ORDER: &str = "order.json";
/// Data of so many bytes has its tokens kept; smaller data is tokenised in seconds.
pub(super) const LARGE: u64 = 4 << 20;
/// How many files of tokens are kept.
const MOST: usize = 4;

impl Session {
    /// Removes the oldest tokens where there are too many. What another tab removes meanwhile is made again when it is needed.
    pub(super) async fn forget_oldest_tokens(&self) -> Result<()> {
        let folder = self.store.subdirectory(TOKENS);
        let files = folder.subdirectory(FILES);
        let there: Vec<String> = files.list().await?.into_iter().map(|entry| entry.name).filter(|name| !name.starts_with('.')).collect();
        let mut order: Vec<String> = match folder.size(ORDER).await? {
            Some(_) => serde_json::from_slice(&folder.read(ORDER).await?).unwrap_or_default(),
            None => Vec::new(),
        };
        let known = order.clone();
        order.retain(|name| there.contains(name));
        order.extend(there.into_iter().filter(|name| !known.contains(name)));
        let old: Vec<String> = order.drain(..order.len().saturating_sub(MOST)).collect();
        for name in old {
            files.remove(&name).await?;
        }
        if order != known {
            write_json(&*folder, ORDER, &order).await?;
        }
        Ok(())
    }
}
