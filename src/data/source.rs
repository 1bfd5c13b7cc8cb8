//! One dataset: its files, which of their records are meant, and folders of files.

use sha2::{Digest, Sha256};

use super::card::{CARD, Card, MAX_CARD};
use super::datasets::{OpenPath, Wanted};
use super::draw::{Draw, PythonRandom};
use super::formats::{Expected, Piece, PieceTaker, is_data, read_file};
use super::split_name::{Slice, files_of_split};
use crate::error::{Error, Result};
use crate::platform::Directory;

/// How many bytes of a file are hashed at once.
const HASHED: usize = 1 << 20;

/// One dataset: its files, what they look like, and which of their records are meant.
pub(super) struct Source {
    pub(super) dir: Box<dyn Directory>,
    /// Each file's name in `dir`, and what messages call it.
    pub(super) files: Vec<(String, String)>,
    pub(super) expected: Expected,
    pub(super) slice: Slice,
    pub(super) limit: usize,
    /// Whether records are drawn, and what the dataset is called then.
    pub(super) draw: Option<(String, Draw)>,
    pub(super) notices: Vec<String>,
}

impl Source {
    /// Adds its bytes, and which of its records are read and how, to a hash.
    pub(super) async fn add_to(&self, wanted: &Wanted<'_>, hash: &mut Sha256) -> Result<()> {
        hash.update(format!("{:?} {:?} {} {:?}", self.expected, self.slice, self.limit, wanted.max_samples));
        if let Some(draw) = &self.draw {
            hash.update(format!("{draw:?} {}", wanted.seed));
        }
        for (file, shown) in &self.files {
            hash.update(format!("{shown:?}"));
            let size = self.dir.size(file).await?.unwrap_or(0);
            hash.update(size.to_le_bytes());
            for from in (0..size).step_by(HASHED) {
                let to = (from + HASHED as u64).min(size);
                hash.update(self.dir.read_range(file, from..to).await?);
            }
        }
        Ok(())
    }

    /// Gives its records to `take`; returns what the user should be told. `random` is what records are drawn by.
    pub(super) async fn read(
        self,
        max_samples: Option<usize>,
        random: &mut PythonRandom,
        take: &mut PieceTaker<'_>,
    ) -> Result<Vec<String>> {
        let counted = self.slice.needs_total() || self.draw.is_some();
        let total = if counted { self.each(&mut |_, _| Ok(true)).await?.0 } else { 0 };
        let range = self.slice.range(total);
        let limit = self.limit.min(max_samples.unwrap_or(usize::MAX));
        let range = range.start..range.end.min(range.start.saturating_add(limit));
        let mut drawn = None;
        let mut notices = self.notices.clone();
        if let Some((name, draw)) = &self.draw {
            let records = range.end.min(total).saturating_sub(range.start);
            let counts = draw.counts(records, limit, random).map_err(|reason| Error::dataset(name, reason))?;
            let count: u64 = counts.iter().map(|count| u64::from(*count)).sum();
            notices
                .push(format!("{name}: {count} records are drawn from {records}, some of them several times, as LLaMA-Factory draws them"));
            drawn = Some(counts);
        }
        let mut at = 0;
        let (_, more) = self
            .each(&mut |piece, share| {
                let here = at;
                at += 1;
                if here < range.start {
                    return Ok(true);
                }
                if here >= range.end {
                    return Ok(false);
                }
                let times = drawn.as_ref().map_or(1, |counts| counts[here - range.start]);
                for _ in 1..times {
                    if !take(piece.clone(), share)? {
                        return Ok(false);
                    }
                }
                Ok((times == 0 || take(piece, share)?) && at < range.end)
            })
            .await?;
        Ok([notices, more].concat())
    }

    /// The records of all files, until there are enough: how many there were, and what the user should be told.
    async fn each(&self, take: &mut PieceTaker<'_>) -> Result<(usize, Vec<String>)> {
        let (mut count, mut notices, mut more) = (0, Vec::new(), true);
        for (i, (file, shown)) in self.files.iter().enumerate() {
            let part = |share: f64| (i as f64 + share) / self.files.len() as f64;
            let mut take = |piece: Piece, share: f64| {
                count += 1;
                more = take(piece, part(share))?;
                Ok(more)
            };
            notices.extend(read_file(&*self.dir, file, shown, &self.expected, &mut take).await?);
            if !more {
                break;
            }
        }
        Ok((count, notices))
    }
}

