//! Times single dispatches of a program: by the GPU's own clock where it has one, else by wall clock.

use web_time::Instant;

use super::bind::{BoundProgram, Entry};
use super::runner::{Runner, Timing};
use crate::error::Result;
use crate::gpu::Timestamps;
use crate::kernels::{DeviceClass, StepValues};

/// Seconds that the repetitions of one measurement take together: browsers round the GPU's clock to 0.1 ms.
const MEASUREMENT: f64 = 0.003;

/// Repetitions at most.
const MOST: f64 = 256.0;

/// Measurements of a dispatch; the median counts.
const MEASUREMENTS: u32 = 3;

impl Runner {
    /// Runs a program with each dispatch on its own and measures it. On a processor that is the time from submitting it to its end. On a GPU
    /// that would say nothing below 0.1 ms: there a dispatch is repeated, so that what it computes is of no use afterwards.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device fails.
    pub async fn profile(&self, bound: &BoundProgram, step: &StepValues, batch: &[u8]) -> Result<Vec<Timing>> {
        self.write(bound, step, batch);
        self.gpu.finish().await?;
        let clock = match self.gpu.profile().class {
            DeviceClass::Cpu => None,
            DeviceClass::Gpu => self.gpu.timestamps(2 * MEASUREMENTS).await?,
        };
        let mut timings = Vec::new();
        for (dispatch, entry) in bound.running(step) {
            let seconds = match &clock {
                Some(clock) => self.repeated(entry, clock).await?,
                None => self.by_wall_clock(entry, 1).await?,
            };
            timings.push(Timing { dispatch, kernel: entry.name, seconds });
        }
        Ok(timings)
    }

    /// Measures each dispatch of a program, repeated. What they compute is of no use afterwards.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device fails.
    pub async fn time(&self, bound: &BoundProgram, step: &StepValues, batch: &[u8]) -> Result<Vec<Timing>> {
        self.write(bound, step, batch);
        self.gpu.finish().await?;
        let clock = self.gpu.timestamps(2 * MEASUREMENTS).await?;
        let mut timings = Vec::new();
        for (dispatch, entry) in bound.running(step) {
            let seconds = match &clock {
                Some(clock) => self.repeated(entry, clock).await?,
                None => {
                    let once = self.by_wall_clock(entry, 1).await?;
                    self.by_wall_clock(entry, repetitions(once)).await?
                }
            };
            timings.push(Timing { dispatch, kernel: entry.name, seconds });
        }
        Ok(timings)
    }

    /// Seconds of one run of a dispatch that is repeated, by the GPU's clock.
    async fn repeated(&self, entry: &Entry, clock: &Timestamps) -> Result<f64> {
        // The first run may still compile or fetch what it reads.
        let once = self.measure(entry, clock, 1).await?;
        self.measure(entry, clock, repetitions(once)).await
    }

    /// Seconds of one of `repetitions` runs, the median of a few measurements.
    async fn measure(&self, entry: &Entry, clock: &Timestamps, repetitions: u32) -> Result<f64> {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        for measurement in 0..MEASUREMENTS {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some(entry.name),
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &clock.queries,
                    beginning_of_pass_write_index: Some(2 * measurement),
                    end_of_pass_write_index: Some(2 * measurement + 1),
                }),
            });
            dispatch(&mut pass, entry, repetitions);
        }
        let times = clock.read(&self.gpu, encoder).await?;
        let mut seconds: Vec<f64> = times.chunks_exact(2).map(|pair| (pair[1] - pair[0]).max(0.0)).collect();
        seconds.sort_by(f64::total_cmp);
        Ok(seconds[seconds.len() / 2] / f64::from(repetitions))
    }

    async fn by_wall_clock(&self, entry: &Entry, repetitions: u32) -> Result<f64> {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        dispatch(&mut encoder.begin_compute_pass(&Default::default()), entry, repetitions);
        let commands = encoder.finish();
        let start = Instant::now();
        self.gpu.queue.submit([commands]);
        self.gpu.finish().await?;
        Ok(start.elapsed().as_secs_f64() / f64::from(repetitions))
    }
}

/// How often a dispatch that takes so many seconds is repeated.
fn repetitions(seconds: f64) -> u32 {
    (MEASUREMENT / seconds.max(1e-9)).clamp(1.0, MOST) as u32
}

fn dispatch(pass: &mut wgpu::ComputePass<'_>, entry: &Entry, repetitions: u32) {
    let [x, y, z] = entry.workgroups;
    pass.set_pipeline(&entry.pipeline.raw);
    pass.set_bind_group(0, &entry.group, &[]);
    for _ in 0..repetitions {
        pass.dispatch_workgroups(x, y, z);
    }
}
