//! The GPU's own clock.

use std::rc::Rc;

use super::{Buffer, Gpu};
use crate::error::Result;

/// Places for times that passes write at their beginning and end.
pub(crate) struct Timestamps {
    pub(crate) queries: wgpu::QuerySet,
    count: u32,
    resolved: Rc<Buffer>,
    /// Seconds of a tick.
    tick: f64,
}

impl Gpu {
    /// Places for so many times; `None` where the device has no clock.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) async fn timestamps(&self, count: u32) -> Result<Option<Timestamps>> {
        if !self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let queries =
            self.device.create_query_set(&wgpu::QuerySetDescriptor { label: Some("times"), ty: wgpu::QueryType::Timestamp, count });
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = self.buffer_with("times", u64::from(count) * 8, usage).await?;
        let tick = f64::from(self.queue.get_timestamp_period()) * 1e-9;
        Ok(Some(Timestamps { queries, count, resolved, tick }))
    }
}

impl Timestamps {
    /// Submits the encoder's passes and reads all times, in seconds.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device fails.
    pub(crate) async fn read(&self, gpu: &Gpu, mut encoder: wgpu::CommandEncoder) -> Result<Vec<f64>> {
        encoder.resolve_query_set(&self.queries, 0..self.count, &self.resolved.raw, 0);
        gpu.queue.submit([encoder.finish()]);
        let bytes = gpu.read(&self.resolved, 0, u64::from(self.count) * 8).await?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
        // The first one counts as 0, so that no digit is lost in a large number.
        let first = ticks.iter().copied().filter(|ticks| *ticks > 0).min().unwrap_or(0);
        Ok(ticks.into_iter().map(|ticks| ticks.saturating_sub(first) as f64 * self.tick).collect())
    }
}
