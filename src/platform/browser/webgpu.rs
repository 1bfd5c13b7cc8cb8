//! What wgpu's browser backend does not do yet: subgroups, the names that a browser gives of a device, and pipelines that are compiled side
//! by side.
//!
//! wgpu calls the browser's objects by their methods' names, so a property of the object itself stands before the method of its prototype.

use std::cell::RefCell;

use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use super::super::{AdapterFacts, ComputeKernel};

/// The flag of `GPUShaderStage.COMPUTE`.
const COMPUTE_STAGE: u32 = 4;

thread_local! {
    /// Of the adapter that was asked for last.
    static FACTS: RefCell<AdapterFacts> = RefCell::default();
    /// The pipeline that the next `createComputePipeline` answers with.
    static READY: RefCell<Option<JsValue>> = const { RefCell::new(None) };
}

fn get(object: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(object, &name.into()).ok().filter(|value| !value.is_undefined() && !value.is_null())
}

fn text(object: &JsValue, name: &str) -> String {
    get(object, name).and_then(|value| value.as_string()).unwrap_or_default()
}

fn method(object: &JsValue, name: &str) -> Option<Function> {
    get(object, name)?.dyn_into().ok()
}

fn object(entries: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in entries {
        // Setting a property of a plain object cannot fail.
        let _ = Reflect::set(&object, &(*name).into(), value);
    }
    object.into()
}

fn webgpu() -> Option<JsValue> {
    get(&get(&js_sys::global(), "navigator")?, "gpu")
}

/// Makes adapters tell what they are, and ask for subgroups when their device is opened.
pub(in crate::platform) fn prepare_adapters() {
    const DONE: &str = "rootstockPrepared";
    let Some(gpu) = webgpu().filter(|gpu| get(gpu, DONE).is_none()) else { return };
    let Some(request) = method(&gpu, "requestAdapter") else { return };
    let of = gpu.clone();
    let asking = Closure::<dyn Fn(JsValue) -> Promise>::new(move |options: JsValue| {
        let (request, of) = (request.clone(), of.clone());
        future_to_promise(async move {
            let adapter = JsFuture::from(request.call1(&of, &options)?.unchecked_into::<Promise>()).await?;
            if adapter.is_object() {
                let facts = facts_of(&adapter);
                if facts.subgroups {
                    ask_for_subgroups(&adapter);
                }
                FACTS.replace(facts);
            }
            Ok(adapter)
        })
    });
    // A browser that forbids this has its adapters as they are: without names and subgroups.
    let _ = Reflect::set(&gpu, &"requestAdapter".into(), asking.as_ref());
    let _ = Reflect::set(&gpu, &DONE.into(), &JsValue::TRUE);
    asking.forget(); // it lives as long as the worker
}

/// What is known of the adapter that was asked for last.
pub(in crate::platform) fn adapter_facts() -> AdapterFacts {
    FACTS.with_borrow(Clone::clone)
}

fn facts_of(adapter: &JsValue) -> AdapterFacts {
    let info = get(adapter, "info").unwrap_or_else(|| Object::new().into());
    let features = get(adapter, "features");
    let has = |feature: &str| {
        let answer = features.as_ref().and_then(|set| method(set, "has")?.call1(set, &feature.into()).ok());
        answer.and_then(|answer| answer.as_bool()).unwrap_or(false)
    };
    AdapterFacts {
        vendor: text(&info, "vendor"),
        architecture: text(&info, "architecture"),
        driver: browser_version(),
        subgroups: has("subgroups"),
    }
}

/// The browser and its version, such as `Chrome/156.0.0.0`: it brings the compiler of the kernels.
fn browser_version() -> String {
    let agent = get(&js_sys::global(), "navigator").map_or_else(String::new, |navigator| text(&navigator, "userAgent"));
    let named = ["Edg/", "Firefox/", "Chrome/", "Version/"].into_iter();
    let found = named.filter_map(|name| agent.split(' ').find(|word| word.starts_with(name))).next();
    found.map_or(agent.clone(), str::to_string)
}

