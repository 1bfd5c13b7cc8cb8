//! A device as plain data: limits, features, kernels. Programs are compiled from it, so that no device is needed for that.

use super::DeviceChoice;
use crate::error::Result;
use crate::kernels::{DeviceClass, Family, Subgroups, Tuning, Version};
use crate::platform;

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
    /// The sizes of subgroups when their operations may be used in compute shaders.
    pub subgroups: Option<Subgroups>,
    /// Whether shaders may use numbers in half precision; see [`Profile::half_products`].
    pub shader_f16: bool,
    /// Largest storage binding in bytes.
    pub max_binding: u64,
    /// Largest buffer in bytes.
    pub max_buffer: u64,
    /// Bytes of memory that buffers may take in all, where the driver reports it.
    pub memory: Option<u64>,
    /// The user's own limit in bytes.
    pub memory_limit: Option<u64>,
    /// The maker: a PCI number natively, a name in a browser; empty where it is hidden.
    pub vendor: String,
    /// A PCI number natively, a name in a browser; empty where it is hidden.
    pub architecture: String,
    /// Whose device it is, as far as it can be told.
    pub family: Family,
    /// What it was recognised by, in words.
    #[serde(skip)]
    pub recognised: String,
    /// Which kernels it gets.
    #[serde(skip)]
    pub tuning: Tuning,
    /// Where that comes from.
    #[serde(skip)]
    pub tuning_source: TuningSource,
}

/// Where a device's tuning comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TuningSource {
    /// It is what every device of the family gets.
    Family,
    /// Some of its values were measured on this device.
    Measured,
    /// The user asked for it.
    Given,
    /// The run began with it.
    Recorded,
}

/// Offsets of storage and uniform bindings are multiples of this many bytes on every device.
pub const BINDING_ALIGNMENT: u64 = 256;

impl Profile {
    pub(super) fn of(adapter: &wgpu::Adapter, choice: &DeviceChoice) -> Result<Profile> {
        let info = adapter.get_info();
        let limits = adapter.limits();
        let facts = platform::adapter_facts(adapter);
        // Browsers do not tell the device type; Chromium's software device is known by its name.
        let software = info.device_type == wgpu::DeviceType::Cpu || info.name.to_lowercase().contains("swiftshader");
        let sizes = Subgroups::new(info.subgroup_min_size, info.subgroup_max_size);
        let subgroups = sizes.filter(|_| facts.subgroups && !choice.without_subgroups);
        let words = format!("{} {} {}", facts.vendor, facts.architecture, info.name);
        let (family, recognised) = match choice.tuning.family {
            Some(family) => (family, "asked for".to_string()),
            None => recognise(software, info.vendor, &format!("{words} {}", info.driver), info.subgroup_min_size),
        };
        let mut profile = Profile {
            backend: format!("{:?}", info.backend).to_lowercase(),
            driver: facts.driver,
            class: family.class(),
            shader_f16: adapter.features().contains(wgpu::Features::SHADER_F16),
            subgroups,
            max_binding: choice.largest_binding.unwrap_or(u64::MAX).min(limits.max_storage_buffer_binding_size).min(limits.max_buffer_size),
            max_buffer: limits.max_buffer_size,
            memory: platform::device_memory(adapter),
            memory_limit: choice.memory_limit,
            vendor: facts.vendor,
            architecture: facts.architecture,
            family,
            recognised,
            tuning: Tuning::of(family, subgroups),
            tuning_source: TuningSource::Family,
            // Many browsers keep the name to themselves.
            name: match info.name.as_str() {
                "" if software => "the browser's software device".into(),
                "" => "the browser's graphics device".into(),
                name => name.into(),
            },
        };
        if let Some(measured) = choice.measured.tuning(&profile) {
            profile = Profile { tuning: measured, tuning_source: TuningSource::Measured, ..profile };
        }
        if choice.tuning != Default::default() {
            let tuning = choice.tuning.apply(&profile.tuning)?;
            tuning.check_subgroups(subgroups)?;
            profile = Profile { tuning, tuning_source: TuningSource::Given, ..profile };
        }
        Ok(profile)
    }

    /// The lavapipe device of the project's tests, for programs that are printed and compared without a device.
    pub fn lavapipe() -> Profile {
        Profile {
            name: "llvmpipe".into(),
            backend: "vulkan".into(),
            driver: "Mesa".into(),
            class: DeviceClass::Cpu,
            subgroups: Some(Subgroups::of(8)),
            shader_f16: true,
            max_binding: 128 << 20,
            max_buffer: (2 << 30) - 1,
            memory: None,
            memory_limit: None,
            vendor: "0x10005".into(),
            architecture: String::new(),
            family: Family::Lavapipe,
            recognised: "its name".into(),
            tuning: Tuning::of(Family::Lavapipe, Some(Subgroups::of(8))),
            tuning_source: TuningSource::Family,
        }
    }

