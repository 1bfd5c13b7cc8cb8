//! The estimate of a run: memory, steps, time.

use serde::Serialize;
#[cfg(test)]
use ts_rs::TS;

use super::Settings;

/// What a run would need and do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Estimate {
    /// Parameters that are trained.
    pub trainable: u64,
    /// All parameters.
    pub parameters: u64,
    /// GPU memory.
    pub memory: EstimateMemory,
    /// What the device offers; unknown in many browsers.
    pub available: Option<u64>,
    /// Whether it fits, as far as that is known.
    pub fits: bool,
    /// A sentence where it does not.
    pub obstacle: Option<String>,
    /// What would make it fit.
    pub suggestions: Vec<Suggestion>,
    /// Optimiser steps.
    pub steps: u64,
    /// Bytes that the run's snapshots and its result will take in this browser.
    pub storage_bytes: u64,
    /// Answers that the model would write on the way.
    pub answers: u64,
    /// Seconds that they would take, which `seconds` does not hold; unknown before a model answered on this device.
    pub answer_seconds: Option<f64>,
    /// Seconds that it would take; unknown before anything was measured here.
    pub seconds: Option<f64>,
    /// Notices about the settings.
    pub notices: Vec<String>,
}

/// GPU memory of a run in bytes, as planned.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
#[expect(missing_docs, reason = "the names say it")]
pub struct EstimateMemory {
    pub weights: u64,
    pub gradients: u64,
    pub optimizer: u64,
    pub activations: u64,
    pub other: u64,
    pub peak: u64,
}

/// What would make a run smaller.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Suggestion {
    /// In words.
    pub words: String,
    /// As keys to set; empty where a person has to choose.
    pub set: Settings,
}
