//! A worker's session: receives requests, sends replies and events. One file per kind of request.
//!
//! The session owns the device, the open base, the prepared data and the current run. Requests are handled concurrently: during a run
//! the page may send any other request.

mod adapted;
mod base;
mod begun;
mod cancel;
mod columns;
mod data;
mod delta;
mod estimate;
mod evaluate;
mod gate;
mod given;
mod home;
mod keep;
mod kept;
mod lesson;
mod look;
mod settings;
mod speed;
mod steer;
mod talk;
mod tokens;
mod train;
mod watch;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;

use adapted::AdaptedModel;
use base::OpenBase;
use begun::BegunModel;
use cancel::Cancelled;
use data::PreparedData;
use gate::Gate;
use given::GivenData;
use steer::Steering;
use talk::Talkers;

use super::messages::{Device, Event, Reply, Request, Storage};
use crate::bench;
use crate::error::{Error, Result};
use crate::gpu::{DeviceChoice, DeviceClass, Gpu, Measured, TuningSource};
use crate::kernels::TuningChoice;
use crate::platform::{Directory, OutputDirectory, write_json};

/// The file of measured tunings.
const TUNINGS: &str = "tunings.json";

/// Work on the heap, so that the future of all requests, and the stack that polls it, do not grow with each: in a debug build a request within a run is
/// deep enough already.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// Receives the events of a request.
pub type Emit = Rc<dyn Fn(Event)>;

/// The context of a request.
#[derive(Clone)]
pub struct Call {
    /// The request's id.
    pub id: u32,
    /// The files sent with it.
    pub files: Option<Rc<dyn Directory>>,
    /// Receives its events.
    pub emit: Emit,
    /// Set when the page cancels the request.
    cancelled: Rc<Cancelled>,
}

impl Call {
    /// Creates the context of a request, not cancelled.
    pub fn new(id: u32, files: Option<Rc<dyn Directory>>, emit: Emit) -> Call {
        Call { id, files, emit, cancelled: Rc::default() }
    }
}

/// The state of one worker.
pub struct Session {
    /// The page's own files: `embedded-model/`, `demo/`.
    assets: Rc<dyn Directory>,
    /// Storage for runs and models. Its locks exclude concurrent writers among all sessions that share it.
    store: Rc<dyn OutputDirectory>,
    choice: RefCell<DeviceChoice>,
    gpu: RefCell<Option<Rc<Gpu>>>,
    embedded: RefCell<Option<Rc<dyn Directory>>>,
    base: RefCell<Option<Rc<OpenBase>>>,
    begun_model: RefCell<Option<BegunModel>>,
    /// The data that was prepared last; its tokens are in `prepared` unless they were given up for others.
    given: RefCell<Option<GivenData>>,
    prepared: RefCell<Option<Rc<PreparedData>>>,
    preparing: Gate,
    /// The run in progress; several, if they take their steps in turn.
    running: RefCell<Vec<Rc<Steering>>>,
    /// The stored run that `chat`, `losses`, `deltas` and `merge` use.
    tuned: RefCell<Option<String>>,
    /// The base and the adapters that `adapt` or `truncate` put on it.
    adapted: RefCell<Option<Rc<AdaptedModel>>>,
    talkers: Talkers,
    /// Floating-point operations per second of the last run in this session, or as measured; used to estimate the time of a run.
    speed: Cell<Option<f64>>,
    /// The same for answers, which are written token by token.
    answer_speed: Cell<Option<f64>>,
    /// Number of devices lost so far.
    lost_devices: Cell<usize>,
    cancels: RefCell<BTreeMap<u32, Rc<Cancelled>>>,
    /// Why the store lies in memory instead of the browser's storage.
    storage_refused: RefCell<Option<String>>,
}

impl Session {
    /// Creates a session with the page's files and a store for runs.
    pub fn new(assets: Rc<dyn Directory>, store: Rc<dyn OutputDirectory>, choice: DeviceChoice) -> Rc<Session> {
        Rc::new(Session {
            assets,
            store,
            choice: RefCell::new(choice),
            gpu: RefCell::default(),
            embedded: RefCell::default(),
            base: RefCell::default(),
            begun_model: RefCell::default(),
            given: RefCell::default(),
            prepared: RefCell::default(),
            preparing: Gate::default(),
            running: RefCell::default(),
            tuned: RefCell::default(),
            adapted: RefCell::default(),
            talkers: Talkers::default(),
            speed: Cell::default(),
            answer_speed: Cell::default(),
            lost_devices: Cell::default(),
            cancels: RefCell::default(),
            storage_refused: RefCell::default(),
        })
    }

    /// Notes that the store lies in memory, and why.
    pub fn without_storage(&self, reason: String) {
        *self.storage_refused.borrow_mut() = Some(reason);
    }

