//! From a plan to its run on a device.

use std::rc::Rc;

use super::job::{Job, Observer, Outcome, RunInput};
use super::plan::PlannedRun;
use super::run;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::platform::OutputDirectory;

impl PlannedRun {
    /// Trains and leaves the model or adapter in `out`.
    ///
    /// # Errors
    /// [`crate::Error::TooLittleMemory`] before anything is allocated, [`crate::Error::NotFinite`] when a loss or gradient is,
    /// [`crate::Error::Interrupted`] when the observer asked to stop, and what files and device fail with. What was saved before stays.
    pub async fn train(&self, gpu: &Rc<Gpu>, out: &dyn OutputDirectory, observer: &mut dyn Observer) -> Result<Outcome> {
        let RunInput { recipe, checkpoint, carry, data, resume_from, date, .. } = &self.input;
        let (train, eval) = (&data.train.samples[..], &data.eval.samples[..]);
        let job = Job { recipe, gpu: gpu.clone(), checkpoint, carry, train, eval, resume_from: resume_from.clone(), date: *date, out };
        run::train(self, &job, observer).await
    }
}
