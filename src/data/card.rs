//! The card of a data set: the YAML at the beginning of its README.md, whose `configs` say which files belong to which configuration and
//! split, as Hugging Face's `datasets` reads them.

use fancy_regex::Regex;
use serde_json::Value as Json;

use super::formats::is_data;

/// The file's name.
pub(super) const CARD: &str = "README.md";
/// The longest card that is read, in bytes.
pub(super) const MAX_CARD: u64 = 1 << 20;
/// The longest pattern of files.
const MAX_PATTERN: usize = 500;

/// A data set's configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    configurations: Vec<Configuration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Configuration {
    name: String,
    is_default: bool,
    /// Each split with the patterns of its files.
    splits: Vec<(String, Vec<String>)>,
    /// Only files below this folder.
    folder: Option<String>,
}

impl Card {
    /// The configurations that a README.md describes; None where it describes none.
    ///
    /// # Errors
    /// What is wrong with its YAML.
    pub fn parse(readme: &str) -> Result<Option<Card>, String> {
        let Some(yaml) = front_matter(readme) else { return Ok(None) };
        if !yaml.lines().any(|line| line.trim_end() == "configs:" || line.starts_with("configs:")) {
            return Ok(None); // a card with other things alone need not be YAML that is understood here
        }
        let card: Json =
            serde_saphyr::from_str(&yaml).map_err(|error| format!("the YAML of {CARD} cannot be read: {}", error.without_snippet()))?;
        let Some(list) = card["configs"].as_array() else { return Ok(None) };
        let configurations = list.iter().map(configuration).collect::<Result<Vec<_>, String>>()?;
        Ok((!configurations.is_empty()).then_some(Card { configurations }))
    }

    /// The files of a configuration, or of the one that is taken where none is named, split by split.
    ///
    /// # Errors
    /// Which configurations there are, where none can be chosen.
    pub fn splits(&self, subset: Option<&str>, files: &[String]) -> Result<Vec<(String, Vec<String>)>, String> {
        let configuration = self.choose(subset)?;
        let below: Vec<&String> = match &configuration.folder {
            Some(folder) => {
                files.iter().filter(|file| file.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))).collect()
            }
            None => files.iter().collect(),
        };
        let mut splits = Vec::new();
        for (split, patterns) in &configuration.splits {
            let prefix = configuration.folder.as_ref().map(|folder| format!("{folder}/")).unwrap_or_default();
            let mut found: Vec<String> = Vec::new();
            for pattern in patterns {
                let regex = regex_of(pattern)?;
                let matches = |file: &&&String| regex.is_match(file.strip_prefix(&prefix).unwrap_or(file)).unwrap_or(false);
                let here: Vec<String> = below.iter().filter(matches).map(|file| (*file).clone()).filter(|file| is_data(file)).collect();
                found.extend(here.into_iter().filter(|file| !found.contains(file)).collect::<Vec<_>>());
            }
            splits.push((split.clone(), found));
        }
        if splits.is_empty() {
            // Only a folder is named; the files' names say the rest.
            let all: Vec<String> = below.into_iter().filter(|file| is_data(file)).cloned().collect();
            splits.push((String::new(), all));
        }
        if splits.iter().all(|(_, files)| files.is_empty()) {
            return Err(format!("none of its files is what {CARD} names for the configuration {}", configuration.name));
        }
        Ok(splits)
    }

    fn choose(&self, subset: Option<&str>) -> Result<&Configuration, String> {
        let all = &self.configurations;
        let names = || all.iter().map(|configuration| configuration.name.as_str()).collect::<Vec<_>>().join(", ");
        if let Some(subset) = subset {
            let found = all.iter().find(|configuration| configuration.name == subset);
            return found.ok_or_else(|| format!("{CARD} names no configuration {subset}, but {}", names()));
        }
        let default = all.iter().find(|configuration| configuration.is_default);
        let default = default.or_else(|| all.iter().find(|configuration| configuration.name == "default"));
        match (default, all.as_slice()) {
            (Some(default), _) | (None, [default]) => Ok(default),
            _ => Err(format!("it has several configurations; name one of them as subset: {}", names())),
        }
    }
}

/// The text between the lines of dashes at the beginning.
fn front_matter(readme: &str) -> Option<String> {
    let mut lines = readme.trim_start_matches('\u{feff}').lines();
    if lines.next()?.trim_end() != "---" {
        return None;
    }
    let mut yaml = String::new();
    for line in lines {
        if line.trim_end() == "---" {
            return Some(yaml);
        }
        yaml.push_str(line);
        yaml.push('\n');
    }
    None
}

fn configuration(entry: &Json) -> Result<Configuration, String> {
    let name = entry["config_name"].as_str().ok_or_else(|| format!("a configuration of {CARD} has no config_name"))?.to_string();
    let wrong = || format!("data_files of the configuration {name} in {CARD} are no paths of files");
    let paths = |value: &Json| match value {
        Json::String(path) => Ok(vec![path.clone()]),
        Json::Array(list) => list.iter().map(|path| path.as_str().map(str::to_string).ok_or_else(wrong)).collect(),
        _ => Err(wrong()),
    };
    let splits = match &entry["data_files"] {
        Json::Null => Vec::new(),
        Json::Array(list) if list.iter().all(Json::is_object) => list
            .iter()
            .map(|part| Ok((part["split"].as_str().unwrap_or("train").to_string(), paths(&part["path"])?)))
            .collect::<Result<Vec<_>, String>>()?,
        Json::Object(splits) => splits.iter().map(|(split, path)| Ok((split.clone(), paths(path)?))).collect::<Result<Vec<_>, String>>()?,
        plain => vec![("train".to_string(), paths(plain)?)],
    };
    let folder = entry["data_dir"].as_str().map(|folder| folder.trim_matches('/').to_string()).filter(|folder| !folder.is_empty());
    Ok(Configuration { is_default: entry["default"] == true, name, splits, folder })
}

