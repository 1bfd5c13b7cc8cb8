//! Decoding of the statistics that a step leaves.

use super::Stats;

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
