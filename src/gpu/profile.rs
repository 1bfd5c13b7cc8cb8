//! What the rest of the house needs to know about a device: plain data, so that a plan can be made without a device.

use super::DeviceChoice;
use crate::kernels::{DeviceClass, Tuning};

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
    /// Bytes of memory that buffers may take in all, where the device tells.
    pub memory: Option<u64>,
    /// The user's own limit in bytes.
    pub memory_limit: Option<u64>,
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
        let class = if software { DeviceClass::Cpu } else { DeviceClass::Gpu };
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
            tuning: Tuning::of(class, subgroup),
            // Many browsers keep the name to themselves.
            name: match info.name.as_str() {
                "" if software => "the browser's software device".into(),
                "" => "the browser's graphics device".into(),
                name => name.into(),
            },
        }
    }

    /// The lavapipe device of the project's tests, for plans that are printed and compared without a device.
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
            tuning: Tuning::of(DeviceClass::Cpu, Some(8)),
        }
    }

    /// The same device as if it were of this class and offered such subgroups: it gets their kernels.
    pub fn as_if(self, class: DeviceClass, subgroup: Option<u32>) -> Profile {
        Profile { class, subgroup, tuning: Tuning::of(class, subgroup), ..self }
    }

    /// Bytes that a run may use in all: the user's limit, else what the device tells.
    pub fn usable_memory(&self) -> Option<u64> {
        self.memory_limit.or(self.memory)
    }
}
