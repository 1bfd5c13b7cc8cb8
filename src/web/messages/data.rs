//! Data: where it comes from, and its tokens.

use serde::{Deserialize, Serialize};
#[cfg(test)]
use ts_rs::TS;

/// A dataset that comes with the page.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Example {
    /// Its name.
    pub name: String,
    /// What it teaches.
    pub about: String,
    /// Its records.
    pub records: usize,
    /// The example to evaluate on.
    pub held_out: Option<String>,
    /// A few questions that the model does not learn from, with their right answers.
    pub asked: Vec<Exchange>,
}

/// The data that a model learns from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DataSource {
    /// One of the page's datasets.
    Example {
        /// Its name.
        name: String,
    },
    /// Files, pasted or given.
    Files {
        /// One after the other.
        files: Vec<DataFile>,
    },
}

/// A dataset file: its text, or the path of a file that travels beside the request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
pub struct DataFile {
    /// Its name; the ending says how it is read.
    pub name: String,
    /// What it holds, where that was typed or pasted.
    #[serde(default)]
    #[cfg_attr(test, ts(optional = nullable))]
    pub text: Option<String>,
    /// Where there is no text: the path of the file among those beside the request. It is read a piece at a time, and packed files are unpacked. What is prepared
    /// is known by this path, so another content has another one.
    #[serde(default)]
    #[cfg_attr(test, ts(optional = nullable))]
    pub file: Option<String>,
    /// Which of its columns are learned; without it its first record says.
    #[serde(default)]
    #[cfg_attr(test, ts(optional = nullable))]
    pub columns: Option<Columns>,
}

/// The columns of a table, or the fields of JSON records, that are learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
pub struct Columns {
    /// The question; or the text, where there is no answer.
    pub prompt: String,
    /// The answer.
    pub response: Option<String>,
}

/// A question and its right answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Exchange {
    /// The question.
    pub question: String,
    /// The answer.
    pub answer: String,
}

/// What a tokenizer makes of data.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Preview {
    /// Records read.
    pub records: usize,
    /// Samples to train on.
    pub samples: usize,
    /// Samples to evaluate on.
    pub evaluation_samples: usize,
    /// Tokens of the training samples.
    pub tokens: usize,
    /// Those that are learned.
    pub trained: usize,
    /// Records that were cut at cutoff_len.
    pub truncated: usize,
    /// Records that leave nothing to learn.
    pub dropped: usize,
    /// Tokens of the longest sample.
    pub longest: usize,
    /// The `cutoff_len` at which nothing is cut, or the model's own limit where that is lower.
    pub needs: usize,
    /// Notices about the data.
    pub notices: Vec<String>,
    /// Some samples.
    pub shown: Vec<PreviewSample>,
}

/// A sample as the model sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct PreviewSample {
    /// Its tokens.
    pub tokens: Vec<PreviewToken>,
    /// How many of them are learned.
    pub trained: usize,
    /// Whether it fills cutoff_len.
    pub truncated: bool,
    /// The line of the file that it began at.
    pub line: usize,
    /// Preferences: its answers, one after the other.
    pub answers: Vec<PreviewAnswer>,
}

/// An answer of a sample of preferences.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct PreviewAnswer {
    /// preferred, rejected, good, bad, or other: of another prompt, for comparison.
    pub role: String,
    /// One past its last token.
    pub end: usize,
}

/// A token of a sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct PreviewToken {
    /// Its text.
    pub text: String,
    /// Whether it is learned, or only read.
    pub trained: bool,
}
