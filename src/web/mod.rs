//! The page's worker: what it does for the page, and the messages between the two.
//!
//! All but `bindings` compiles natively too, so that it is tested without a browser.

#[cfg(target_arch = "wasm32")]
mod bindings;
pub mod messages;
pub mod session;
#[cfg(test)]
mod typescript;

#[cfg(target_arch = "wasm32")]
pub use bindings::*;
