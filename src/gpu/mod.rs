//! The device, its limits, its buffers and its pipelines. Only this room, `plan` and `platform` use wgpu.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::kernels::{Shader, Tuning, TuningChoice};
use crate::platform;

mod devices;
mod measured;
mod pipeline;
mod profile;
mod timestamps;

pub use crate::kernels::DeviceClass;
pub use devices::{DeviceSummary, devices};
pub use measured::{Measured, MeasuredTuning};
pub use pipeline::Pipeline;
pub use profile::{BINDING_ALIGNMENT, Profile, TuningSource};
pub(crate) use timestamps::Timestamps;

/// How to choose among several devices.
#[derive(Debug, Clone, Default)]
pub struct DeviceChoice {
    /// Part of the device's name, or its index in `rootstock devices`; `None` takes the fastest kind there is.
    pub device: Option<String>,
    /// Pretend that the device offers no subgroups, as in a browser.
    pub without_subgroups: bool,
    /// Never use more than this many bytes of GPU memory.
    pub memory_limit: Option<u64>,
    /// Pretend that no binding may be larger than this: matrices are then cut by rows as a large vocabulary is.
    pub largest_binding: Option<u64>,
    /// What to change about the choice of kernels.
    pub tuning: TuningChoice,
    /// What was measured on devices earlier.
    pub measured: Measured,
}

/// An open device with its queue, and everything that is made once per device.
pub struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    profile: Profile,
    pipelines: Rc<RefCell<HashMap<Rc<pipeline::Key>, Rc<Pipeline>>>>,
    /// The first asynchronous error (device lost, validation); every later call returns it.
    failure: Arc<Mutex<Option<String>>>,
    memory: Rc<MemoryCount>,
    /// Is told how many kernels of how many are compiled.
    compiling: Rc<RefCell<Option<Compiling>>>,
}

/// Is told how many of the kernels that are being compiled are done, and how many they are.
pub type Compiling = Rc<dyn Fn(usize, usize)>;

/// A GPU buffer that counts itself into [`Gpu::allocated_bytes`].
#[derive(Debug)]
pub struct Buffer {
    pub(crate) raw: wgpu::Buffer,
    counted: Counted,
}

/// Bytes in buffers, now and at most.
#[derive(Debug, Default)]
struct MemoryCount {
    allocated: Cell<u64>,
    peak: Cell<u64>,
    /// The count that these bytes are a part of: that of the device, where this one is of one of its users.
    whole: Option<Rc<MemoryCount>>,
}

impl MemoryCount {
    /// Counts bytes in; they are counted out when the value is dropped.
    fn add(self: &Rc<Self>, bytes: u64) -> Counted {
        let mut count = Some(self);
        while let Some(one) = count {
            one.allocated.set(one.allocated.get() + bytes);
            one.peak.set(one.peak.get().max(one.allocated.get()));
            count = one.whole.as_ref();
        }
        Counted { bytes, memory: self.clone() }
    }

    fn remove(&self, bytes: u64) {
        self.allocated.set(self.allocated.get().saturating_sub(bytes));
        if let Some(whole) = &self.whole {
            whole.remove(bytes);
        }
    }

    /// The bytes that are allocated on the device, whoever uses them.
    fn on_device(&self) -> u64 {
        self.whole.as_ref().map_or_else(|| self.allocated.get(), |whole| whole.on_device())
    }
}

/// Bytes that are given back to the count when dropped.
#[derive(Debug)]
struct Counted {
    bytes: u64,
    memory: Rc<MemoryCount>,
}

impl Buffer {
    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.counted.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.memory.remove(self.bytes);
    }
}

