//! The one error type. Every variant carries the place (file, line, tensor, key) and a sentence a user can act on;
//! it is shown once, by `main` or by the page, and nowhere else.

/// What every fallible function of the library returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, in words for the person at the keyboard.
///
/// `reason` is a full clause that names the numbers and, where there is one, the way out.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be found, read or written.
    #[error("{path}: {reason}")]
    File {
        /// The path as the user wrote it, or inside the directory that was given.
        path: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The disk (or the browser's quota) is full. Nothing that was there before was touched.
    #[error("{path}: no space left on the device; what was there before is untouched, free some space and run again")]
    NoSpace {
        /// The file that was being written.
        path: String,
    },
    /// A line of a text file (dataset, recipe, JSON) is wrong.
    #[error("{path}, line {line}: {reason}")]
    Line {
        /// The file.
        path: String,
        /// 1-based line.
        line: usize,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A model's `config.json` (or another JSON file of a checkpoint) holds something that cannot be used.
    #[error("{file}: {reason}")]
    Config {
        /// The file, mostly `config.json`.
        file: String,
        /// The field, empty when the whole file is meant.
        field: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A tensor is missing, superfluous, of the wrong shape or type, or damaged.
    #[error("{file}: {tensor}: {reason}")]
    Tensor {
        /// The file that holds it or should.
        file: String,
        /// The tensor's name in the file.
        tensor: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A directory is not the model that it should be; every fault in a sentence of its own.
    #[error("{path}{}", list(faults))]
    NotReady {
        /// The directory.
        path: String,
        /// What is wrong, what blocks most first.
        faults: Vec<String>,
    },
    /// A report that was already shown says that something is not good; nothing is left to say.
    #[error("the report says what is wrong")]
    Judged,
    /// A recipe key or value, or a command line option, is wrong.
    #[error("{key}: {reason}")]
    Recipe {
        /// The key as LLaMA-Factory spells it.
        key: String,
        /// What is wrong and what to do, the nearest known key included.
        reason: String,
    },
    /// The dataset as a whole cannot be trained or evaluated on.
    #[error("{dataset}: {reason}")]
    Dataset {
        /// Its path or its name in dataset_info.json.
        dataset: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// No device, or one that lacks what is needed.
    #[error("{reason}")]
    Device {
        /// What is missing and what to do.
        reason: String,
    },
    /// The run does not fit into the memory of the device; said before anything is allocated.
    #[error("this run needs {needed} of GPU memory and {device} offers {available}; {suggestion}")]
    TooLittleMemory {
        /// Human-readable bytes of the plan.
        needed: String,
        /// The device's name.
        device: String,
        /// Human-readable bytes that may be used.
        available: String,
        /// What would make it fit.
        suggestion: String,
    },
    /// The GPU was lost or refused a command in the middle of the work.
    #[error("{reason}")]
    Gpu {
        /// What happened, what was kept and how to go on.
        reason: String,
    },
    /// Training stopped because a number was no longer finite.
    #[error("step {step}: {reason}")]
    NotFinite {
        /// The optimiser step (1-based) at which it was seen.
        step: u64,
        /// Loss or gradient norm, the likely cause, and where the last good state is.
        reason: String,
    },
    /// The user asked to stop (Ctrl-C); what was finished is kept.
    #[error("{reason}")]
    Interrupted {
        /// What was kept and how to go on.
        reason: String,
    },
}

/// One sentence, or a list of them.
fn list(faults: &[String]) -> String {
    match faults {
        [one] => format!(": {one}"),
        several => {
            let lines: String = several.iter().map(|fault| format!("\n  - {fault}")).collect();
            format!(" is no model that can be used:{lines}")
        }
    }
}

impl Error {
    /// A [`Error::File`].
    pub fn file(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::File { path: path.into(), reason: reason.into() }
    }

    /// A [`Error::Line`]; `line` counts from 1.
    pub fn line(path: impl Into<String>, line: usize, reason: impl Into<String>) -> Self {
        Error::Line { path: path.into(), line, reason: reason.into() }
    }

    /// A [`Error::Config`] about one field.
    pub fn config(file: impl Into<String>, field: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Config { file: file.into(), field: field.into(), reason: reason.into() }
    }

    /// A [`Error::Tensor`].
    pub fn tensor(file: impl Into<String>, tensor: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Tensor { file: file.into(), tensor: tensor.into(), reason: reason.into() }
    }

    /// A [`Error::Recipe`].
    pub fn recipe(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Recipe { key: key.into(), reason: reason.into() }
    }

    /// A [`Error::Dataset`].
    pub fn dataset(dataset: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Dataset { dataset: dataset.into(), reason: reason.into() }
    }

    /// A [`Error::Device`].
    pub fn device(reason: impl Into<String>) -> Self {
        Error::Device { reason: reason.into() }
    }

    /// A [`Error::Gpu`].
    pub fn gpu(reason: impl Into<String>) -> Self {
        Error::Gpu { reason: reason.into() }
    }
}
