//! A device as plain data: limits, features, kernels. Programs are compiled from it, so that no device is needed for that.

use super::DeviceChoice;
use crate::kernels::{DeviceClass, Family, Tuning};

/// A device in plain data.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Profile {
    /// Name as the driver gives it.
    pub name: String,
    /// `vulkan`, `metal`, `dx12` or `webgpu`.
    pub backend: String,
    /// Driver name and version where known.
    pub driver: String,
    /// CPU or GPU.
    pub class: DeviceClass,
    /// The subgroup size when subgroup operations may be used in compute shaders and every subgroup has this size.
    pub subgroup: Option<u32>,
    /// Whether shaders could compute in half precision. The kernels need it nowhere.
    pub shader_f16: bool,
    /// Largest storage binding in bytes.
    pub max_binding: u64,
    /// Largest buffer in bytes.
    pub max_buffer: u64,
    /// Bytes of memory that buffers may take in all, where the driver reports it.
    pub memory: Option<u64>,
    /// The user's own limit in bytes.
    pub memory_limit: Option<u64>,
    /// Whose device it is, as far as it can be told.
    #[serde(skip)]
    pub family: Family,
    /// Which kernels it gets.
    #[serde(skip)]
    pub tuning: Tuning,
}

/// Offsets of storage and uniform bindings are multiples of this many bytes on every device.
pub const BINDING_ALIGNMENT: u64 = 256;

impl Profile {
    pub(super) fn of(adapter: &wgpu::Adapter, choice: &DeviceChoice) -> Profile {
        let info = adapter.get_info();
        let limits = adapter.limits();
        // Browsers do not tell the device type; Chromium's software device is known by its name.
        let software = info.device_type == wgpu::DeviceType::Cpu || info.name.to_lowercase().contains("swiftshader");
        let same_size = info.subgroup_min_size == info.subgroup_max_size && info.subgroup_max_size > 0;
        let subgroups = adapter.features().contains(wgpu::Features::SUBGROUP) && same_size && !choice.without_subgroups;
        let family = family(software, info.vendor, &format!("{} {}", info.name, info.driver), info.subgroup_min_size);
        let class = family.class();
        let subgroup = subgroups.then_some(info.subgroup_max_size);
        Profile {
            backend: format!("{:?}", info.backend).to_lowercase(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
            class,
            shader_f16: adapter.features().contains(wgpu::Features::SHADER_F16),
            subgroup,
            max_binding: choice.largest_binding.unwrap_or(u64::MAX).min(limits.max_storage_buffer_binding_size).min(limits.max_buffer_size),
            max_buffer: limits.max_buffer_size,
            memory: crate::platform::device_memory(adapter),
            memory_limit: choice.memory_limit,
            family,
            tuning: Tuning::of(family, subgroup),
            // Many browsers keep the name to themselves.
            name: match info.name.as_str() {
                "" if software => "the browser's software device".into(),
                "" => "the browser's graphics device".into(),
                name => name.into(),
            },
        }
    }

    /// The lavapipe device of the project's tests, for programs that are printed and compared without a device.
    pub fn lavapipe() -> Profile {
        Profile {
            name: "llvmpipe".into(),
            backend: "vulkan".into(),
            driver: "Mesa".into(),
            class: DeviceClass::Cpu,
            subgroup: Some(8),
            shader_f16: true,
            max_binding: 128 << 20,
            max_buffer: (2 << 30) - 1,
            memory: None,
            memory_limit: None,
            family: Family::Lavapipe,
            tuning: Tuning::of(Family::Lavapipe, Some(8)),
        }
    }

    /// The same device as if it were of this family and offered such subgroups: it gets their kernels.
    pub fn as_if(self, family: Family, subgroup: Option<u32>) -> Profile {
        Profile { class: family.class(), family, subgroup, tuning: Tuning::of(family, subgroup), ..self }
    }

    /// Bytes that a run may use in all: the user's limit, else what the driver reports.
    pub fn usable_memory(&self) -> Option<u64> {
        self.memory_limit.or(self.memory)
    }
}

/// The family of a device, by its PCI vendor (0 where a browser hides it), its name and driver, and its smallest subgroup.
fn family(software: bool, vendor: u32, name: &str, smallest_subgroup: u32) -> Family {
    let name = name.to_lowercase();
    let names = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if software {
        return if names(&["llvmpipe", "lavapipe"]) { Family::Lavapipe } else { Family::OtherProcessor };
    }
    match vendor {
        0x10de => Family::NvidiaLike,
        0x1002 | 0x1022 => Family::Amd,
        0x106b => Family::Apple,
        0x8086 if smallest_subgroup >= 16 => Family::IntelXe2,
        0x8086 => Family::IntelSimd8,
        _ if names(&["nvidia", "geforce", "quadro"]) => Family::NvidiaLike,
        _ if names(&["radeon", "amd"]) => Family::Amd,
        _ if names(&["apple", "metal"]) => Family::Apple,
        _ if names(&["intel"]) && (smallest_subgroup >= 16 || names(&["xe2", "xe-2"])) => Family::IntelXe2,
        _ if names(&["intel"]) => Family::IntelSimd8,
        _ => Family::UnknownGpu,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_recognised_by_vendor_or_name() {
        let software = |name| family(true, 0x10005, name, 8);
        assert_eq!(software("llvmpipe (LLVM 19.1.7, 256 bits) llvmpipe"), Family::Lavapipe);
        assert_eq!(software("SwiftShader Device (LLVM 16.0.0)"), Family::OtherProcessor);
        assert_eq!(family(false, 0x10de, "NVIDIA H200", 32), Family::NvidiaLike);
        assert_eq!(family(false, 0x1002, "Radeon RX 6800 (RADV NAVI21)", 32), Family::Amd);
        assert_eq!(family(false, 0x8086, "Intel(R) UHD Graphics 620 (KBL GT2)", 8), Family::IntelSimd8);
        assert_eq!(family(false, 0x8086, "Intel(R) Arc(TM) B580 Graphics (BMG G21)", 16), Family::IntelXe2);
        // Metal and browsers tell no vendor by number.
        assert_eq!(family(false, 0, "Apple M2", 32), Family::Apple);
        assert_eq!(family(false, 0, "", 0), Family::UnknownGpu);
    }
}
