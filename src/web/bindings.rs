//! The exports for JavaScript: a [`Session`] for the page's worker, and functions that the browser tests call.

use std::rc::Rc;

use js_sys::{Float32Array, Object, Reflect, Uint8Array};
use serde_json::json;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{JsError, JsValue, wasm_bindgen};

use crate::checkpoint::{Checkpoint, ParamSource};
use crate::data::{Batch, Sample};
use crate::engine::{Engine, EngineOptions, Method, Objective};
use crate::error::Error;
use crate::gpu::{DeviceChoice, Gpu};
use crate::kernels::{self, StepValues, TuningChoice};
use crate::optim::Optimizer;
use crate::plan::Part;
use crate::platform::{Directory, FileDirectory, HttpDirectory, MemoryDirectory, OpfsDirectory};
use crate::web::messages::{BaseSource, Event, Failure, Request};
use crate::web::session::{self, Call};

/// Runs once when the module is loaded: a panic, which only a bug can cause, is written to the console with its place.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

#[wasm_bindgen]
extern "C" {
    /// `scripts/wasm-bindgen/src/loader.js`.
    #[wasm_bindgen(js_name = loadDeferred)]
    fn load_deferred_part();
}

/// Has the program's second part loaded at once: the stubs of what lies there call this (`scripts/wasm-bindgen/src/split.rs`).
#[wasm_bindgen]
pub fn load_deferred() {
    load_deferred_part();
}

/// Sets how the worker loads the module that decodes Parquet files: a function that returns a promise of it, called with the first such file.
#[wasm_bindgen]
pub fn parquet_by(load: js_sys::Function) {
    crate::platform::read_parquet_by(load);
}

/// What a worker does for a page.
#[wasm_bindgen]
pub struct Session(Rc<session::Session>);

#[wasm_bindgen]
impl Session {
    /// Opens the session of a worker. `assets` is the address of the folder that holds the embedded model, the examples and a list
    /// of these files; a page without them gives none.
    ///
    /// # Errors
    /// When that list cannot be read; the `Failure` says why.
    pub async fn open(assets: Option<String>) -> Result<Session, JsValue> {
        let assets: Rc<dyn Directory> = match assets {
            Some(address) => {
                let list = HttpDirectory::listed(&address, "the page").await;
                Rc::new(list.map_err(|error| failure(error.renamed(|_| format!("{address}files.json"))))?)
            }
            None => Rc::new(MemoryDirectory::new("the page")),
        };
        let choice = DeviceChoice::default();
        // Where the browser refuses storage (an address that is not secure, a frame, some private windows) models can be checked
        // and repaired all the same.
        Ok(Session(match OpfsDirectory::open().await {
            Ok(store) => session::Session::new(assets, Rc::new(store), choice),
            Err(error) => {
                let session = session::Session::new(assets, Rc::new(MemoryDirectory::new("the memory of this tab")), choice);
                session.without_storage(error.to_string());
                session
            }
        }))
    }

    /// A stored file, whole. `path` is that of `StoredFile`.
    ///
    /// # Errors
    /// When there is no such file; the `Failure` says so.
    pub async fn read(&self, path: Vec<String>) -> Result<Uint8Array, JsValue> {
        Ok(Uint8Array::from(self.0.read_stored(&path.join("/")).await.map_err(failure)?.as_slice()))
    }

    /// Handles a request (`Request` of `messages.ts`); `on` receives its events. `files` are `{path, file}`.
    ///
    /// # Errors
    /// When the request fails, with a `Failure` of `messages.ts`.
    pub async fn handle(&self, id: u32, request: JsValue, files: js_sys::Array, on: js_sys::Function) -> Result<JsValue, JsValue> {
        let request: Request = serde_wasm_bindgen::from_value(request)
            .map_err(|error| told(&Failure::unreadable(format!("this request cannot be read: {error}"))))?;
        let emit = Rc::new(move |event: Event| {
            if let Ok(event) = to_js(&event) {
                let _ = on.call1(&JsValue::NULL, &event);
            }
        });
        let call = Call::new(id, given(&request, &files), emit);
        let reply = self.0.handle(request, call).await.map_err(failure)?;
        Ok(to_js(&reply)?)
    }
}

/// The files sent with a request, as a directory.
fn given(request: &Request, files: &js_sys::Array) -> Option<Rc<dyn Directory>> {
    let label = match request {
        Request::Open { source: BaseSource::Files { name } } | Request::Adopt { name } => name,
        _ if files.length() == 0 => return None,
        _ => "the given files",
    };
    let file = |entry: JsValue| {
        let path = Reflect::get(&entry, &"path".into()).ok()?.as_string()?;
        let file: web_sys::File = Reflect::get(&entry, &"file".into()).ok()?.dyn_into().ok()?;
        Some((path, file))
    };
    Some(Rc::new(FileDirectory::new(label, files.iter().filter_map(file).collect())))
}

/// An error as a page gets it.
#[expect(clippy::needless_pass_by_value, reason = "map_err gives it away")]
fn failure(error: Error) -> JsValue {
    told(&Failure::from(&error))
}

