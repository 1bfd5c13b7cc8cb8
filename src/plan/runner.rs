//! Replays programs on a device and reads back what they leave.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use web_time::Instant;

use super::bind::BoundProgram;
use super::buffers::Buffers;
use super::pacing::Pacing;
use super::program::Program;
use super::store::ParamStore;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Readback};
use crate::kernels::{STATS_BYTES, Stats, StepValues};

/// Time of one dispatch, from [`Runner::profile`].
#[derive(Debug, Clone, serde::Serialize)]
pub struct Timing {
    /// Index into the program's dispatches.
    pub dispatch: usize,
    /// Kernel.
    pub kernel: &'static str,
    /// Seconds.
    pub seconds: f64,
}

/// The GPU side of a run.
pub struct Runner {
    /// The device.
    pub gpu: Rc<Gpu>,
    /// The parameters of the model.
    pub store: Rc<ParamStore>,
    buffers: Buffers,
    pacing: RefCell<Pacing>,
    /// Programs that were bound so far.
    bound: u64,
    /// The program whose parameters lie in the shared buffer; 0 for none.
    written: Cell<u64>,
}

impl Runner {
    /// Allocates the small buffers; [`Runner::bind`] allocates the rest.
    ///
    /// # Errors
    /// [`Error::Gpu`] when memory is short.
    pub async fn new(gpu: Rc<Gpu>, store: Rc<ParamStore>) -> Result<Runner> {
        let buffers = Buffers::new(&gpu).await?;
        Ok(Runner { gpu, store, buffers, pacing: RefCell::default(), bound: 0, written: Cell::new(0) })
    }

    /// Allocates what the program needs beyond what is there and binds it. Bind the largest program first: the others then fit into its pool.
    ///
    /// # Errors
    /// [`Error::Gpu`] when memory is short or the device's compiler refuses a kernel.
    pub async fn bind(&mut self, program: &Program) -> Result<BoundProgram> {
        self.buffers.fit(&self.gpu, program).await?;
        self.bound += 1;
        BoundProgram::new(&self.gpu, &self.store, &self.buffers, program, self.bound).await
    }

    /// Compiles the kernels of several programs side by side, before the first of them is bound.
    ///
    /// # Errors
    /// [`Error::Gpu`] when the device's compiler refuses a kernel.
    pub async fn compile<'a>(&self, programs: impl Iterator<Item = &'a Program>) -> Result<()> {
        let dispatches = programs.flat_map(|program| &program.dispatches);
        self.gpu.pipelines(dispatches.map(|d| (d.shader, &d.constants[..]))).await?;
        Ok(())
    }

    /// Whether the program is still bound to the buffers in use.
    pub fn is_current(&self, bound: &BoundProgram) -> bool {
        bound.generation == self.buffers.generation
    }

    /// Changes whenever a buffer was replaced.
    pub fn generation(&self) -> u64 {
        self.buffers.generation
    }

    /// Replays a program: queues the batch (as [`crate::kernels::InputLayout`] lays it out), the step's values and all dispatches. Returns at once.
    ///
    /// # Errors
    /// [`Error::Gpu`] when an earlier command failed on the device.
    pub fn run(&self, bound: &BoundProgram, step: &StepValues, batch: &[u8]) -> Result<()> {
        self.gpu.check()?;
        self.write(bound, step, batch);
        let most = self.submission_work();
        let mut entries = bound.running(step).map(|(_, entry)| entry).peekable();
        while entries.peek().is_some() {
            let mut work = 0;
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                while let Some(entry) = entries.next_if(|_| work < most) {
                    let [x, y, z] = entry.workgroups;
                    pass.set_pipeline(&entry.pipeline.raw);
                    pass.set_bind_group(0, &entry.group, &[]);
                    pass.dispatch_workgroups(x, y, z);
                    work += entry.work;
                }
            }
            self.pacing.borrow_mut().submitted(work, Instant::now());
            self.gpu.queue.submit([encoder.finish()]);
        }
        Ok(())
    }

    /// Queues what a replay reads.
    pub(super) fn write(&self, bound: &BoundProgram, step: &StepValues, batch: &[u8]) {
        debug_assert!(self.is_current(bound), "a buffer was replaced after this program was bound");
        self.gpu.write(&self.buffers.step, 0, bytemuck::bytes_of(step));
        self.gpu.write(&self.buffers.inputs, 0, batch);
        if let Some(parameters) = &bound.parameters
            && self.written.replace(bound.id) != bound.id
        {
            self.gpu.write(&self.buffers.parameters, 0, parameters);
        }
    }

    /// Hands queued uploads over to the device, so that their staging memory is given back.
    pub fn flush(&self) {
        self.gpu.queue.submit([]);
    }

    /// Floating-point operations that a submission may hold, so that it takes about 50 ms; follows from how fast earlier work was done.
    pub fn submission_work(&self) -> u64 {
        self.pacing.borrow().submission()
    }

    /// Starts reading the statistics back.
    ///
    /// # Errors
    /// As [`Gpu::start_read`].
    pub fn start_read_stats(&self) -> Result<PendingStats> {
        let queued = self.pacing.borrow().queued();
        Ok(PendingStats { readback: self.gpu.start_read(&self.buffers.stats, 0, STATS_BYTES)?, queued })
    }

    /// Clears the statistics, the halt flag included.
    pub fn clear_stats(&self) {
        self.gpu.write(&self.buffers.stats, 0, &[0; STATS_BYTES as usize]);
    }

    /// The losses of the last micro-batch, one per target.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn read_losses(&self, targets: usize) -> Result<Vec<f32>> {
        self.read(&self.buffers.losses, 0, targets as u64 * 4).await
    }

    /// The logits that the last replay of a generating program left.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn read_logits(&self, first: usize, count: usize) -> Result<Vec<f32>> {
        let Some(logits) = &self.buffers.logits else { return Err(Error::gpu("no logits were computed")) };
        self.read(logits, first as u64 * 4, count as u64 * 4).await
    }

    /// Reads floats back; all that was queued before is done then.
    async fn read(&self, buffer: &crate::gpu::Buffer, offset: u64, bytes: u64) -> Result<Vec<f32>> {
        let queued = self.pacing.borrow().queued();
        let bytes = self.gpu.read(buffer, offset, bytes).await?;
        self.pacing.borrow_mut().finished(queued, Instant::now());
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }
}

/// Statistics on their way back from the GPU.
pub struct PendingStats {
    readback: Readback,
    /// The work that was queued before.
    queued: u64,
}

impl PendingStats {
    /// The statistics, when they have arrived.
    ///
    /// # Errors
    /// As [`Readback::wait`].
    pub async fn wait(self, runner: &Runner) -> Result<Stats> {
        let bytes = self.readback.wait(&runner.gpu).await?;
        runner.pacing.borrow_mut().finished(self.queued, Instant::now());
        Ok(Stats::decode(&bytes))
    }
}
