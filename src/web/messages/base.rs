//! The device, and the base: where a model is, and the results of opening and repairing it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
#[cfg(test)]
use ts_rs::TS;

use super::SettingValue;
use crate::validate::Report;
#[cfg(test)]
use crate::validate::Severity;

/// The graphics device.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Device {
    /// The name that the browser gives.
    pub name: String,
    /// Its family, which decides about its kernels: `nvidia-like`, `amd`, `apple` …
    pub family: String,
    /// Whether the processor computes: correct, and slow.
    pub software: bool,
    /// Half precision in shaders.
    pub f16: bool,
    /// Subgroup operations.
    pub subgroups: bool,
    /// The largest buffer.
    pub max_buffer_bytes: u64,
    /// The largest part of a buffer that a shader sees at once.
    pub max_binding_bytes: u64,
    /// Memory for buffers, where the browser tells.
    pub memory_bytes: Option<u64>,
}

/// Where a base is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BaseSource {
    /// The model that comes with the page.
    Embedded,
    /// A folder that the user gave; its files travel beside the request.
    Files {
        /// The folder's name.
        name: String,
    },
    /// A model's id on Hugging Face (`owner/name`, `owner/name@revision`) or the address of a folder. The network is used for this only.
    Url {
        /// The id or the address.
        url: String,
    },
    /// A run or a model that is kept in this browser.
    Run {
        /// Its id.
        id: String,
    },
    /// The model that an adapter kept in this browser belongs to, where its run gave the model new tokens.
    Grown {
        /// The adapter's id.
        id: String,
    },
}

/// An opened base.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Base {
    /// What to call it.
    pub name: String,
    /// Its files.
    pub files: Vec<FileSize>,
    /// The validation's report, from the headers.
    pub report: Report,
    /// Fields of config.json that a person compares.
    pub config: BTreeMap<String, SettingValue>,
    /// Whether it brings a chat template.
    pub chat_template: bool,
    /// Whether it is the embedded model or was made from it: the page's examples are written for that.
    pub village: bool,
}

/// A repaired base.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Repaired {
    /// The repaired copy, open.
    pub base: Base,
    /// What was done, a sentence each.
    pub done: Vec<String>,
    /// Its id among the stored models.
    pub id: String,
}

/// A file and its size.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct FileSize {
    /// Path inside the directory.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
}

/// The progress of a long task.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Progress {
    /// What is being done.
    pub what: String,
    /// How much is done.
    pub done: u64,
    /// How much there is; unknown where a server does not say.
    pub total: Option<u64>,
    /// What is counted.
    pub unit: Unit,
}

/// What progress counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(TS))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Unit {
    Bytes,
    Steps,
    Samples,
    Tensors,
    Prompts,
    Kernels,
    Tokens,
}

/// A finding of the validator, as its report writes it.
#[cfg(test)]
#[derive(TS)]
#[expect(dead_code, reason = "stands for the report's own serialisation in TypeScript")]
pub(crate) struct Finding {
    /// Which fault of the table in docs/checkpoint-faults.md.
    #[ts(type = "FindingCode")]
    code: String,
    severity: Severity,
    /// Plain words.
    message: String,
    /// The message with braces for its values, the same for each of its kind; nothing where the message comes from elsewhere.
    pattern: Option<String>,
    /// What stands in place of the pattern's braces, in their order.
    values: Vec<String>,
    file: Option<String>,
    tensor: Option<String>,
    /// What a repair does, or nothing where a person has to act.
    repair: Option<String>,
}
