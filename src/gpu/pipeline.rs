//! A compiled shader with its override constants.

use crate::error::Error;
use crate::kernels::{Access, Shader};
use crate::platform;

/// What identifies a pipeline: the shader and its override constants.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(&'static str, Vec<(&'static str, u64)>);

impl Key {
    pub(super) fn new(shader: &'static Shader, constants: &[(&'static str, f64)]) -> Key {
        Key(shader.name, constants.iter().map(|(n, v)| (*n, v.to_bits())).collect())
    }
}

/// A compiled kernel.
#[derive(Debug)]
pub struct Pipeline {
    pub(crate) raw: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
}

impl Pipeline {
    /// Begins to compile a shader. The future says, once it is compiled, why the device refused it, if it did.
    pub(super) fn begin(
        device: &wgpu::Device,
        shader: &'static Shader,
        constants: &[(&'static str, f64)],
    ) -> (Pipeline, impl Future<Output = Option<Error>> + use<>) {
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(shader.name), source: wgpu::ShaderSource::Wgsl(text(shader).into()) };
        let module = create_module(device, descriptor, shader.unchecked);
        let entry = |(binding, ty): (u32, wgpu::BufferBindingType)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let entries: Vec<wgpu::BindGroupLayoutEntry> = (0..).zip(bindings(shader)).map(entry).collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(shader.name), entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(shader.name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let raw = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(shader.name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            // Every kernel writes its workgroup memory before it reads it.
            compilation_options: wgpu::PipelineCompilationOptions { constants, zero_initialize_workgroup_memory: false },
            cache: None,
        });
        let popped = scope.pop();
        let refused = async move {
            let error = popped.await?;
            Some(Error::gpu(format!("the device's compiler refused kernel {}: {error}", shader.name)))
        };
        (Pipeline { raw, layout }, refused)
    }
}

/// The bindings of a shader, from 0 on.
fn bindings(shader: &Shader) -> impl Iterator<Item = wgpu::BufferBindingType> {
    let uniforms = std::iter::repeat_n(wgpu::BufferBindingType::Uniform, if shader.uses_step { 2 } else { 1 });
    let storage = shader.bindings.iter().map(|access| wgpu::BufferBindingType::Storage { read_only: *access == Access::Read });
    uniforms.chain(storage)
}

/// The shader as the compiler of this platform takes it.
fn text(shader: &'static Shader) -> String {
    platform::kernel_text(shader.wgsl(), shader.uses_subgroups())
}

/// Compiles shaders side by side where the platform needs help with that, and tells how many are done; see [`platform::compile_ahead`].
pub(super) async fn compile_ahead(
    device: &wgpu::Device,
    wanted: &[(&'static Shader, &[(&'static str, f64)])],
    tell: &dyn Fn(usize),
) -> Vec<Option<platform::CompiledPipeline>> {
    let name = |ty: wgpu::BufferBindingType| match ty {
        wgpu::BufferBindingType::Uniform => "uniform",
        wgpu::BufferBindingType::Storage { read_only: true } => "read-only-storage",
        wgpu::BufferBindingType::Storage { read_only: false } => "storage",
    };
    let texts: Vec<_> = wanted.iter().map(|(shader, _)| (text(shader), bindings(shader).map(name).collect::<Vec<_>>())).collect();
    let kernels: Vec<platform::ComputeKernel<'_>> = wanted
        .iter()
        .zip(&texts)
        .map(|((shader, constants), (wgsl, bindings))| platform::ComputeKernel { label: shader.name, wgsl, bindings, constants })
        .collect();
    platform::compile_ahead(device, &kernels, tell).await
}

/// naga would count iterations of every loop to stop endless ones, which costs a third of a matmul's speed on software devices.
#[expect(unsafe_code, reason = "the kernels are our own: each loop's bounds are parameters checked in Rust; buffer bounds stay checked")]
///
/// Vulkan keeps the bounds of buffers itself (`robustBufferAccess`, which wgpu always asks for), so that without naga's checks only the indices into
/// workgroup memory go unchecked. Elsewhere one cannot be had without the other.
fn create_module(device: &wgpu::Device, descriptor: wgpu::ShaderModuleDescriptor<'_>, unchecked: bool) -> wgpu::ShaderModule {
    let checks = wgpu::ShaderRuntimeChecks {
        force_loop_bounding: false,
        int_div_checks: false,
        bounds_checks: !(unchecked && device.adapter_info().backend == wgpu::Backend::Vulkan),
        ..wgpu::ShaderRuntimeChecks::checked()
    };
    // SAFETY: no kernel has a loop without a bound, and no division by a runtime zero; one that goes unchecked says why its indices are in bounds.
    unsafe { device.create_shader_module_trusted(descriptor, checks) }
}