impl Gpu {
    /// Opens the chosen device.
    ///
    /// # Errors
    /// [`Error::Device`] when there is none, or none of that name, with what to install.
    pub async fn open(choice: &DeviceChoice) -> Result<Gpu> {
        let adapter = devices::choose(choice).await?;
        let profile = Profile::of(&adapter, choice)?;
        let mut features = wgpu::Features::empty();
        let wanted = [wgpu::Features::TIMESTAMP_QUERY, wgpu::Features::SUBGROUP, wgpu::Features::SHADER_F16];
        for feature in wanted {
            if adapter.features().contains(feature) {
                features |= feature;
            }
        }
        let offered = adapter.limits();
        let limits = wgpu::Limits {
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            max_buffer_size: offered.max_buffer_size,
            ..wgpu::Limits::default().using_alignment(offered.clone()).or_worse_values_from(&offered)
        };
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("rootstock"),
                required_features: features,
                required_limits: limits,
                memory_hints: wgpu::MemoryHints::MemoryUsage,
                ..Default::default()
            })
            .await
            .map_err(|e| Error::device(format!("{} could not be opened: {e}", profile.name)))?;

        let failure = Arc::new(Mutex::new(None::<String>));
        let seen = failure.clone();
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| keep_first(&seen, e.to_string())));
        let seen = failure.clone();
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                keep_first(&seen, format!("the GPU was lost ({message})"));
            }
        });
        Ok(Gpu { device, queue, profile, pipelines: Rc::default(), failure, memory: Rc::default(), compiling: Rc::default() })
    }

    /// The same device with another choice of kernels: memory is counted together, and compiled kernels are shared.
    pub fn with_tuning(&self, tuning: Tuning, source: TuningSource) -> Gpu {
        Gpu {
            profile: Profile { tuning, tuning_source: source, ..self.profile.clone() },
            memory: self.memory.clone(),
            compiling: self.compiling.clone(),
            ..self.shared()
        }
    }

    /// The same device for one of several users: compiled kernels and failures are shared; what this one allocates is counted apart, and in the
    /// device's own count as well.
    pub fn counted_apart(&self) -> Gpu {
        Gpu { memory: Rc::new(MemoryCount { whole: Some(self.memory.clone()), ..MemoryCount::default() }), ..self.shared() }
    }

    fn shared(&self) -> Gpu {
        Gpu {
            device: self.device.clone(),
            queue: self.queue.clone(),
            profile: self.profile.clone(),
            pipelines: self.pipelines.clone(),
            failure: self.failure.clone(),
            memory: Rc::default(),
            compiling: Rc::default(),
        }
    }

    /// What this device is and may do.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Bytes in buffers at this moment.
    pub fn allocated_bytes(&self) -> u64 {
        self.memory.allocated.get()
    }

    /// The most bytes that were in buffers at one time since the device was opened or [`Gpu::reset_peak`].
    pub fn peak_bytes(&self) -> u64 {
        self.memory.peak.get()
    }

    /// Sets the peak to what is allocated now.
    pub fn reset_peak(&self) {
        self.memory.peak.set(self.memory.allocated.get());
    }

    /// Allocates a zero-filled buffer for shaders, copies and uploads.
    ///
    /// # Errors
    /// [`Error::Gpu`] when the device has too little memory; it stays usable, smaller requests may succeed.
    pub async fn buffer(&self, label: &str, bytes: u64) -> Result<Rc<Buffer>> {
        use wgpu::BufferUsages as U;
        self.buffer_with(label, bytes, U::STORAGE | U::COPY_DST | U::COPY_SRC).await
    }

    /// Allocates a uniform buffer.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub async fn uniform(&self, label: &str, bytes: u64) -> Result<Rc<Buffer>> {
        self.buffer_with(label, bytes, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST).await
    }

    async fn buffer_with(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<Rc<Buffer>> {
        let bytes = bytes.max(16).next_multiple_of(16);
        let full = |why: String| Error::gpu(format!("{label}: {} of GPU memory could not be allocated: {why}", human_bytes(bytes)));
        if let Some(limit) = self.profile.memory_limit
            && self.memory.on_device() + bytes > limit
        {
            return Err(full(format!("the limit of {} is reached", human_bytes(limit))));
        }
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let raw = self.device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size: bytes, usage, mapped_at_creation: false });
        // Both are popped before anything is awaited: the scopes are a stack of the device, which others use meanwhile.
        let (validation, memory) = (validation.pop(), memory.pop());
        if let Some(e) = validation.await {
            return Err(full(e.to_string()));
        }
        if memory.await.is_some() {
            return Err(full("the device is out of memory".into()));
        }
        Ok(Rc::new(Buffer { raw, counted: self.memory.add(bytes) }))
    }

    /// Queues an upload; it lands before the next submission.
    pub fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.queue.write_buffer(&buffer.raw, offset, bytes);
        }
    }

    /// Copies bytes back from the GPU. Offset and size are multiples of 4.
    ///
    /// # Errors
    /// [`Error::Gpu`] when the device is lost or out of memory.
    pub async fn read(&self, buffer: &Buffer, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        self.start_read(buffer, offset, bytes)?.wait(self).await
    }

    /// Queues a copy back and returns at once: the bytes are read later, so that the GPU does not wait for the host.
    ///
    /// # Errors
    /// [`Error::Gpu`] when an earlier command failed.
    pub fn start_read(&self, buffer: &Buffer, offset: u64, bytes: u64) -> Result<Readback> {
        self.check()?;
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size: bytes.max(4),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&buffer.raw, offset, &staging, 0, bytes);
        let submission = self.queue.submit([encoder.finish()]);
        let (sender, receiver) = futures_channel::oneshot::channel();
        staging.slice(..).map_async(wgpu::MapMode::Read, move |result| {
            let _ = sender.send(result.is_ok());
        });
        Ok(Readback { staging, submission, receiver, _counted: self.memory.add(bytes.max(4)) })
    }

    /// Waits until everything submitted so far is done.
    ///
    /// # Errors
    /// [`Error::Gpu`] when the device is lost.
    pub async fn finish(&self) -> Result<()> {
        let (sender, receiver) = futures_channel::oneshot::channel();
        self.queue.on_submitted_work_done(move || {
            let _ = sender.send(());
        });
        platform::wait_for_gpu(&self.device, None);
        let _ = receiver.await;
        self.check()
    }

    /// The pipelines of shaders with these override constants, in their order; each is compiled once per device. All that are missing are
    /// begun before the first is awaited, so that a browser compiles them side by side.
    ///
    /// # Errors
    /// [`Error::Gpu`] when the device's compiler refuses one.
    pub(crate) async fn pipelines<'a>(
        &self,
        wanted: impl Iterator<Item = (&'static Shader, &'a [(&'static str, f64)])>,
    ) -> Result<Vec<Rc<Pipeline>>> {
        let mut keys = Vec::new();
        let (mut missing, mut shaders) = (Vec::new(), Vec::new());
        for (shader, constants) in wanted {
            let key = Rc::new(pipeline::Key::new(shader, constants));
            if !self.pipelines.borrow().contains_key(&key) && !missing.contains(&key) {
                missing.push(key.clone());
                shaders.push((shader, constants));
            }
            keys.push(key);
        }
        let (hear, total) = (self.compiling.borrow().clone(), shaders.len());
        let tell = |done: usize| {
            if let Some(hear) = hear.as_ref().filter(|_| total > 0) {
                hear(done, total);
            }
        };
        tell(0);
        let compiled = pipeline::compile_ahead(&self.device, &shaders, &tell).await;
        // What was compiled ahead is only taken over here.
        let takes_over = !compiled.is_empty();
        let mut compiled = compiled.into_iter();
        let mut begun = Vec::new();
        for (key, (shader, constants)) in missing.into_iter().zip(shaders) {
            platform::hand_over(&self.device, compiled.next().flatten());
            let (made, refused) = Pipeline::begin(&self.device, shader, constants);
            self.pipelines.borrow_mut().insert(key.clone(), Rc::new(made));
            begun.push((key, refused));
        }
        let mut failure = None;
        for (done, (key, refused)) in begun.into_iter().enumerate() {
            if !takes_over {
                tell(done);
            }
            if let Some(error) = refused.await {
                self.pipelines.borrow_mut().remove(&key);
                failure.get_or_insert(error);
            }
        }
        match failure {
            Some(error) => Err(error),
            None => {
                let pipelines = self.pipelines.borrow();
                Ok(keys.iter().filter_map(|key| pipelines.get(key).cloned()).collect())
            }
        }
    }

    /// From now on `hear` is told how far the compiling of kernels is: it takes long on some devices. `None` tells nobody.
    pub fn tell_compiling(&self, hear: Option<Compiling>) {
        *self.compiling.borrow_mut() = hear;
    }

    /// Fails if an earlier command failed on the device.
    ///
    /// # Errors
    /// [`Error::Gpu`] with the first failure.
    pub fn check(&self) -> Result<()> {
        match self.failure.lock() {
            Ok(failure) => match failure.as_ref() {
                Some(reason) => {
                    Err(Error::gpu(format!("{reason}; files on disk are unchanged, run again to continue from the last checkpoint")))
                }
                None => Ok(()),
            },
            Err(_) => Err(Error::gpu("the GPU's error handler failed")),
        }
    }

    /// Loses the device on purpose, to test what happens then.
    pub fn lose(&self) {
        keep_first(&self.failure, "the GPU was lost (on purpose)".into());
        self.device.destroy();
    }
}

fn keep_first(slot: &Mutex<Option<String>>, message: String) {
    if let Ok(mut slot) = slot.lock() {
        slot.get_or_insert(message);
    }
}

/// Bytes on their way back from the GPU.
pub struct Readback {
    staging: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
    receiver: futures_channel::oneshot::Receiver<bool>,
    _counted: Counted,
}

impl Readback {
    /// Waits for the bytes.
    ///
    /// # Errors
    /// [`Error::Gpu`] when the device was lost meanwhile.
    pub async fn wait(self, gpu: &Gpu) -> Result<Vec<u8>> {
        platform::wait_for_gpu(&gpu.device, Some(self.submission));
        let arrived = self.receiver.await.unwrap_or(false);
        gpu.check()?;
        if !arrived {
            return Err(Error::gpu("reading results back from the GPU failed; the device was probably lost, run again"));
        }
        let view =
            self.staging.slice(..).get_mapped_range().map_err(|e| Error::gpu(format!("the GPU's results could not be mapped: {e}")))?;
        Ok(view.to_vec())
    }
}

/// `1536` as `1.5 KiB`.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}