/// Makes the adapter's `requestDevice` ask for subgroups too: wgpu asks only for what it knows.
fn ask_for_subgroups(adapter: &JsValue) {
    let Some(request) = method(adapter, "requestDevice") else { return };
    let of = adapter.clone();
    // A device can be had from an adapter once.
    let asking = Closure::once_into_js(move |descriptor: JsValue| -> Result<JsValue, JsValue> {
        let descriptor = if descriptor.is_object() { descriptor } else { Object::new().into() };
        let features = get(&descriptor, "requiredFeatures").map_or_else(Array::new, |list| Array::from(&list));
        features.push(&"subgroups".into());
        Reflect::set(&descriptor, &"requiredFeatures".into(), &features)?;
        request.call1(&of, &descriptor)
    });
    let _ = Reflect::set(adapter, &"requestDevice".into(), &asking);
}

/// Compiles kernels side by side: wgpu's backend creates pipelines one after the other, which a browser compiles as they come. `None` for
/// one that the browser refused: creating it again says why.
pub(in crate::platform) async fn compile(
    device: &wgpu::Device,
    kernels: &[ComputeKernel<'_>],
    tell: &dyn Fn(usize),
) -> Vec<Option<JsValue>> {
    let Some(device) = device.as_webgpu() else { return Vec::new() };
    let device: JsValue = AsRef::<JsValue>::as_ref(device).clone();
    let begun: Vec<Option<Promise>> = kernels.iter().map(|kernel| begin(&device, kernel).ok()).collect();
    let mut pipelines = Vec::with_capacity(begun.len());
    for promise in begun {
        pipelines.push(match promise {
            Some(promise) => JsFuture::from(promise).await.ok(),
            None => None,
        });
        tell(pipelines.len());
    }
    pipelines
}

fn begin(device: &JsValue, kernel: &ComputeKernel<'_>) -> Result<Promise, JsValue> {
    let call = |name: &str, argument: JsValue| match method(device, name) {
        Some(method) => method.call1(device, &argument),
        None => Err(JsValue::from(name)),
    };
    let entries: Array = (0u32..)
        .zip(kernel.bindings)
        .map(|(binding, kind)| {
            let buffer = object(&[("type", (*kind).into())]);
            object(&[("binding", binding.into()), ("visibility", COMPUTE_STAGE.into()), ("buffer", buffer)])
        })
        .collect();
    let constants: Vec<(&str, JsValue)> = kernel.constants.iter().map(|(name, value)| (*name, (*value).into())).collect();
    // What is wrong with a kernel is said when wgpu creates it, in wgpu's own scope.
    call("pushErrorScope", "validation".into())?;
    let module = call("createShaderModule", object(&[("label", kernel.label.into()), ("code", kernel.wgsl.into())]));
    let layout = call("createBindGroupLayout", object(&[("entries", entries.into())]));
    let layout = layout.and_then(|layout| call("createPipelineLayout", object(&[("bindGroupLayouts", Array::of1(&layout).into())])));
    let made = module.and_then(|module| {
        let stage = object(&[("module", module), ("entryPoint", "main".into()), ("constants", object(&constants))]);
        call("createComputePipelineAsync", object(&[("label", kernel.label.into()), ("layout", layout?), ("compute", stage)]))
    });
    if let Some(pop) = method(device, "popErrorScope")
        && let Ok(popped) = pop.call0(device)
    {
        // The answer is of no use, and a rejected promise that nobody hears is an error in the console.
        let _ = future_to_promise(async move { JsFuture::from(popped.unchecked_into::<Promise>()).await.or(Ok(JsValue::NULL)) });
    }
    Ok(made?.unchecked_into())
}

/// Answers the next `createComputePipeline` of the device with this pipeline.
pub(in crate::platform) fn hand_over(device: &wgpu::Device, pipeline: Option<JsValue>) {
    const DONE: &str = "rootstockPrepared";
    let Some(device) = device.as_webgpu() else { return };
    let device: &JsValue = AsRef::<JsValue>::as_ref(device);
    READY.replace(pipeline);
    if get(device, DONE).is_some() {
        return;
    }
    let Some(create) = method(device, "createComputePipeline") else { return };
    let of = device.clone();
    let creating = Closure::<dyn Fn(JsValue) -> Result<JsValue, JsValue>>::new(move |descriptor: JsValue| match READY.take() {
        Some(pipeline) => Ok(pipeline),
        None => create.call1(&of, &descriptor),
    });
    let _ = Reflect::set(device, &"createComputePipeline".into(), &creating.into_js_value());
    let _ = Reflect::set(device, &DONE.into(), &JsValue::TRUE);
}
