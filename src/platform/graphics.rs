//! What differs between the native program and the browser when a graphics device is opened and its kernels are compiled.

/// What is known of a graphics device beside what wgpu tells in every browser.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AdapterFacts {
    /// The maker: a PCI number natively (`0x10de`), a name in a browser (`nvidia`); empty where it is hidden.
    pub(crate) vendor: String,
    /// A PCI number natively, a name in a browser (`ampere`); empty where it is hidden.
    pub(crate) architecture: String,
    /// The driver and its version; the browser and its version there.
    pub(crate) driver: String,
    /// Whether shaders may use subgroup operations.
    pub(crate) subgroups: bool,
}

/// A kernel as the browser's own interface takes it.
#[derive(Debug)]
#[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "natively pipelines are created by wgpu alone"))]
pub(crate) struct ComputeKernel<'a> {
    pub(crate) label: &'a str,
    pub(crate) wgsl: &'a str,
    /// `uniform`, `storage` or `read-only-storage`, in the order of the bindings.
    pub(crate) bindings: &'a [&'static str],
    pub(crate) constants: &'a [(&'static str, f64)],
}

/// A pipeline that the browser has compiled already; there is none natively.
#[cfg(target_arch = "wasm32")]
pub(crate) type CompiledPipeline = wasm_bindgen::JsValue;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) type CompiledPipeline = std::convert::Infallible;

/// To be called before adapters are asked for: in a browser they then tell what they are and open with subgroups.
pub(crate) fn prepare_adapters() {
    #[cfg(target_arch = "wasm32")]
    super::browser::webgpu::prepare_adapters();
}

/// What is known of an adapter that was just asked for.
pub(crate) fn adapter_facts(adapter: &wgpu::Adapter) -> AdapterFacts {
    #[cfg(not(target_arch = "wasm32"))]
    return super::native::adapter_facts(adapter);
    #[cfg(target_arch = "wasm32")]
    {
        let _ = adapter;
        super::browser::webgpu::adapter_facts()
    }
}

/// The text of a kernel for the compiler here: browsers want to be told that it uses subgroups, and naga refuses the line.
pub(crate) fn kernel_text(wgsl: String, subgroups: bool) -> String {
    #[cfg(target_arch = "wasm32")]
    if subgroups {
        return format!("enable subgroups;\n{wgsl}");
    }
    let _ = subgroups;
    wgsl
}

/// Compiles kernels side by side where wgpu would compile one after the other (in a browser); natively it does nothing. What it answers is
/// given to [`hand_over`] before wgpu creates the pipeline of that kernel. `tell` hears how many are done.
pub(crate) async fn compile_ahead(
    device: &wgpu::Device,
    kernels: &[ComputeKernel<'_>],
    tell: &dyn Fn(usize),
) -> Vec<Option<CompiledPipeline>> {
    #[cfg(not(target_arch = "wasm32"))]
    {
        let _ = (device, kernels, tell);
        Vec::new()
    }
    #[cfg(target_arch = "wasm32")]
    super::browser::webgpu::compile(device, kernels, tell).await
}

/// The next pipeline that wgpu creates is this one.
pub(crate) fn hand_over(device: &wgpu::Device, pipeline: Option<CompiledPipeline>) {
    #[cfg(not(target_arch = "wasm32"))]
    let _ = (device, pipeline);
    #[cfg(target_arch = "wasm32")]
    super::browser::webgpu::hand_over(device, pipeline);
}
