//! Listing the graphics devices, and choosing one.

use super::{DeviceChoice, Profile};
use crate::error::{Error, Result};

/// One line of `rootstock devices`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct DeviceSummary {
    /// Its number, for `--device N`.
    pub index: usize,
    /// Whether it is chosen where no device is named.
    pub default: bool,
    /// The kind that the driver reports: `DiscreteGpu`, `IntegratedGpu`, `VirtualGpu`, `Cpu`, `Other`.
    pub kind: String,
    /// Its limits and features.
    #[serde(flatten)]
    pub profile: Profile,
}

/// All devices that Rootstock can use, best first.
///
/// # Errors
/// [`Error::Recipe`] for a tuning that is not possible.
pub async fn devices(choice: &DeviceChoice) -> Result<Vec<DeviceSummary>> {
    let list = all().await;
    let summaries = list.iter().enumerate().map(|(index, a)| {
        let kind = format!("{:?}", a.get_info().device_type);
        Ok(DeviceSummary { index, default: index == 0, kind, profile: Profile::of(a, choice)? })
    });
    summaries.collect()
}

fn instance() -> wgpu::Instance {
    crate::platform::prepare_adapters();
    // Validation layers and debug labels cost time in every dispatch; errors are reported without them.
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(descriptor)
}

async fn all() -> Vec<wgpu::Adapter> {
    let mut list = instance().enumerate_adapters(wgpu::Backends::all()).await;
    if list.is_empty() {
        // Browsers do not enumerate.
        let options = wgpu::RequestAdapterOptions { power_preference: wgpu::PowerPreference::HighPerformance, ..Default::default() };
        list.extend(instance().request_adapter(&options).await);
    }
    list.sort_by_key(|a| match a.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    list
}

pub(super) async fn choose(choice: &DeviceChoice) -> Result<wgpu::Adapter> {
    let list = all().await;
    if list.is_empty() {
        return Err(Error::device(
            "no graphics device was found; install your GPU's driver, or a software one (Debian, Ubuntu: apt-get install mesa-vulkan-drivers), \
             in a browser use one with WebGPU (Chrome, Edge, Safari 26, Firefox 141 or later)",
        ));
    }
    let Some(wanted) = &choice.device else {
        return list.into_iter().next().ok_or_else(|| Error::device("no graphics device was found"));
    };
    let names: Vec<String> = list.iter().map(|a| a.get_info().name).collect();
    let by_index = wanted.parse::<usize>().ok().filter(|i| *i < names.len());
    let by_name = names.iter().position(|n| n.to_lowercase().contains(&wanted.to_lowercase()));
    match by_index.or(by_name).and_then(|i| list.into_iter().nth(i)) {
        Some(adapter) => Ok(adapter),
        None => Err(Error::device(format!("no device is called '{wanted}'; there are: {}", names.join(", ")))),
    }
}