    /// A stored file, whole, by its path from the store's root: for pages that cannot read the browser's storage themselves.
    ///
    /// # Errors
    /// When there is no such file.
    pub async fn read_stored(&self, path: &str) -> Result<Vec<u8>> {
        self.store.read(path).await
    }

    /// Handles a request.
    ///
    /// # Errors
    /// When the request fails, with a message for the user.
    pub async fn handle(self: &Rc<Self>, request: Request, call: Call) -> Result<Reply> {
        self.cancels.borrow_mut().insert(call.id, call.cancelled.clone());
        let reply = self.work(request, &call).await;
        self.cancels.borrow_mut().remove(&call.id);
        self.drop_lost_device();
        reply
    }

    async fn work(self: &Rc<Self>, request: Request, call: &Call) -> Result<Reply> {
        Ok(match request {
            Request::Device => Reply::Device(self.gpu().await.ok().map(|gpu| device(&gpu))),
            Request::Tune { tuning } => {
                self.tune(&tuning)?;
                Reply::Nothing
            }
            Request::MeasureKernels => {
                self.measure_kernels().await?;
                Reply::Nothing
            }
            Request::Speed { model } => Reply::Speed(Box::new(self.measure_all(&model, call).await?)),
            Request::Open { source } => Reply::Base(Box::new(self.open_base(source, call).await?)),
            Request::Validate => Reply::Report(Box::new(self.validate_base(call).await?)),
            Request::Repair => Reply::Repaired(Box::new(self.repair(call).await?)),
            Request::Examples => Reply::Examples(self.examples().await?),
            Request::Columns { file } => Reply::Columns(self.column_names(&file, call.files.clone()).await?),
            Request::Prepare { data, evaluation, recipe, first, count } => {
                let given = GivenData { data, evaluation, files: call.files.clone() };
                let work = self.prepare_data(&given, &recipe, call);
                let prepared = call.unless_cancelled("reading the data", work).await?;
                Reply::Preview(self.preview(&prepared, &recipe, first, count)?)
            }
            Request::Estimate { recipe, samples } => {
                let work = self.estimate(&recipe, samples.as_ref(), call);
                Reply::Estimate(call.unless_cancelled("the estimate", work).await?)
            }
            Request::Measure => {
                self.measure_speed().await?;
                Reply::Nothing
            }
            Request::Keys => Reply::Keys(settings::recipe_keys()),
            Request::ReadRecipe { yaml } => Reply::ReadRecipe(settings::read(&yaml)?),
            Request::WriteRecipe { recipe } => Reply::Text(settings::write(&recipe, &self.places_to_write())),
            Request::Train { recipe, samples, beside } => Reply::Ended(self.train_new(recipe, samples, beside, call).await?),
            Request::GoOn { run, beside } => Reply::Ended(self.go_on(&run, beside, call).await?),
            Request::Pause => self.steer(|run| run.hold())?,
            Request::Resume => self.steer(|run| run.release())?,
            Request::Stop => self.steer(|run| run.stop())?,
            Request::Save => self.steer(|run| run.save())?,
            Request::Skip => self.steer(|run| run.skip())?,
            Request::Runs => Reply::Runs(self.runs().await?),
            Request::Describe { id, name, notes } => Reply::Run(self.describe_kept(&id, &name, notes).await?),
            Request::Log { id } => Reply::Log(self.kept_log(&id).await?),
            Request::Remove { id } => {
                self.remove(&id).await?;
                Reply::Nothing
            }
            Request::Storage => {
                let state = crate::platform::storage(false).await;
                let worker_bytes = crate::platform::heap_bytes();
                let refused = self.storage_refused.borrow().clone();
                Reply::Storage(Storage { usage: state.usage, quota: state.quota, persistent: state.persistent, worker_bytes, refused })
            }
            Request::Tuned { id } => Reply::Run(self.choose_tuned(&id).await?),
            Request::Chat { which, messages, sampling } => Reply::Answered(self.chat(which, &messages, &sampling, call).await?),
            Request::Losses { which, text } => Reply::Losses(self.losses(which, &text, call).await?),
            Request::Evaluate { which, data, cutoff_len } => {
                let work = self.evaluate(which, &data, cutoff_len, call);
                Reply::Score(call.unless_cancelled("the evaluation", work).await?)
            }
            request @ (Request::Look { .. } | Request::Adapt { .. } | Request::Truncate { .. } | Request::ShapeMemory { .. }) => {
                self.lesson(request, call).await?
            }
            Request::Deltas => Reply::Deltas(self.deltas(call).await?),
            Request::Adopt { name } => Reply::Run(self.adopt(&name, call).await?),
            Request::Merge { adapted } => Reply::Run(if adapted { self.merge_adapted(call).await? } else { self.merge(call).await? }),
            Request::Files { id } => Reply::Files(self.files_to_take(&id).await?),
            request @ (Request::HeldOut { .. } | Request::Gguf { .. } | Request::DropGguf { .. }) => self.beside(request, call).await?,
            Request::Cancel { request } => {
                self.cancel(request);
                Reply::Nothing
            }
        })
    }

