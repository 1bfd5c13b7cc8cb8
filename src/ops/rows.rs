//! How kernels that work row by row share a row among lanes, by class of device.

use crate::gpu::{DeviceClass, Profile};
use crate::plan::workgroups;

/// Whether the shaders run on a processor: there a barrier costs more than the lanes save.
pub fn is_cpu(profile: &Profile) -> bool {
    profile.class == DeviceClass::Cpu
}

/// Lanes of a row and rows of a workgroup for rows of `width` elements of four floats.
///
/// On a processor a row goes to one subgroup, which is one workgroup: its lanes load side by side, and a barrier inside it
/// is cheap. On lavapipe that is 1.5 to 5 times faster than a lane a row or several rows a workgroup.
pub fn lanes(profile: &Profile, width: u32) -> (u32, u32) {
    if is_cpu(profile) {
        return (profile.subgroup.unwrap_or(8).clamp(4, 64), 1);
    }
    let lanes = (width / 4).next_power_of_two().clamp(1, 256);
    (lanes, (256 / lanes).clamp(1, 64))
}

/// Workgroups for `rows` rows at `per_group` a workgroup.
pub fn row_groups(rows: usize, per_group: u32) -> [u32; 3] {
    workgroups(rows.div_ceil(per_group as usize))
}

/// Rows of a block in sums over rows: on a GPU short blocks, so that there are threads enough; a processor has few threads to feed.
pub fn block_rows(profile: &Profile, rows: usize) -> usize {
    let shortest = if is_cpu(profile) { 512 } else { 32 };
    // At most 256 blocks, or the second stage becomes the long one.
    rows.div_ceil(256).max(shortest)
}
