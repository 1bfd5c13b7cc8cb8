//! Files in a browser: those that the user chose, the origin private file system, and files at addresses; and locks between tabs.

mod files;
mod http;
mod locks;
mod opfs;
mod parquet;
pub(super) mod webgpu;

use js_sys::{Error as JsFault, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

pub use files::FileDirectory;
pub use http::HttpDirectory;
pub use opfs::OpfsDirectory;
pub(super) use opfs::storage;
pub(super) use parquet::{read_by as read_parquet_by, rows as parquet_rows};

use crate::error::{Cause, Error};

/// Awaits a promise and casts its value to `T`.
async fn wait<T: JsCast>(promise: Promise) -> Result<T, JsValue> {
    JsFuture::from(promise).await.map(JsCast::unchecked_into)
}

/// The name of a DOM exception, such as `QuotaExceededError`.
fn name_of(fault: &JsValue) -> String {
    Reflect::get(fault, &"name".into()).ok().and_then(|name| name.as_string()).unwrap_or_default()
}

/// What an exception says.
fn words_of(fault: &JsValue) -> String {
    fault.dyn_ref::<JsFault>().map_or_else(|| format!("{fault:?}"), |fault| String::from(fault.message()))
}

/// Converts a browser's exception about a file into an error.
fn file_error(path: String, fault: &JsValue) -> Error {
    let (cause, reason) = match name_of(fault).as_str() {
        "QuotaExceededError" => return Error::NoSpace { path },
        "NotFoundError" => (Cause::NotFound, "there is no such file"),
        "NoModificationAllowedError" => (Cause::PermissionDenied, "it is in use, probably by this page in another tab; close that one"),
        "NotReadableError" => {
            (Cause::PermissionDenied, "it can no longer be read; it was changed or moved since it was chosen: choose it again")
        }
        "SecurityError" => {
            (Cause::PermissionDenied, "this browser does not allow it here (a private window, or a frame of another site, perhaps)")
        }
        _ => return Error::file(path, words_of(fault)),
    };
    Error::file(path, reason).because(cause)
}
