//! The page's worker: what it does for the page, and the messages between the two.
//!
//! Everything except `bindings` also compiles natively, so it is tested without a browser.

#[cfg(target_arch = "wasm32")]
mod bindings;
pub mod messages;
pub mod session;
#[cfg(test)]
mod typescript;

#[cfg(target_arch = "wasm32")]
pub use bindings::*;
