//! What a request is refused with, in OpenAI's form.

use hyper::StatusCode;
use rootstock::Error;
use serde_json::{Value as Json, json};

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    /// What is wrong and what to do.
    pub(super) sentence: String,
    /// The part of the request that is wrong.
    pub(super) param: Option<String>,
    /// For programs that decide by it.
    pub(super) code: Option<&'static str>,
}

impl Fault {
    pub(super) fn new(status: StatusCode, sentence: impl Into<String>) -> Fault {
        Fault { status, sentence: sentence.into(), param: None, code: None }
    }

    /// A request that cannot be answered as it is.
    pub(super) fn bad(param: impl Into<String>, sentence: impl Into<String>) -> Fault {
        Fault { param: Some(param.into()), ..Fault::new(StatusCode::BAD_REQUEST, sentence) }
    }

    pub(super) fn coded(self, code: &'static str) -> Fault {
        Fault { code: Some(code), ..self }
    }

    /// The request's fault where the library names a part of it, else the server's.
    pub(super) fn of(error: &Error) -> Fault {
        match error {
            Error::Recipe { key, reason } => Fault::bad(key, format!("{key}: {reason}")),
            // The chat template's own words.
            Error::Config { reason, .. } => Fault::bad("messages", reason.as_str()),
            other => Fault::new(StatusCode::INTERNAL_SERVER_ERROR, other.to_string()),
        }
    }

    /// OpenAI's object.
    pub(super) fn json(&self) -> Json {
        let kind = match self.status.as_u16() {
            500.. => "server_error",
            401 => "authentication_error",
            403 | 421 => "permission_error",
            404 => "not_found_error",
            _ => "invalid_request_error",
        };
        json!({"error": {"message": self.sentence, "type": kind, "param": self.param, "code": self.code}})
    }
}
