//! Why a request failed, for code and for people.

use serde::Serialize;
#[cfg(test)]
use ts_rs::TS;

use crate::error::{Cause, Error};

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Failure {
    /// What kind of failure it is.
    pub code: FailureCode,
    /// What happened, where, and what to do.
    pub sentence: String,
    /// What it is about.
    pub place: Place,
}

/// What a failure is about. What does not apply is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
#[cfg_attr(test, ts(optional_fields))]
pub struct Place {
    /// The file, inside the folder that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The field of a JSON file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The tensor of a weight file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
    /// The recipe's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The dataset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The training step, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(TS))]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// There is no such file, folder or stored run.
    NotFound,
    /// The browser does not allow it.
    PermissionDenied,
    /// The name is taken.
    AlreadyExists,
    /// Another tab is writing there.
    InUse,
    /// The browser's quota is full.
    NoSpace,
    /// A file ends before its content does.
    Truncated,
    /// A file is larger than any of its kind can be.
    TooLarge,
    /// A file is not JSON, or holds no object.
    NotJson,
    /// A value of another type than the field has.
    WrongType,
    /// Something else is wrong with a file, or it cannot be fetched.
    File,
    /// A line of a text file is wrong.
    Line,
    /// A field of config.json cannot be used.
    Config,
    /// A tensor is missing, superfluous, of the wrong shape or type, or damaged.
    Tensor,
    /// The folder is not a model that can be used; its report says why.
    NotReady,
    /// A key or a value of the recipe is wrong.
    Recipe,
    /// The data as a whole cannot be learned from.
    Dataset,
    /// Some records cannot be learned from.
    Records,
    /// There is no device, or it lacks what is needed.
    Device,
    /// The run does not fit into the memory of the device.
    TooLittleMemory,
    /// The device was lost or refused a command.
    Gpu,
    /// A number was no longer finite.
    NotFinite,
    /// The request came before what it needs, or while something else goes on.
    OutOfTurn,
    /// The request was cancelled.
    Cancelled,
    /// The request itself cannot be read.
    Request,
}

impl Failure {
    /// A request that cannot be read.
    pub fn unreadable(sentence: String) -> Failure {
        Failure { code: FailureCode::Request, sentence, place: Place::default() }
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Failure {
        let (code, place) = kind(error);
        let code = match error.cause() {
            Cause::NotFound | Cause::BrokenLink => FailureCode::NotFound,
            Cause::PermissionDenied | Cause::OutsideDirectory => FailureCode::PermissionDenied,
            Cause::AlreadyExists => FailureCode::AlreadyExists,
            Cause::InUse => FailureCode::InUse,
            Cause::NoSpace => FailureCode::NoSpace,
            Cause::Truncated => FailureCode::Truncated,
            Cause::TooLarge => FailureCode::TooLarge,
            Cause::NotJson => FailureCode::NotJson,
            Cause::WrongType => FailureCode::WrongType,
            Cause::LfsPointer | Cause::Other => code,
        };
        Failure { code, sentence: error.to_string(), place }
    }
}

/// What an error is by its variant, and its place.
fn kind(error: &Error) -> (FailureCode, Place) {
    let none = Place::default();
    let file = |path: &String| Place { file: Some(path.clone()), ..Place::default() };
    let dataset = |name: &String| Place { dataset: Some(name.clone()), ..Place::default() };
    match error {
        Error::File { path, .. } => (FailureCode::File, file(path)),
        Error::NoSpace { path } => (FailureCode::NoSpace, file(path)),
        Error::Line { path, line, .. } => (FailureCode::Line, Place { line: Some(*line), ..file(path) }),
        Error::Config { file: path, field, .. } => {
            (FailureCode::Config, Place { field: Some(field.clone()).filter(|field| !field.is_empty()), ..file(path) })
        }
        Error::Tensor { file: path, tensor, .. } => (FailureCode::Tensor, Place { tensor: Some(tensor.clone()), ..file(path) }),
        Error::NotReady { path, .. } => (FailureCode::NotReady, file(path)),
        Error::Judged => (FailureCode::NotReady, none),
        Error::Faults { path, .. } => (FailureCode::Recipe, file(path)),
        Error::Recipe { key, .. } => (FailureCode::Recipe, Place { key: Some(key.clone()), ..none }),
        Error::Dataset { dataset: name, .. } => (FailureCode::Dataset, dataset(name)),
        Error::Records { dataset: name, .. } => (FailureCode::Records, dataset(name)),
        Error::Device { .. } => (FailureCode::Device, none),
        Error::TooLittleMemory { .. } => (FailureCode::TooLittleMemory, none),
        Error::Gpu { .. } => (FailureCode::Gpu, none),
        Error::NotFinite { step, .. } => (FailureCode::NotFinite, Place { step: Some(*step), ..none }),
        Error::OutOfTurn { .. } => (FailureCode::OutOfTurn, none),
        Error::Interrupted { .. } => (FailureCode::Cancelled, none),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_a_code_and_a_place() {
        let failure = Failure::from(&Error::line("data.jsonl", 3, "this is not JSON").because(Cause::NotJson));
        let json = serde_json::to_value(&failure).expect("it can be written");
        let expected = serde_json::json!({
            "code": "not_json", "sentence": "data.jsonl, line 3: this is not JSON", "place": { "file": "data.jsonl", "line": 3 },
        });
        assert_eq!(json, expected);
        let failure = Failure::from(&Error::recipe("learning_rat", "there is no such key"));
        assert_eq!((failure.code, failure.place.key.as_deref()), (FailureCode::Recipe, Some("learning_rat")));
        let failure = Failure::from(&Error::out_of_turn("no base is open"));
        assert_eq!((failure.code, failure.sentence.as_str(), failure.place), (FailureCode::OutOfTurn, "no base is open", Place::default()));
    }
}
