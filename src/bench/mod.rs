//! `rootstock bench`: measures the device's peaks, and every kernel, whole training steps and writing as a share of them, in one run.

mod generation;
mod loading;
mod peaks;
mod products;
mod steps;
mod text;
mod tuning;

use std::rc::Rc;

use serde::Serialize;

use crate::error::Result;
use crate::gpu::Gpu;

pub use generation::GenerationResult;
pub use loading::{LoadingResult, load};
pub use peaks::{Peaks, measure as measure_peaks};
pub use products::ProductResult;
pub use steps::{Shape, Tuned, speed};
pub use text::text;
pub use tuning::{BUDGET, tune};

/// What a kernel reaches at one shape.
#[derive(Debug, Clone, Serialize)]
pub struct KernelResult {
    /// The model whose step or answer it was measured in.
    pub model: &'static str,
    /// What was measured: a step's method (`full`, `lora`, …) or `generation`.
    pub measured: &'static str,
    /// The kernel's file name without its variant.
    pub name: String,
    /// M × N × K of a matrix product; else the bytes that it binds.
    pub shape: String,
    /// `subgroup`, `registers`, `tiled`, `vector`, or empty for a kernel with one form; and the weights' type.
    pub variant: String,
    /// How often a step runs it.
    pub count: usize,
    /// Seconds of all those together.
    pub seconds: f64,
    /// Floating-point operations a second (0 where they do not count).
    pub flops: f64,
    /// Bytes a second, each bound byte counted once.
    pub bandwidth: f64,
    /// Arithmetic over the peak where operations are counted, else bandwidth over the peak: above 1 for what stays in a cache,
    /// since the peak is that of a copy that no cache holds.
    pub fraction_of_peak: f64,
}

/// What a whole training step reaches.
#[derive(Debug, Clone, Serialize)]
pub struct StepResult {
    /// Whose shape.
    pub model: &'static str,
    /// `full`, or `lora` (rank 8 on every linear map but the head, beside bf16 weights).
    pub method: &'static str,
    /// Sequences of a step.
    pub batch: usize,
    /// Tokens of a sequence.
    pub sequence: usize,
    /// Seconds of a step: forward, backward and update; the median.
    pub seconds: f64,
    /// Tokens a second.
    pub tokens_per_second: f64,
    /// The model's floating-point operations (6 a matmul parameter and token, 4 where it is frozen, 7·T·heads·head_dim·layers for attention) a second over the measured peak.
    pub utilisation: f64,
    /// Most GPU memory in use.
    pub peak_bytes: u64,
}

/// The document of `rootstock bench --json`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The device's name.
    #[serde(rename = "adapter")]
    pub device: String,
    /// Driver.
    pub driver: String,
    /// Floating-point operations a second of FMA chains.
    pub peak_flops: f64,
    /// Bytes a second of a large copy, read and written ones counted.
    pub peak_bandwidth: f64,
    /// Every kernel of the steps, step by step, the slowest of each first.
    pub kernels: Vec<KernelResult>,
    /// The steps.
    pub steps: Vec<StepResult>,
    /// Answers.
    pub generation: Vec<GenerationResult>,
    /// Products with weights of every type.
    pub products: Vec<ProductResult>,
}

/// What can be measured of a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// A training step and its kernels.
    Step(Tuned),
    /// An answer and its kernels.
    Generation,
    /// The products of a layer with weights of every type, whatever the shape.
    Products,
}

impl Measured {
    /// What is measured on request only: the same steps beside quantised weights, and products.
    pub const MORE: [Measured; 3] = [Measured::Step(Tuned::Lora8), Measured::Step(Tuned::Lora4), Measured::Products];

    /// Everything else.
    pub const ALL: [Measured; 3] = [Measured::Step(Tuned::Full), Measured::Step(Tuned::Lora), Measured::Generation];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Measured::Step(tuned) => tuned.name(),
            Measured::Generation => "generation",
            Measured::Products => "products",
        }
    }
}

/// Measures the peaks, and each of `what` for each of `shapes`. `progress` is called with what is measured next.
///
/// # Errors
/// [`crate::Error::Gpu`] when the device fails or has too little memory.
pub async fn run(gpu: &Rc<Gpu>, shapes: &[Shape], what: &[Measured], progress: &mut dyn FnMut(&str)) -> Result<Report> {
    progress("the device's peaks");
    let mut peaks = measure_peaks(gpu).await?;
    let mut report = Report {
        device: gpu.profile().name.clone(),
        driver: gpu.profile().driver.clone(),
        peak_flops: 0.0,
        peak_bandwidth: 0.0,
        kernels: Vec::new(),
        steps: Vec::new(),
        generation: Vec::new(),
        products: Vec::new(),
    };
    if what.contains(&Measured::Products) {
        progress("the products of a layer with weights of every type");
        report.products = products::measure(gpu).await?;
    }
    for shape in shapes {
        for measured in what {
            match measured {
                Measured::Step(tuned) => {
                    progress(&format!("a training step of {} ({})", shape.name, tuned.name()));
                    let (step, kernels) = steps::measure(gpu, shape, *tuned).await?;
                    // The share of the peak, once the peak is known.
                    report.steps.push(StepResult { utilisation: shape.model_flops(*tuned)? / step.seconds, ..step });
                    report.kernels.extend(kernels);
                }
                Measured::Generation => {
                    progress(&format!("an answer of {}", shape.name));
                    report.generation.push(generation::measure(gpu, shape).await?);
                }
                Measured::Products => {}
            }
        }
        // Other programs come and go: the peaks are the best of what was seen between the measurements.
        peaks = peaks.max(measure_peaks(gpu).await?);
    }
    report.peak_flops = peaks.flops;
    report.peak_bandwidth = peaks.bandwidth;
    let of_answers = report.generation.iter_mut().flat_map(|g| &mut g.kernels);
    for k in report.kernels.iter_mut().chain(of_answers) {
        k.fraction_of_peak = if k.flops > 0.0 { k.flops / peaks.flops } else { k.bandwidth / peaks.bandwidth };
    }
    for step in &mut report.steps {
        step.utilisation /= peaks.flops;
    }
    for g in &mut report.generation {
        g.fraction_of_bandwidth = g.weights_bytes as f64 / g.seconds / peaks.bandwidth;
    }
    Ok(report)
}
