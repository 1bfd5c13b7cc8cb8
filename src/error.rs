//! The one error type. Every variant carries the place (file, line, tensor, key) and a sentence that a user can act on; `main` or
//! the page shows it, once. Code that must decide asks for the [`Cause`] and never reads the sentence. Parts of a sentence may come
//! from files of strangers; they are shown escaped.

mod shown;

use std::fmt;
use std::sync::Arc;

pub use shown::{on_one_line, visible};

/// What every fallible function of the library returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is behind an error, for code that must decide. More than one sentence can have the same cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// There is no such file or directory.
    NotFound,
    /// The operating system or the browser does not allow it.
    PermissionDenied,
    /// The name is taken.
    AlreadyExists,
    /// Another command or another tab is writing there.
    InUse,
    /// The disk or the browser's quota is full.
    NoSpace,
    /// A symbolic link whose target is missing.
    BrokenLink,
    /// A name or a link that leads out of the directory.
    OutsideDirectory,
    /// A git-lfs pointer stands in place of the file.
    LfsPointer,
    /// The file ends before its content does.
    Truncated,
    /// The file is larger than any of its kind can be.
    TooLarge,
    /// The file is not JSON, or holds no object.
    NotJson,
    /// A value of another type than the field has.
    WrongType,
    /// None of these.
    #[default]
    Other,
}

/// The error of another library that an [`Error`] was made from.
#[derive(Debug, Clone)]
pub struct ErrorSource(Arc<dyn std::error::Error + Send + Sync>);

impl fmt::Display for ErrorSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ErrorSource {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Two sources are equal when they say the same.
impl PartialEq for ErrorSource {
    fn eq(&self, other: &ErrorSource) -> bool {
        self.to_string() == other.to_string()
    }
}

/// Everything that can go wrong, in words for the person at the keyboard.
///
/// `reason` is a full clause that names the numbers and, where there is one, the way out.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be found, read or written.
    #[error("{}: {}", on_one_line(.path), on_one_line(.reason))]
    File {
        /// The path as the user wrote it, or inside the directory that was given.
        path: String,
        /// What is wrong and what to do.
        reason: String,
        /// For code that must decide.
        cause: Cause,
        /// The error of the operating system or a library behind it.
        source: Option<ErrorSource>,
    },
    /// The disk (or the browser's quota) is full. Nothing that was there before was touched.
    #[error("{}: no space left on the device; what was there before is untouched, free some space and run again", on_one_line(.path))]
    NoSpace {
        /// The file that was being written.
        path: String,
    },
    /// A line of a text file (dataset, recipe, JSON) is wrong.
    #[error("{}, {} {line}: {}", on_one_line(.path), counted(.path), on_one_line(.reason))]
    Line {
        /// The file.
        path: String,
        /// 1-based line; of a Parquet file the row.
        line: usize,
        /// What is wrong and what to do.
        reason: String,
        /// For code that must decide.
        cause: Cause,
        /// The error of the operating system or a library behind it.
        source: Option<ErrorSource>,
    },
    /// A model's `config.json` (or another JSON file of a checkpoint) holds something that cannot be used.
    #[error("{}: {}", on_one_line(.file), on_one_line(.reason))]
    Config {
        /// The file, mostly `config.json`.
        file: String,
        /// The field, empty when the whole file is meant.
        field: String,
        /// What is wrong and what to do.
        reason: String,
        /// For code that must decide.
        cause: Cause,
        /// The error of the operating system or a library behind it.
        source: Option<ErrorSource>,
    },
    /// A tensor is missing, superfluous, of the wrong shape or type, or damaged.
    #[error("{}: {}: {}", on_one_line(.file), on_one_line(.tensor), on_one_line(.reason))]
    Tensor {
        /// The file that holds it or should.
        file: String,
        /// The tensor's name in the file.
        tensor: String,
        /// What is wrong and what to do.
        reason: String,
        /// For code that must decide.
        cause: Cause,
        /// The error of the operating system or a library behind it.
        source: Option<ErrorSource>,
    },
    /// A directory is not the model that it should be; every fault in a sentence of its own.
    #[error("{}{}", on_one_line(.path), list(faults))]
    NotReady {
        /// The directory.
        path: String,
        /// What is wrong, what blocks most first.
        faults: Vec<String>,
    },
    /// A recipe has several faults; every one in a sentence of its own.
    #[error("{}: {} faults, nothing was done:{}", on_one_line(.path), .faults.len(), lines(faults))]
    Faults {
        /// The recipe.
        path: String,
        /// Line, key, what is wrong and what to do; in the recipe's order.
        faults: Vec<String>,
    },
    /// The report that the command has printed says what is wrong; only the exit status remains to be set.
    #[error("the report says what is wrong")]
    Judged,
    /// A recipe key or value, or a command line option, is wrong.
    #[error("{}: {}", on_one_line(.key), on_one_line(.reason))]
    Recipe {
        /// The key as LLaMA-Factory spells it.
        key: String,
        /// What is wrong and what to do, the nearest known key included.
        reason: String,
    },
    /// The dataset as a whole cannot be trained or evaluated on.
    #[error("{}: {}", on_one_line(.dataset), on_one_line(.reason))]
    Dataset {
        /// Its path or its name in dataset_info.json.
        dataset: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Some records of a dataset cannot be learned from.
    #[error(
        "{}: {count} of {records} records cannot be used; mend them, or leave them out with on_bad_record: skip{}",
        on_one_line(.dataset),
        some_of(faults, *count)
    )]
    Records {
        /// Its path or its name in dataset_info.json.
        dataset: String,
        /// How many are wrong.
        count: usize,
        /// Of so many.
        records: usize,
        /// What is wrong with the first of them, with file and line.
        faults: Vec<String>,
    },
    /// No device, or one that lacks what is needed.
    #[error("{}", on_one_line(.reason))]
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
    #[error("{}", on_one_line(.reason))]
    Gpu {
        /// What happened, what was kept and how to go on.
        reason: String,
    },
    /// Training stopped because a number was no longer finite.
    #[error("step {step}: {}", on_one_line(.reason))]
    NotFinite {
        /// The optimiser step (1-based) at which it was seen.
        step: u64,
        /// Loss or gradient norm, the likely cause, and where the last good state is.
        reason: String,
    },
    /// A request of a page came before what it needs, or while something else goes on.
    #[error("{}", on_one_line(.reason))]
    OutOfTurn {
        /// What is missing or in the way, and what to do first.
        reason: String,
    },
    /// The user asked to stop (Ctrl-C); what was finished is kept.
    #[error("{}", on_one_line(.reason))]
    Interrupted {
        /// What was kept and how to go on.
        reason: String,
    },
}

