//! How soon a model's weights are on the device.

use std::rc::Rc;

use serde::Serialize;
use web_time::Instant;

use crate::checkpoint::{Checkpoint, ModelSource};
use crate::engine::{Engine, EngineOptions, Method, Objective};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::optim::Optimizer;
use crate::platform::{Directory, processor_seconds};

/// What loading a model takes.
#[derive(Debug, Clone, Serialize)]
pub struct LoadingResult {
    /// Bytes of the weights as they are stored.
    pub stored_bytes: u64,
    /// Bytes that they take on the device.
    pub device_bytes: u64,
    /// Seconds until the last of them is there: the median of a few rounds.
    pub seconds: f64,
    /// Seconds that the processor's cores worked for it, all together; `None` where that cannot be told.
    pub processor_seconds: Option<f64>,
    /// Bytes of the model's files.
    pub file_bytes: u64,
    /// Seconds that reading these takes, in turns with loading: the median.
    pub read_seconds: f64,
    /// Loading over reading: the median of the rounds' own ratios.
    pub over_reading: f64,
    /// The same of the processor's seconds: what other programs disturb least.
    pub processor_over_reading: Option<f64>,
}

/// Rounds in which the files are read and the model is loaded.
const ROUNDS: usize = 5;

/// Bytes that are read at a time.
const READ_BYTES: u64 = 32 << 20;

/// Reads a model's files, loads its weights as [`ModelSource`] says that they are kept, and lets go of them, a few times in turns. The files are read once before, so that
/// they come from the system's memory where that holds them.
///
/// # Errors
/// What reading fails with; [`crate::Error::TooLittleMemory`] and [`crate::Error::Gpu`] of the device.
pub async fn load(gpu: &Rc<Gpu>, model: &Checkpoint, files: &dyn Directory, names: &[String]) -> Result<LoadingResult> {
    let (file_bytes, _) = read(files, names).await?;
    let (mut loads, mut reads, mut ratios, mut worked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = processor_seconds();
        let (_, reading) = read(files, names).await?;
        let reading_worked = processor_seconds().zip(before).map(|(after, before)| after - before);
        let loaded = load_once(gpu, model).await?;
        ratios.push(loaded.seconds / reading);
        worked.extend(loaded.processor_seconds.zip(reading_worked).map(|(load, read)| load / read));
        reads.push(reading);
        loads.push(loaded);
    }
    loads.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let Loaded { device_bytes, seconds, processor_seconds } = loads[ROUNDS / 2];
    let stored_bytes = model.params().iter().map(|param| param.elements() * model.dtype(param).bitsize() as u64 / 8).sum();
    let (read_seconds, over_reading) = (median(reads), median(ratios));
    let processor_over_reading = (worked.len() == ROUNDS).then(|| median(worked));
    Ok(LoadingResult {
        stored_bytes,
        device_bytes,
        seconds,
        processor_seconds,
        file_bytes,
        read_seconds,
        over_reading,
        processor_over_reading,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Bytes of files, and the seconds that reading them takes.
async fn read(files: &dyn Directory, names: &[String]) -> Result<(u64, f64)> {
    let start = Instant::now();
    let mut bytes = 0;
    for name in names {
        let size = files.size(name).await?.unwrap_or(0);
        for first in (0..size).step_by(READ_BYTES as usize) {
            let piece = files.read_range(name, first..(first + READ_BYTES).min(size)).await?;
            bytes += std::hint::black_box(piece).len() as u64;
        }
    }
    Ok((bytes, start.elapsed().as_secs_f64()))
}

/// One of the rounds.
struct Loaded {
    device_bytes: u64,
    seconds: f64,
    processor_seconds: Option<f64>,
}

async fn load_once(gpu: &Rc<Gpu>, model: &Checkpoint) -> Result<Loaded> {
    let options = EngineOptions {
        method: Method::Inference(None),
        gradient_checkpointing: false,
        kept: None,
        sequence: 1,
        optimizer: Optimizer::default(),
        objective: Objective::default(),
    };
    let (before, start) = (processor_seconds(), Instant::now());
    let engine = Engine::load(gpu.clone(), model, options).await?;
    gpu.finish().await?;
    let seconds = start.elapsed().as_secs_f64();
    let processor_seconds = processor_seconds().zip(before).map(|(after, before)| after - before);
    let device_bytes = gpu.allocated_bytes();
    drop(engine);
    Ok(Loaded { device_bytes, seconds, processor_seconds })
}
