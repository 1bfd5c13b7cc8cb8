//! What the device reaches: the figures of `rootstock bench`.

use serde::Serialize;
#[cfg(test)]
use ts_rs::TS;

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Speed {
    /// The device's name.
    pub device: String,
    /// Floating-point operations a second, measured.
    pub peak_flops: f64,
    /// Bytes a second of a large copy, measured.
    pub peak_bandwidth: f64,
    /// Training steps.
    pub steps: Vec<SpeedStep>,
    /// Answers.
    pub answers: Vec<SpeedAnswer>,
    /// The kernels of a full training step that take longest.
    pub kernels: Vec<SpeedKernel>,
    /// Everything as text, as `rootstock bench` prints it.
    pub text: String,
}

/// A training step.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct SpeedStep {
    /// Whose shape.
    pub model: String,
    /// `full` or `lora`.
    pub method: String,
    /// Sequences × tokens.
    pub batch: String,
    /// Tokens a second.
    pub tokens_per_second: f64,
    /// Share of the measured peak.
    pub utilisation: f64,
}

/// Writing an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct SpeedAnswer {
    /// Whose shape.
    pub model: String,
    /// Tokens a second.
    pub tokens_per_second: f64,
    /// Share of what the measured copy's bandwidth allows over the weights.
    pub fraction_of_bandwidth: f64,
}

/// A kernel at one shape.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct SpeedKernel {
    /// Its name and variant.
    pub name: String,
    /// m × n × k, or the bytes that it binds.
    pub shape: String,
    /// How often a step runs it.
    pub count: u64,
    /// Share of the time of all kernels of the step.
    pub share: f64,
    /// Share of the measured peak: of arithmetic, or of bandwidth where operations do not count.
    pub fraction_of_peak: f64,
}
