//! The cache that Hugging Face's programs keep on this machine: models and data sets that were downloaded before are found by their names.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// What a repository of the hub holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A model or an adapter.
    Model,
    /// A data set.
    Dataset,
}

impl Kind {
    /// The name of a repository's directory in the cache.
    pub fn directory(self, name: &str) -> String {
        let kind = match self {
            Kind::Model => "models",
            Kind::Dataset => "datasets",
        };
        format!("{kind}--{}", name.replace('/', "--"))
    }
}

/// The directory of a repository's snapshot, if the cache holds one.
pub fn snapshot(kind: Kind, name: &str, revision: &str) -> Option<PathBuf> {
    snapshot_in(&directory()?, kind, name, revision)
}

/// Where the cache is, by the variables that Hugging Face's programs read.
pub fn directory() -> Option<PathBuf> {
    let of = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || of("HOME").or_else(|| of("USERPROFILE"));
    of("HF_HUB_CACHE")
        .or_else(|| of("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| Some(of("HF_HOME")?.join("hub")))
        .or_else(|| Some(of("XDG_CACHE_HOME")?.join("huggingface/hub")))
        .or_else(|| Some(home()?.join(".cache/huggingface/hub")))
}

/// `models--ORG--NAME/snapshots/COMMIT`, where a file under `refs` names the commit of a branch.
fn snapshot_in(cache: &Path, kind: Kind, name: &str, revision: &str) -> Option<PathBuf> {
    let repository = cache.join(kind.directory(name));
    let is_plain = |text: &str| !text.is_empty() && !text.contains("..") && !text.starts_with(['/', '\\']);
    if !is_plain(revision) || !is_plain(name) {
        return None;
    }
    let commit = fs::read_to_string(repository.join("refs").join(revision)).unwrap_or_else(|_| revision.to_string());
    let commit = Some(commit.trim()).filter(|commit| is_plain(commit) && !commit.contains('/'))?;
    Some(repository.join("snapshots").join(commit)).filter(|path| path.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_found_by_branch_and_by_commit() {
        let cache = tempfile::tempdir().expect("a temporary directory");
        let repository = cache.path().join("models--garden--tree");
        fs::create_dir_all(repository.join("snapshots/abc123")).expect("it is new");
        fs::create_dir_all(repository.join("refs/pr")).expect("it is new");
        fs::write(repository.join("refs/main"), "abc123\n").expect("it can be written");
        fs::write(repository.join("refs/pr/7"), "../../elsewhere").expect("it can be written");
        let found = Some(repository.join("snapshots/abc123"));
        assert_eq!(snapshot_in(cache.path(), Kind::Model, "garden/tree", "main"), found);
        assert_eq!(snapshot_in(cache.path(), Kind::Model, "garden/tree", "abc123"), found);
        for (name, revision) in
            [("garden/tree", "v2"), ("garden/tree", "pr/7"), ("garden/tree", "../refs"), ("garden/rose", "main"), ("", "main")]
        {
            assert_eq!(snapshot_in(cache.path(), Kind::Model, name, revision), None, "{name} at {revision}");
        }
        assert_eq!(snapshot_in(cache.path(), Kind::Dataset, "garden/tree", "main"), None, "there is no data set of that name");
    }
}
