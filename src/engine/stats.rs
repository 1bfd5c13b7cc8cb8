//! What a step reports.

/// The statistics buffer, field by field as in shaders/shared/stats.wgsl (a test compares them).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Stats {
    /// Sum of the losses of the accumulation group's targets.
    pub loss_sum: f32,
    /// Gradient norm before clipping.
    pub grad_norm: f32,
    /// Factor that clipped the gradients.
    pub clip: f32,
    /// Not zero once a loss or norm was not finite; from then on the weights stay as they were.
    pub halt: u32,
    /// Targets of the accumulation group.
    pub targets: u32,
    /// Targets whose label had the largest logit, where counted.
    pub correct: u32,
    /// Optimiser steps taken since the statistics were cleared.
    pub steps: u32,
    /// Keeps the size.
    pub pad0: u32,
}

impl Stats {
    /// Reads them from bytes that came back from the GPU; zeros where bytes are missing.
    pub fn decode(bytes: &[u8]) -> Stats {
        let mut stats = Stats::default();
        let into = bytemuck::bytes_of_mut(&mut stats);
        let n = into.len().min(bytes.len());
        into[..n].copy_from_slice(&bytes[..n]);
        stats
    }
}
