//! From a plan to its run on a device.

use std::rc::Rc;

use super::device::Kernels;
use super::job::{Event, Job, Observer, Outcome, RunInput};
use super::plan::PlannedRun;
use super::{resume, run};
use crate::error::Result;
use crate::gpu::{Gpu, TuningSource};
use crate::platform::OutputDirectory;

impl PlannedRun {
    /// Trains and leaves the model or adapter in `out`. A run that goes on computes by the kernels that it began with, where this device
    /// runs them; it is then planned anew.
    ///
    /// # Errors
    /// [`crate::Error::TooLittleMemory`] before anything is allocated, [`crate::Error::NotFinite`] when a loss or gradient is,
    /// [`crate::Error::Interrupted`] when the observer asked to stop, and what files and device fail with. What was saved before stays.
    pub async fn train(&self, gpu: &Rc<Gpu>, out: &dyn OutputDirectory, observer: &mut dyn Observer) -> Result<Outcome> {
        let RunInput { recipe, resume_from, .. } = &self.input;
        let kernels = match resume::recorded(recipe, resume_from, out).await? {
            Some(recorded) => recorded.kernels_on(gpu.profile()),
            None => Kernels::AsNow,
        };
        match kernels {
            Kernels::AsNow => self.execute(gpu, out, observer).await,
            Kernels::Others(why) => {
                observer.event(Event::Notice(why));
                self.execute(gpu, out, observer).await
            }
            Kernels::Recorded(tuning) => {
                let gpu = Rc::new(gpu.with_tuning(*tuning, TuningSource::Recorded));
                Box::pin(PlannedRun::new(self.input.clone(), gpu.profile())).await?.execute(&gpu, out, observer).await
            }
        }
    }

    async fn execute(&self, gpu: &Rc<Gpu>, out: &dyn OutputDirectory, observer: &mut dyn Observer) -> Result<Outcome> {
        let RunInput { recipe, checkpoint, carry, data, reference, resume_from, date, .. } = &self.input;
        let (train, eval) = (&data.train.samples[..], &data.eval.samples[..]);
        let job = Job {
            recipe,
            gpu: gpu.clone(),
            checkpoint,
            carry,
            train,
            eval,
            eval_parts: &data.eval_parts,
            reference: reference.as_ref(),
            resume_from: resume_from.clone(),
            date: *date,
            out,
        };
        // Boxed: a run's futures are large, and a browser's stack is small.
        Box::pin(run::train(self, &job, observer)).await
    }
}