    /// The same device as if it were of this family and offered such subgroups: it gets their kernels.
    pub fn as_if(self, family: Family, subgroups: Option<Subgroups>) -> Profile {
        Profile { class: family.class(), family, subgroups, tuning: Tuning::of(family, subgroups), ..self }
    }

    /// Whether products keep their tiles in f16 where a run computes in `fp16`.
    pub fn half_products(&self) -> bool {
        self.shader_f16 && self.tuning.product_half && self.tuning.products == Version::Tiled
    }

    /// Bytes that a run may use in all: the user's limit, else what the driver reports.
    pub fn usable_memory(&self) -> Option<u64> {
        self.memory_limit.or(self.memory)
    }
}

/// The family of a device, and what it was recognised by: its PCI vendor (0 in browsers), words of its name, driver, and what a browser
/// calls vendor and architecture, and its smallest subgroup.
fn recognise(software: bool, vendor: u32, words: &str, smallest_subgroup: u32) -> (Family, String) {
    let words = words.to_lowercase();
    let find = |list: &[&str]| {
        list.iter().find(|word| words.contains(**word)).map(|word| format!("the word \"{word}\" in what it says of itself"))
    };
    if software {
        return match find(&["llvmpipe", "lavapipe"]) {
            Some(by) => (Family::Lavapipe, by),
            None => (Family::OtherProcessor, "being a software device".into()),
        };
    }
    let intel = |by: String| {
        // The maker's architectures before Xe2 allow subgroups of 8 lanes.
        if smallest_subgroup >= 16 || words.contains("xe2") || words.contains("xe-2") || words.contains("xe3") || words.contains("xe-3") {
            (Family::IntelXe2, format!("{by}, with subgroups of at least 16 lanes"))
        } else {
            (Family::IntelSimd8, by)
        }
    };
    let number = || format!("the PCI vendor 0x{vendor:04x}");
    match vendor {
        0x10de => return (Family::NvidiaLike, number()),
        0x1002 | 0x1022 => return (Family::Amd, number()),
        0x106b => return (Family::Apple, number()),
        0x8086 => return intel(number()),
        _ => {}
    }
    let named = [
        (Family::NvidiaLike, &["nvidia", "geforce", "quadro"][..]),
        (Family::Amd, &["radeon", "amd"]),
        (Family::Apple, &["apple", "metal"]),
        (Family::IntelSimd8, &["intel"]),
    ];
    for (family, list) in named {
        if let Some(by) = find(list) {
            return if family == Family::IntelSimd8 { intel(by) } else { (family, by) };
        }
    }
    // Who hides its name still tells the sizes of subgroups, which are a hint: only AMD has 64 lanes, only Intel fewer than 32.
    match smallest_subgroup {
        8 if words.trim().is_empty() => (Family::IntelSimd8, "subgroups that may have 8 lanes".into()),
        64 if words.trim().is_empty() => (Family::Amd, "subgroups of 64 lanes".into()),
        _ => (Family::UnknownGpu, "nothing: it hides who made it".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(software: bool, vendor: u32, words: &str, smallest_subgroup: u32) -> Family {
        recognise(software, vendor, words, smallest_subgroup).0
    }

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

    /// Vendor, architecture and description as browsers give them.
    #[test]
    fn browsers_name_vendor_and_architecture() {
        assert_eq!(family(false, 0, "nvidia ampere ", 32), Family::NvidiaLike);
        assert_eq!(family(false, 0, "amd rdna-3 ", 32), Family::Amd);
        assert_eq!(family(false, 0, "apple metal-3 ", 32), Family::Apple);
        assert_eq!(family(false, 0, "intel gen-12lp ", 8), Family::IntelSimd8);
        assert_eq!(family(false, 0, "intel xe-2lpg ", 16), Family::IntelXe2);
        assert_eq!(family(false, 0, "qualcomm adreno-7xx ", 64), Family::UnknownGpu);
        assert_eq!(family(false, 0, "  ", 8), Family::IntelSimd8, "by its subgroups");
        assert_eq!(family(true, 0, "google swiftshader SwiftShader Device (Subzero)", 4), Family::OtherProcessor);
    }
}
