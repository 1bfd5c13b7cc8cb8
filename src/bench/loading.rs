//! How soon a model's weights are on the device.

use std::rc::Rc;

use serde::Serialize;
use web_time::Instant;

use crate::checkpoint::{Checkpoint, ModelSource};
use crate::engine::{Engine, EngineOptions, Method, Objective};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::optim::Optimizer;
use crate::platform::processor_seconds;

/// What loading a model takes.
#[derive(Debug, Clone, Serialize)]
pub struct LoadingResult {
    /// Bytes of the weights as they are stored.
    pub stored_bytes: u64,
    /// Bytes that they take on the device.
    pub device_bytes: u64,
    /// Seconds until the last of them is there.
    pub seconds: f64,
    /// Seconds that the processor's cores worked for it, all together; `None` where that cannot be told.
    pub processor_seconds: Option<f64>,
}

/// Loads a model's weights as [`ModelSource`] says that they are kept, and lets go of them.
///
/// # Errors
/// What reading fails with; [`crate::Error::TooLittleMemory`] and [`crate::Error::Gpu`] of the device.
pub async fn load(gpu: &Rc<Gpu>, model: &Checkpoint) -> Result<LoadingResult> {
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
    let stored_bytes = model.params().iter().map(|param| param.elements() * model.dtype(param).bitsize() as u64 / 8).sum();
    let device_bytes = gpu.allocated_bytes();
    drop(engine);
    Ok(LoadingResult { stored_bytes, device_bytes, seconds, processor_seconds })
}
