//! How kernels that work row by row share a row among lanes, by class of adapter.

use crate::gpu::{AdapterClass, Profile};

/// Whether the shaders run on a processor: there a barrier costs more than the lanes save.
pub fn is_cpu(profile: &Profile) -> bool {
    profile.class == AdapterClass::Cpu
}

/// Lanes of a row and rows of a workgroup for rows of `width` elements of four floats.
pub fn lanes(profile: &Profile, width: u32) -> (u32, u32) {
    if is_cpu(profile) {
        return (1, 8);
    }
    let lanes = (width / 4).next_power_of_two().clamp(1, 256);
    (lanes, (256 / lanes).clamp(1, 64))
}
