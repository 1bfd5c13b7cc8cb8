//! A program together with its bound form, which is renewed when a buffer was replaced.

use std::rc::Rc;

use super::bind::BoundProgram;
use super::program::Program;
use super::runner::Runner;
use crate::error::Result;
use crate::kernels::StepValues;

/// A program that is replayed many times.
pub struct Prepared {
    program: Rc<Program>,
    bound: Option<BoundProgram>,
}

impl Prepared {
    /// A program that is bound when it is used for the first time.
    pub fn new(program: Rc<Program>) -> Prepared {
        Prepared { program, bound: None }
    }

    /// What is replayed.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The program with its pipelines and buffers; bound now if it was not, or if a buffer was replaced since.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when memory is short or the device's compiler refuses a kernel.
    pub async fn bind(&mut self, runner: &mut Runner) -> Result<&BoundProgram> {
        // The old groups keep the old buffers alive, so they go first.
        let bound = match self.bound.take().filter(|bound| runner.is_current(bound)) {
            Some(bound) => bound,
            None => runner.bind(&self.program).await?,
        };
        Ok(self.bound.insert(bound))
    }

    /// The program as [`Prepared::bind`] left it.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when it was not bound.
    pub fn bound(&self) -> Result<&BoundProgram> {
        self.bound.as_ref().ok_or_else(|| crate::Error::gpu("a program is replayed that was not bound"))
    }

    /// Queues the program.
    ///
    /// # Errors
    /// As [`Prepared::bind`]; [`crate::Error::Gpu`] when the device failed.
    pub async fn run(&mut self, runner: &mut Runner, step: &StepValues, batch: &[u8]) -> Result<()> {
        self.bind(runner).await?;
        runner.run(self.bound()?, step, batch)
    }

    /// Releases buffers that were replaced.
    pub(super) fn release_stale(&mut self, runner: &Runner) {
        self.bound = self.bound.take().filter(|bound| runner.is_current(bound));
    }
}