fn told(failure: &Failure) -> JsValue {
    to_js(failure).unwrap_or_else(|_| JsValue::from_str(&failure.sentence))
}

/// Converts a value as JSON would: plain objects, numbers, null.
fn to_js(value: &impl serde::Serialize) -> Result<JsValue, serde_wasm_bindgen::Error> {
    value.serialize(&serde_wasm_bindgen::Serializer::json_compatible())
}

/// Every shader module, prefixed with its shared parts, as JSON `[{"name", "wgsl"}]`.
#[wasm_bindgen]
pub fn shader_sources() -> String {
    let sources = kernels::ALL.iter().map(|shader| json!({ "name": shader.name, "wgsl": shader.wgsl() }));
    sources.collect::<serde_json::Value>().to_string()
}

/// One sample as transformers takes it: labels not yet shifted, -100 for tokens that are not trained on.
#[derive(serde::Deserialize)]
struct LabelledIds {
    input_ids: Vec<u32>,
    labels: Vec<i32>,
}

/// Runs forward and backward of one batch in full fine-tuning, without an update, so that tests can compare the browser's result
/// with that of transformers.
///
/// `files` is a model's directory, name → `Uint8Array`; `samples` are `{"input_ids", "labels"}` as JSON. The answer is
/// `{loss, grad_norm, gradients}`: the mean loss over the targets, the norm of all gradients, and each gradient by its
/// parameter's name as a `Float32Array` (out, in). `tuning` changes the choice of kernels, as `--tuning` does.
///
/// # Errors
/// When reading the directory, opening the device or the step fails, and for samples that do not fit the model.
#[wasm_bindgen]
pub async fn loss_and_gradients(files: Object, samples: String, tuning: Option<String>) -> Result<JsValue, JsError> {
    let mut directory = MemoryDirectory::new("the given files");
    for entry in Object::entries(&files) {
        let entry = js_sys::Array::from(&entry);
        let name = entry.get(0).as_string().unwrap_or_default();
        directory = directory.with(&name, Uint8Array::new(&entry.get(1)).to_vec());
    }
    let checkpoint = Checkpoint::open(Rc::new(directory)).await?;
    let samples = read_samples(&samples, checkpoint.config().vocab_size)?;
    let batch = Batch::of(&samples.iter().collect::<Vec<_>>());

    let tuning = TuningChoice::parse(&tuning.unwrap_or_default())?;
    let gpu = Rc::new(Gpu::open(&DeviceChoice { tuning, ..DeviceChoice::default() }).await?);
    let sequence = samples.iter().map(|s| s.ids.len()).max().unwrap_or(1);
    let options = EngineOptions {
        method: Method::Full,
        gradient_checkpointing: false,
        kept: None,
        sequence,
        optimizer: Optimizer::default(),
        objective: Objective::default(),
    };
    let mut engine = Engine::load(gpu, &checkpoint, options).await?;
    let targets = batch.target_count();
    // The update computes the norm; its learning rate is 0.
    let step = StepValues { loss_scale: 1.0 / targets.max(1) as f32, ..StepValues::default() };
    engine.micro_step(&batch, step).await?;
    engine.update(&step).await?;
    let stats = engine.stats().await?;

    let gradients = Object::new();
    let part = engine.part(Part::Gradients);
    for (index, declaration) in engine.declarations.iter().enumerate() {
        let numbers = part.read_rows(index, 0..declaration.rows).await?;
        set(&gradients, &declaration.name, Float32Array::from(numbers.as_slice()))?;
    }
    let answer = Object::new();
    set(&answer, "loss", f64::from(stats.loss_sum) / targets.max(1) as f64)?;
    set(&answer, "grad_norm", stats.grad_norm)?;
    set(&answer, "gradients", gradients)?;
    Ok(answer.into())
}

fn read_samples(text: &str, vocab_size: usize) -> Result<Vec<Sample>, JsError> {
    let samples: Vec<LabelledIds> = serde_json::from_str(text)?;
    if samples.iter().all(|sample| sample.input_ids.is_empty()) {
        return Err(JsError::new("the samples hold no token"));
    }
    for (index, sample) in samples.iter().enumerate() {
        if sample.labels.len() != sample.input_ids.len() {
            return Err(JsError::new(&format!("sample {index} has another number of labels than of tokens")));
        }
        let labels = sample.labels.iter().filter_map(|&label| u32::try_from(label).ok());
        if let Some(id) = labels.chain(sample.input_ids.iter().copied()).find(|&id| id as usize >= vocab_size) {
            return Err(JsError::new(&format!("sample {index} has the token {id}, and the vocabulary ends at {vocab_size}")));
        }
    }
    Ok(samples.into_iter().enumerate().map(|(i, s)| Sample::new(s.input_ids, s.labels, i + 1)).collect())
}

fn set(object: &Object, key: &str, value: impl Into<JsValue>) -> Result<(), JsError> {
    let done = Reflect::set(object, &key.into(), &value.into());
    done.map(|_| ()).map_err(|_| JsError::new("a plain object refused a property"))
}
