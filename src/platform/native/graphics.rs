//! What wgpu does not tell of a device, and waiting for it.

use std::fs;

use super::super::AdapterFacts;

/// Blocks until the submission is done, so that its callbacks have run: wgpu runs callbacks only inside `poll`. This and `block_on`
/// are the only places where the native program blocks.
pub(in super::super) fn wait_for_gpu(device: &wgpu::Device, submission: Option<wgpu::SubmissionIndex>) {
    // An error here means a lost device; its callback has run, and the caller's next check reports it.
    let _ = device.poll(wgpu::PollType::Wait { submission_index: submission, timeout: None });
}

/// Size of the largest device-local heap of a Vulkan device; other backends do not report it.
#[expect(unsafe_code, reason = "wgpu has no query for the memory's size; the handles are read while the adapter is borrowed")]
pub(in super::super) fn device_memory(adapter: &wgpu::Adapter) -> Option<u64> {
    // SAFETY: the raw handles do not outlive the adapter, and nothing is created, changed or destroyed.
    let hal = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let properties = unsafe { hal.shared_instance().raw_instance().get_physical_device_memory_properties(hal.raw_physical_device()) };
    let heaps = properties.memory_heaps.iter().take(properties.memory_heap_count as usize);
    // Bit 0 of the flags is VK_MEMORY_HEAP_DEVICE_LOCAL_BIT.
    let device_local = heaps.filter(|h| h.flags.as_raw() & 1 == 1).map(|h| h.size).max()?;
    // The heap of a software device is main memory, so limit it to what is available.
    let software = adapter.get_info().device_type == wgpu::DeviceType::Cpu;
    Some(if software { available_memory().map_or(device_local, |free| free.min(device_local)) } else { device_local })
}

/// What the driver tells of a device.
pub(in super::super) fn adapter_facts(adapter: &wgpu::Adapter) -> AdapterFacts {
    let info = adapter.get_info();
    let number = |n: u32| if n == 0 { String::new() } else { format!("0x{n:04x}") };
    AdapterFacts {
        vendor: number(info.vendor),
        architecture: number(info.device),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
        subgroups: adapter.features().contains(wgpu::Features::SUBGROUP),
    }
}

/// Memory available to a new process, in bytes (Linux only).
fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
