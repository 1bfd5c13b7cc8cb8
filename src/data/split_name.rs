//! Splits of a dataset: `train[:100]` as Hugging Face writes a part of one, and which files of a folder belong to which.

use std::ops::Range;

/// A split, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) split: String,
    from: Bound,
    to: Bound,
}

/// Where a part begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// At the split's own beginning or end.
    Open,
    /// At a record; below zero counted from the end.
    Record(i64),
    /// At a share of all records.
    Percent(i64),
}

impl Slice {
    /// All of the split `train`.
    pub(super) const ALL: Slice = Slice { split: String::new(), from: Bound::Open, to: Bound::Open };

    /// Reads `train`, `train[:100]`, `train[100:200]`, `train[-10:]`, `train[:10%]`.
    ///
    /// # Errors
    /// What is expected.
    pub(super) fn parse(text: &str) -> Result<Slice, String> {
        let expected =
            || format!("split is \"{text}\", expected for example \"train\", \"train[:100]\", \"train[100:200]\" or \"train[:10%]\"");
        let text = text.trim();
        let (split, part) = match text.split_once('[') {
            None => (text, ":"),
            Some((split, rest)) => (split, rest.strip_suffix(']').ok_or_else(expected)?),
        };
        let (from, to) = part.split_once(':').ok_or_else(expected)?;
        let known = !split.is_empty() && split.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        let bound = |text: &str| match text.trim() {
            "" => Ok(Bound::Open),
            text => match text.strip_suffix('%') {
                Some(number) => number.trim().parse().map(Bound::Percent).map_err(|_| expected()),
                None => text.parse().map(Bound::Record).map_err(|_| expected()),
            },
        };
        let slice = Slice { split: split.into(), from: bound(from)?, to: bound(to)? };
        if known { Ok(slice) } else { Err(expected()) }
    }

    /// Whether one must know how many records there are before the part is known.
    pub(super) fn needs_total(&self) -> bool {
        [self.from, self.to].iter().any(|bound| matches!(bound, Bound::Percent(_) | Bound::Record(i64::MIN..0)))
    }

    /// The records that are meant, of so many; the number matters only if it [is needed](Slice::needs_total).
    pub(super) fn range(&self, total: usize) -> Range<usize> {
        let at = |bound: Bound, open: usize| match bound {
            Bound::Open => open,
            Bound::Record(n) if n < 0 => total.saturating_sub(n.unsigned_abs() as usize),
            Bound::Record(n) => n as usize,
            Bound::Percent(n) => {
                let n = if n < 0 { 100 + n } else { n };
                (total as f64 * n as f64 / 100.0).round_ties_even().max(0.0) as usize
            }
        };
        let (from, to) = (at(self.from, 0), at(self.to, usize::MAX));
        from..to.max(from)
    }
}

/// What splits are called in files' names.
const NAMES: [(&str, &[&str]); 3] =
    [("train", &["train", "training"]), ("validation", &["validation", "valid", "dev", "val", "eval"]), ("test", &["test", "testing"])];

/// Whether a word of a file's name is a split's name: `data/train-00000-of-00002.jsonl` is of train.
fn is_of(file: &str, split: &str) -> bool {
    let names = NAMES.iter().find(|(name, _)| *name == split).map(|(_, names)| *names);
    let lower = file.to_lowercase();
    match names {
        Some(names) => lower.split(|c: char| !c.is_alphanumeric()).any(|word| names.contains(&word)),
        None => lower.split(['/', '-', '.']).any(|part| part == split.to_lowercase()),
    }
}

/// The files of the first of some splits that has any, with its name; all files, without a name, where none speaks of a split.
///
/// # Errors
/// Which splits there are, where none is one of those.
pub(super) fn files_of_split(files: &[String], splits: &[&str]) -> Result<(Vec<String>, Option<String>), String> {
    let named = |split: &str| files.iter().filter(|file| is_of(file, split)).cloned().collect::<Vec<_>>();
    let wanted: Vec<&str> = splits.iter().map(|split| if split.is_empty() { "train" } else { split }).collect();
    for split in &wanted {
        let found = named(split);
        if !found.is_empty() {
            return Ok((found, Some((*split).to_string())));
        }
    }
    let others: Vec<&str> = NAMES.iter().map(|(name, _)| *name).filter(|name| !named(name).is_empty()).collect();
    match (others.is_empty(), wanted.contains(&"train")) {
        (true, true) => Ok((files.to_vec(), None)),
        (true, false) => Err(format!("the folder has no split {}", wanted.join(" or "))),
        (false, _) => Err(format!("the folder has no split {}, but {}", wanted.join(" or "), others.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_splits_are_those_of_hugging_face() {
        let range = |text: &str, total: usize| Slice::parse(text).map(|slice| slice.range(total));
        assert_eq!(range("train", 10), Ok(0..usize::MAX));
        assert_eq!(range("train[:2]", 10), Ok(0..2));
        assert_eq!(range("train[3:5]", 10), Ok(3..5));
        assert_eq!(range("train[-2:]", 10), Ok(8..usize::MAX));
        assert_eq!(range("train[:-2]", 10), Ok(0..8));
        assert_eq!(range("train[10%:25%]", 10), Ok(1..2), "2.5 is rounded to even, as Python does");
        assert_eq!(range("train[50%:]", 7), Ok(4..usize::MAX), "3.5");
        assert_eq!(range("train[5:3]", 7), Ok(5..5));
        assert!(!Slice::parse("train[:2]").expect("right").needs_total() && Slice::parse("train[-2:]").expect("right").needs_total());
        for wrong in ["", "[:2]", "train[", "train[2]", "train[:x]", "train+test"] {
            assert!(Slice::parse(wrong).expect_err("wrong").contains("train[:100]"), "{wrong}");
        }
    }

    #[test]
    fn files_of_a_folder_belong_to_the_split_in_their_name() {
        let files = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let mlx = files(&["test.jsonl", "train.jsonl", "valid.jsonl"]);
        assert_eq!(files_of_split(&mlx, &["train"]), Ok((files(&["train.jsonl"]), Some("train".into()))));
        assert_eq!(files_of_split(&mlx, &["validation", "test"]), Ok((files(&["valid.jsonl"]), Some("validation".into()))));
        let hub = files(&["data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl", "data/test_sft-0.jsonl"]);
        assert_eq!(files_of_split(&hub, &[""]).map(|(files, _)| files.len()), Ok(2));
        assert_eq!(files_of_split(&hub, &["test_sft"]).map(|(files, _)| files.len()), Ok(1));
        assert_eq!(files_of_split(&files(&["a.jsonl", "b.txt"]), &["train"]).map(|(files, split)| (files.len(), split)), Ok((2, None)));
        assert_eq!(files_of_split(&files(&["test.jsonl"]), &["train"]), Err("the folder has no split train, but test".into()));
    }
}
