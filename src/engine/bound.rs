//! Programs that stay bound beside the plans: the update, and what follows from it.

use crate::error::Result;
use crate::kernels::StepValues;
use crate::plan::{Prepared, Program, Runner};

/// A program without activations, with its pipelines and buffers.
pub struct Bound {
    program: Program,
    prepared: Prepared,
}

impl Bound {
    /// Binds a program; an empty one is none.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when memory is short.
    pub async fn new(runner: &mut Runner, program: Program) -> Result<Option<Bound>> {
        if program.dispatches.is_empty() {
            return Ok(None);
        }
        let prepared = runner.prepare(&program, None).await?;
        Ok(Some(Bound { program, prepared }))
    }

    /// Queues the program, bound anew when a pooled buffer was replaced since.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device failed.
    pub async fn run(&mut self, runner: &mut Runner, step: &StepValues) -> Result<()> {
        if !runner.is_current(&self.prepared) {
            self.prepared = runner.prepare(&self.program, None).await?;
        }
        runner.run(&self.prepared, step, &[])
    }
}
