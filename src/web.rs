//! What the browser's worker calls.

use serde_json::json;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::plan::kernels;

/// Runs once when the module is loaded: a panic, which only a bug can cause, is written to the console with its place.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// Every shader module with its shared pieces in front, as JSON `[{"name", "wgsl"}]`.
#[wasm_bindgen]
pub fn shader_sources() -> String {
    let sources = kernels::ALL.iter().map(|shader| json!({ "name": shader.name, "wgsl": shader.wgsl }));
    sources.collect::<serde_json::Value>().to_string()
}