/// A folder and the dataset files in it, their names relative to it.
pub(super) struct Folder {
    dir: Box<dyn Directory>,
    /// What stands before the names in `dir`.
    prefix: String,
    pub(super) files: Vec<String>,
    /// What its README.md says about configurations and splits.
    pub(super) card: Option<Card>,
}

/// The folder of that path; None where there is none or it holds no dataset.
pub(super) async fn open_folder(path: &str, open: &OpenPath<'_>) -> Result<Option<Folder>> {
    let inside = "_";
    let Ok((dir, name)) = open(&format!("{}/{inside}", path.trim_end_matches('/'))) else { return Ok(None) };
    let prefix = name.strip_suffix(inside).unwrap_or_default().to_string();
    let names = dir.list().await?.into_iter().filter_map(|entry| entry.name.strip_prefix(&prefix).map(str::to_string));
    let mut files: Vec<String> = names.filter(|name| is_data(name)).collect();
    // Beside the Arrow files of a saved data set lies their state, which is no data.
    if files.iter().any(|file| file.ends_with(".arrow")) {
        files.retain(|file| file.rsplit('/').next() != Some("state.json"));
    }
    if files.is_empty() {
        return Ok(None);
    }
    let card = match dir.size(&format!("{prefix}{CARD}")).await? {
        Some(size) if size <= MAX_CARD => {
            let text = dir.read(&format!("{prefix}{CARD}")).await?;
            Card::parse(&String::from_utf8_lossy(&text)).map_err(|reason| Error::dataset(path, reason))?
        }
        _ => None,
    };
    Ok(Some(Folder { dir, prefix, files, card }))
}

impl Folder {
    /// The files of the first of some splits that there is; all files where no name speaks of splits.
    pub(super) fn source(self, path: &str, splits: &[&str], subset: Option<&str>) -> Result<Source> {
        let fault = |reason: String| Error::dataset(path, reason);
        let mut files = self.files;
        let mut chosen = None;
        match (&self.card, subset) {
            (Some(card), _) => {
                let by_card = card.splits(subset, &files).map_err(fault)?;
                match by_card.as_slice() {
                    // Only a folder is named, and the names of its files say the rest.
                    [(split, all)] if split.is_empty() => files.clone_from(all),
                    _ => chosen = Some(of_card(by_card, splits).map_err(fault)?),
                }
            }
            (None, Some(subset)) => files.retain(|name| name.split('/').any(|part| part == subset)),
            (None, None) => {}
        }
        let (files, split) = match chosen {
            Some((files, split)) => (files, Some(split)),
            None => files_of_split(&files, splits).map_err(fault)?,
        };
        let notices = split.map(|split| {
            let names = if files.len() > 3 { format!("{} files", files.len()) } else { files.join(", ") };
            format!("{path}: a folder; its split {split} is read ({names})")
        });
        let path = path.trim_end_matches('/');
        let files = files.into_iter().map(|name| (format!("{}{name}", self.prefix), format!("{path}/{name}"))).collect();
        let (expected, slice) = (Expected::default(), Slice::ALL);
        Ok(Source { dir: self.dir, files, expected, slice, limit: usize::MAX, draw: None, notices: notices.into_iter().collect() })
    }
}

/// The files of the first of some splits that a card has, with its name.
fn of_card(mut by_card: Vec<(String, Vec<String>)>, splits: &[&str]) -> Result<(Vec<String>, String), String> {
    by_card.retain(|(_, files)| !files.is_empty());
    for wanted in splits.iter().map(|split| if split.is_empty() { "train" } else { split }) {
        if let Some(at) = by_card.iter().position(|(split, _)| split == wanted) {
            let (split, files) = by_card.swap_remove(at);
            return Ok((files, split));
        }
    }
    let names: Vec<&str> = by_card.iter().map(|(split, _)| split.as_str()).collect();
    let wanted: Vec<&str> = splits.iter().map(|split| if split.is_empty() { "train" } else { split }).collect();
    Err(format!("by {CARD} it has no split {}, but {}", wanted.join(" or "), names.join(", ")))
}
