//! Data sets that `dataset_info.json` names on Hugging Face's hub (`hf_hub_url`). They are read from the cache of its programs; the program
//! fetches those that are not there before it reads.

use serde_json::Value as Json;

use super::card::Card;
use super::formats::{is_data, kind_of_file};

/// How paths into a data set of the hub begin, as in Hugging Face's own programs.
pub(super) const SCHEME: &str = "hf://datasets/";

/// A data set of the hub, and which part of it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubDataset {
    /// `org/name`.
    pub name: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// The only folder that is read, if one is named.
    pub folder: Option<String>,
    /// The configuration of the data set (Hugging Face's `name`): a part of its files' paths.
    pub subset: Option<String>,
}

impl HubDataset {
    /// A data set by what stands in `hf_hub_url`: `org/name`, or with a revision `org/name@revision`.
    ///
    /// # Errors
    /// What is expected.
    pub fn parse(text: &str) -> Result<HubDataset, String> {
        let (name, revision) = text.split_once('@').unwrap_or((text, "main"));
        let is_part = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && part.len() <= 96 && part.chars().all(plain) && !part.starts_with('.') && !part.contains("..")
        };
        let is_name = name.split('/').count() == 2 && name.split('/').all(is_part);
        if !is_name || !revision.split('/').all(is_part) {
            return Err(format!("{text:?} is not a name on the hub; write it as org/name"));
        }
        Ok(HubDataset { name: name.into(), revision: revision.into(), folder: None, subset: None })
    }

    /// The data set of an entry of dataset_info.json; None where its data are files.
    ///
    /// # Errors
    /// What is wrong with the entry.
    pub(super) fn of_entry(entry: &Json) -> Result<Option<HubDataset>, String> {
        let Some(name) = entry["hf_hub_url"].as_str() else { return Ok(None) };
        let part = |field: &str| entry[field].as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_string);
        let folder = part("folder").map(|folder| folder.trim_matches('/').to_string());
        if folder.as_deref().is_some_and(|folder| folder.split(['/', '\\']).any(|part| matches!(part, "" | "." | ".."))) {
            return Err("folder leads out of the data set".into());
        }
        Ok(Some(HubDataset { folder, subset: part("subset"), ..HubDataset::parse(name).map_err(|reason| format!("hf_hub_url {reason}"))? }))
    }

    /// Which of the data set's files are read: those of its folder and subset, and of several kinds (a licence beside the data is text, too)
    /// the most frequent one.
    ///
    /// # Errors
    /// Why there are none.
    pub fn choose(&self, files: Vec<String>) -> Result<Vec<String>, String> {
        let in_folder =
            |file: &str| self.folder.as_ref().is_none_or(|f| file.strip_prefix(f.as_str()).is_some_and(|rest| rest.starts_with('/')));
        // Data sets with one configuration call it "default".
        let subset = self.subset.as_deref().filter(|subset| *subset != "default");
        let of_subset = |file: &str| subset.is_none_or(|subset| file.split('/').any(|part| part == subset));
        let mut data: Vec<String> = files.into_iter().filter(|file| is_data(file)).collect();
        let count = data.len();
        data.retain(|file| in_folder(file) && of_subset(file));
        let kinds: Vec<String> = data.iter().map(|file| kind_of_file(file)).collect();
        let times = |kind: &String| kinds.iter().filter(|other| *other == kind).count();
        let Some(kind) = kinds.iter().max_by_key(|kind| (times(kind), std::cmp::Reverse(kind.as_str()))) else {
            return Err(match (count, &self.folder, subset) {
                (0, ..) => "it holds no file of a kind that is read (parquet, jsonl, json, csv, tsv, txt)".into(),
                (_, Some(folder), None) => format!("it has no data in a folder {folder}"),
                (_, _, Some(subset)) => {
                    format!("the path of none of its files has a part {subset}, which subset names; name a folder instead")
                }
                (_, None, None) => "it holds no data".into(),
            });
        };
        data.retain(|file| kind_of_file(file) == *kind);
        Ok(data)
    }

    /// The same where the data set has a card that describes configurations: the files of all splits of the one that is meant. A folder
    /// that is named wins over the card.
    ///
    /// # Errors
    /// Why there are none.
    pub fn choose_by_card(&self, files: Vec<String>, readme: &str) -> Result<Vec<String>, String> {
        match Card::parse(readme)?.filter(|_| self.folder.is_none()) {
            Some(card) => {
                let splits = card.splits(self.subset.as_deref(), &files)?;
                Ok(splits.into_iter().flat_map(|(_, files)| files).collect())
            }
            None => self.choose(files),
        }
    }

    /// The path that opens it.
    pub(super) fn path(&self) -> String {
        let folder = self.folder.as_ref().map(|folder| format!("/{folder}")).unwrap_or_default();
        let revision = if self.revision == "main" { String::new() } else { format!("@{}", self.revision.replace('/', "%2F")) };
        format!("{SCHEME}{}{revision}{folder}", self.name)
    }

    /// The data set that a path leads into, and the file's name in it; None for a path of the file system.
    pub fn of_path(path: &str) -> Option<(HubDataset, String)> {
        let (org, rest) = path.strip_prefix(SCHEME)?.split_once('/')?;
        let (name, file) = rest.split_once('/')?;
        Some((HubDataset::parse(&format!("{org}/{}", name.replace("%2F", "/"))).ok()?, file.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_paths_fit_together() {
        for text in ["garden/trees", "garden/trees@v1.0", "garden/trees@refs/convert/parquet"] {
            let set = HubDataset { folder: Some("data/en".into()), ..HubDataset::parse(text).expect("it is a name") };
            let (found, file) = HubDataset::of_path(&format!("{}/_", set.path())).expect("it is a path of the hub");
            assert_eq!((found.name, found.revision, file), (set.name, set.revision, "data/en/_".to_string()), "{text}");
        }
        for text in ["trees", "a/b/c", "../x", "a/..", "a/b@", "/etc/passwd", "a/b c"] {
            assert!(HubDataset::parse(text).is_err(), "{text}");
        }
        assert_eq!(HubDataset::of_path("data/train.jsonl"), None);
    }

    #[test]
    fn folder_and_subset_choose_files() {
        let all = ["README.md", "LICENSE.txt", "en/train.parquet", "de/train.parquet", "raw/en/train.jsonl"];
        let chosen = |entry: Json| {
            let set = HubDataset::of_entry(&entry).expect("right").expect("it names the hub");
            set.choose(all.map(String::from).to_vec())
        };
        let entry = |more: Json| {
            let mut entry = json!({"hf_hub_url": "garden/trees"});
            entry.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            entry
        };
        let names = |names: &[&str]| Ok(names.iter().map(|name| name.to_string()).collect::<Vec<_>>());
        assert_eq!(chosen(entry(json!({}))), names(&["en/train.parquet", "de/train.parquet"]));
        assert_eq!(chosen(entry(json!({"subset": "default"}))), names(&["en/train.parquet", "de/train.parquet"]));
        assert_eq!(chosen(entry(json!({"subset": "de"}))), names(&["de/train.parquet"]));
        assert_eq!(chosen(entry(json!({"folder": "raw", "subset": "en"}))), names(&["raw/en/train.jsonl"]));
        for (more, words) in [(json!({"subset": "fr"}), "a part fr"), (json!({"folder": "fr"}), "in a folder fr")] {
            assert!(chosen(entry(more)).expect_err("none").contains(words));
        }
        assert!(HubDataset::of_entry(&entry(json!({"folder": "../x"}))).is_err());
    }
}