    /// The device; opened on first use, and reopened after it was lost.
    async fn gpu(&self) -> Result<Rc<Gpu>> {
        self.drop_lost_device();
        if let Some(gpu) = self.gpu.borrow().as_ref() {
            return Ok(gpu.clone());
        }
        let choice = DeviceChoice { measured: self.measured_tunings().await, ..self.choice.borrow().clone() };
        let gpu = Rc::new(Gpu::open(&choice).await?);
        *self.gpu.borrow_mut() = Some(gpu.clone());
        Ok(gpu)
    }

    /// Changes the kernels of the device; what is computing goes on with those that it has.
    fn tune(&self, tuning: &str) -> Result<()> {
        self.choice.borrow_mut().tuning = TuningChoice::parse(tuning)?;
        self.gpu.borrow_mut().take();
        self.forget_talkers();
        Ok(())
    }

    /// Measures which kernels are fastest and remembers it. A run in progress is left alone: it keeps its kernels and is not disturbed.
    async fn measure_kernels(&self) -> Result<()> {
        let gpu = self.gpu().await?;
        let (profile, mut known) = (gpu.profile(), self.measured_tunings().await);
        let settled = profile.class == DeviceClass::Cpu || profile.tuning_source == TuningSource::Given || known.of(profile).is_some();
        if settled || !self.running.borrow().is_empty() {
            return Ok(());
        }
        known.insert(profile, bench::tune(&gpu, bench::BUDGET).await?);
        // A full disk only costs the next visit a second.
        let _ = write_json(&*self.store, TUNINGS, &known).await;
        if let Some(tuning) = known.tuning(profile) {
            let mut current = self.gpu.borrow_mut();
            if current.as_ref().is_some_and(|current| Rc::ptr_eq(current, &gpu)) {
                *current = Some(Rc::new(gpu.with_tuning(tuning, TuningSource::Measured)));
            }
        }
        Ok(())
    }

    /// What was measured on devices in this visit or an earlier one.
    async fn measured_tunings(&self) -> Measured {
        match self.store.size(TUNINGS).await {
            Ok(Some(_)) => Measured::parse(&self.store.read(TUNINGS).await.unwrap_or_default()),
            _ => Measured::default(),
        }
    }

    /// Forgets what was prepared, and the model for it: it belongs to a base that is no longer open.
    fn forget_data(&self) {
        self.given.borrow_mut().take();
        self.prepared.borrow_mut().take();
        self.begun_model.borrow_mut().take();
    }

    /// Drops a lost device and everything allocated on it.
    fn drop_lost_device(&self) {
        let lost = self.gpu.borrow().as_ref().is_some_and(|gpu| gpu.check().is_err());
        if lost {
            self.lost_devices.set(self.lost_devices.get() + 1);
            self.gpu.borrow_mut().take();
            self.forget_talkers();
        }
    }

    /// Destroys the device, for tests of device loss.
    pub fn lose_device(&self) {
        if let Some(gpu) = self.gpu.borrow().as_ref() {
            gpu.lose();
        }
    }

    /// Whether a device was ever lost in this session.
    pub fn has_lost_a_device(&self) -> bool {
        self.lost_devices.get() > 0
    }

    fn steer(&self, how: impl Fn(&Steering)) -> Result<Reply> {
        // A run may end while it is told something.
        let running = self.running.borrow().clone();
        if running.is_empty() {
            return Err(Error::out_of_turn("no run goes on"));
        }
        for run in running {
            how(&run);
        }
        Ok(Reply::Nothing)
    }

    fn places_to_write(&self) -> Vec<(&'static str, String)> {
        let base = self.base.borrow().as_ref().map(|base| base.reference());
        let named = [("model_name_or_path", base.unwrap_or_else(|| "MODEL".into())), ("dataset_dir", "data".into())];
        named.into_iter().chain([("dataset", "DATASET".into()), ("output_dir", "output".into())]).collect()
    }
}

fn device(gpu: &Gpu) -> Device {
    let profile = gpu.profile();
    Device {
        name: profile.name.clone(),
        software: profile.class == DeviceClass::Cpu,
        family: profile.family.name().into(),
        f16: profile.shader_f16,
        subgroups: profile.subgroups.is_some(),
        max_buffer_bytes: profile.max_buffer,
        max_binding_bytes: profile.max_binding,
        memory_bytes: profile.usable_memory(),
    }
}