/// One sentence, or a list of them.
fn list(faults: &[String]) -> String {
    match faults {
        [one] => format!(": {}", on_one_line(one)),
        several => format!(" is not a model that can be used:{}", lines(several)),
    }
}

/// What is counted in a file: a table of columns has rows and no lines.
fn counted(path: &str) -> &'static str {
    if path.ends_with(".parquet") { "row" } else { "line" }
}

/// Each on a line of its own.
fn lines(faults: &[String]) -> String {
    faults.iter().map(|fault| format!("\n  - {}", on_one_line(fault))).collect()
}

/// The first faults, each on a line, and how many more there are.
fn some_of(faults: &[String], count: usize) -> String {
    let mut lines: String = faults.iter().map(|fault| format!("\n  - {}", on_one_line(fault))).collect();
    if count > faults.len() {
        lines.push_str(&format!("\n  and {} more", count - faults.len()));
    }
    lines
}

impl Error {
    /// A [`Error::File`].
    pub fn file(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::File { path: path.into(), reason: reason.into(), cause: Cause::Other, source: None }
    }

    /// A [`Error::Line`]; `line` counts from 1.
    pub fn line(path: impl Into<String>, line: usize, reason: impl Into<String>) -> Self {
        Error::Line { path: path.into(), line, reason: reason.into(), cause: Cause::Other, source: None }
    }

    /// A [`Error::Config`] about one field.
    pub fn config(file: impl Into<String>, field: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Config { file: file.into(), field: field.into(), reason: reason.into(), cause: Cause::Other, source: None }
    }

    /// A [`Error::Tensor`].
    pub fn tensor(file: impl Into<String>, tensor: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Tensor { file: file.into(), tensor: tensor.into(), reason: reason.into(), cause: Cause::Other, source: None }
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

    /// An [`Error::OutOfTurn`].
    pub fn out_of_turn(reason: impl Into<String>) -> Self {
        Error::OutOfTurn { reason: reason.into() }
    }

    /// Says what is behind it, for code that must decide. A variant without a place in a file has no cause to set.
    #[must_use]
    pub fn because(mut self, because: Cause) -> Self {
        if let Error::File { cause, .. } | Error::Line { cause, .. } | Error::Config { cause, .. } | Error::Tensor { cause, .. } = &mut self
        {
            *cause = because;
        }
        self
    }

    /// Keeps the error that it was made from, for [`source`](std::error::Error::source).
    #[must_use]
    pub fn caused_by(mut self, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        if let Error::File { source, .. } | Error::Line { source, .. } | Error::Config { source, .. } | Error::Tensor { source, .. } =
            &mut self
        {
            *source = Some(ErrorSource(Arc::new(error)));
        }
        self
    }

    /// What is behind it.
    pub fn cause(&self) -> Cause {
        match self {
            Error::File { cause, .. } | Error::Line { cause, .. } | Error::Config { cause, .. } | Error::Tensor { cause, .. } => *cause,
            Error::NoSpace { .. } => Cause::NoSpace,
            _ => Cause::Other,
        }
    }

    /// Names the file in another way, such as by its directory's path in front.
    #[must_use]
    pub fn renamed(mut self, name: impl FnOnce(String) -> String) -> Self {
        if let Error::File { path, .. }
        | Error::NoSpace { path }
        | Error::Line { path, .. }
        | Error::Config { file: path, .. }
        | Error::Tensor { file: path, .. } = &mut self
        {
            *path = name(std::mem::take(path));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn an_error_keeps_its_cause_and_its_source_and_can_be_compared() {
        let io = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let error = Error::file("a", "permission denied").because(Cause::PermissionDenied).caused_by(io());
        assert_eq!((error.cause(), error.to_string().as_str()), (Cause::PermissionDenied, "a: permission denied"));
        assert_eq!(error.source().map(ToString::to_string), Some(io().to_string()));
        assert_eq!(error, error.clone());
        assert_ne!(error, Error::file("a", "permission denied"));
        assert_eq!(error.renamed(|path| format!("d/{path}")).to_string(), "d/a: permission denied");
        assert_eq!(Error::NoSpace { path: "a".into() }.cause(), Cause::NoSpace);
        assert_eq!(Error::gpu("lost").because(Cause::NotFound).cause(), Cause::Other);
    }
}