/// A pattern of paths as a regular expression: `*` and `?` stay within a folder, `**` does not.
fn regex_of(pattern: &str) -> Result<Regex, String> {
    let wrong = || format!("{CARD} names the files {pattern:?}, which is no pattern that is read");
    if pattern.len() > MAX_PATTERN {
        return Err(format!("{CARD} has a pattern of {} characters", pattern.len()));
    }
    let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
    let (mut regex, mut rest, mut braces) = (String::from("(?s)^"), pattern.chars().peekable(), 0);
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.peek() == Some(&'*') => {
                rest.next();
                match rest.next_if_eq(&'/') {
                    Some(_) => regex.push_str("(?:.*/)?"),
                    None => regex.push_str(".*"),
                }
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '[' => {
                let mut class = String::new();
                let negated = rest.next_if_eq(&'!').is_some();
                loop {
                    match rest.next() {
                        Some(']') if !class.is_empty() => break,
                        Some('-') => class.push('-'),
                        Some(c) => class.push_str(&escaped(c)),
                        None => return Err(wrong()),
                    }
                }
                regex.push_str(&format!("[{}{class}]", if negated { "^" } else { "" }));
            }
            '{' => {
                braces += 1;
                regex.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                regex.push(')');
            }
            ',' if braces > 0 => regex.push('|'),
            c => regex.push_str(&escaped(c)),
        }
    }
    regex.push('$');
    Regex::new(&regex).map_err(|_| wrong())
}

fn escaped(c: char) -> String {
    fancy_regex::escape(c.encode_utf8(&mut [0; 4])).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 8] = [
        "README.md",
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "data/test-00000-of-00001.parquet",
        "en/train.jsonl",
        "en/held/out.jsonl",
        "de/train.jsonl",
        "talks.csv",
    ];

    fn files() -> Vec<String> {
        FILES.map(String::from).to_vec()
    }

    fn card(configs: &str) -> Card {
        let readme = format!("---\nlicense: mit\nsize: [1K<n<10K]\nconfigs:\n{configs}---\n# Talks\n");
        Card::parse(&readme).unwrap_or_else(|e| panic!("{e}")).expect("it has configurations")
    }

    fn splits(card: &Card, subset: Option<&str>) -> Vec<(String, Vec<String>)> {
        card.splits(subset, &files()).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn configurations_say_which_files_are_meant() {
        let talks = card(
            "- config_name: main\n  default: true\n  data_files:\n  - split: train\n    path: data/train-*\n  - split: test\n    path: \"data/test-*\"\n\
             - config_name: en\n  data_files: \"en/**\"\n- config_name: both\n  data_files:\n    train: [en/train.jsonl, \"de/*.jsonl\"]\n    validation: \"en/held/[!x]ut.{csv,jsonl}\"\n\
             - config_name: plain\n  data_dir: de\n",
        );
        let of = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let main = splits(&talks, None);
        assert_eq!(main, splits(&talks, Some("main")));
        assert_eq!(main[0], ("train".into(), of(&FILES[1..3])));
        assert_eq!(main[1], ("test".into(), of(&FILES[3..4])));
        assert_eq!(splits(&talks, Some("en")), [("train".to_string(), of(&FILES[4..6]))]);
        let both = splits(&talks, Some("both"));
        assert_eq!(both[0].1, of(&["en/train.jsonl", "de/train.jsonl"]));
        assert_eq!(both[1], ("validation".into(), of(&["en/held/out.jsonl"])));
        assert_eq!(splits(&talks, Some("plain")), [(String::new(), of(&["de/train.jsonl"]))]);
        assert!(talks.splits(Some("fr"), &files()).expect_err("none").contains("no configuration fr, but main, en, both, plain"));
        let two = card("- config_name: a\n  data_files: a.csv\n- config_name: b\n  data_files: talks.csv\n");
        assert!(two.splits(None, &files()).expect_err("two").contains("name one of them as subset: a, b"));
        assert!(two.splits(Some("a"), &files()).expect_err("gone").contains("none of its files"));
        assert_eq!(splits(&card("- config_name: only\n  data_files: talks.csv\n"), None)[0].1, of(&["talks.csv"]));
    }

    #[test]
    fn a_card_without_configurations_says_nothing() {
        for readme in ["# Talks", "", "---\nlicense: mit\n---\n", "---\nconfigs: []\n---\n", "---\nconfigs:\n- config_name: a\n"] {
            assert_eq!(Card::parse(readme), Ok(None), "{readme:?}");
        }
        assert!(Card::parse("---\nconfigs:\n- data_files: a\n---\n").expect_err("no name").contains("config_name"));
        assert!(Card::parse("---\nconfigs:\n- config_name: a\n  data_files: 3\n---\n").expect_err("no path").contains("configuration a"));
        assert!(Card::parse("---\nconfigs: [\n---\n").expect_err("no YAML").contains("cannot be read"));
        assert!(regex_of("[ab").is_err() && regex_of(&"*".repeat(600)).is_err());
    }
}
