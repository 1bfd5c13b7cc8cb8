//! A step of an adapter beside the blocks of a GGUF file, kept as they are, against PEFT on what the `gguf` package decodes from them
//! (scripts/fixtures/make_ggml.py).

use std::rc::Rc;

use rootstock::adapter::{Adapted, Adapter};
use rootstock::checkpoint::{Checkpoint, ModelSource, ParamSource, TensorFile};
use rootstock::data::{Batch, Sample};
use rootstock::engine::{Blueprint, Engine, EngineOptions, Method, Objective, stored_type};
use rootstock::gguf::open;
use rootstock::gpu::{DeviceChoice, Gpu};
use rootstock::graph::WeightType;
use rootstock::kernels::{GgmlType, StepValues};
use rootstock::optim::Optimizer;
use rootstock::plan::Part;
use rootstock::platform::{Directory, NativeDirectory, block_on};
use rootstock::quant::unpack_row;
use rootstock::validate::{Options, validate};
use serde_json::Value;

use crate::golden::difference;
use crate::kernels::gpu;

const PLACE: &str = "tests/fixtures/ggml";

/// As [`crate::golden`] allows for models in f32; the promise is 1e-4.
const TOLERANCE: f64 = 2e-5;

fn directory(name: &str) -> Rc<dyn Directory> {
    Rc::new(NativeDirectory::new(format!("{PLACE}/{name}")))
}

fn base() -> Checkpoint {
    let opened = block_on(open(directory(""), "llama.gguf")).expect("the fixture opens");
    block_on(Checkpoint::open(opened)).expect("a model")
}

fn golden() -> (Batch, f64) {
    let golden: Value = serde_json::from_slice(&block_on(directory("").read("golden.json")).expect("golden.json")).expect("JSON");
    let ids = |list: &Value| list.as_array().expect("a list").iter().map(|id| id.as_u64().expect("an id") as u32).collect();
    let sequences: Vec<Vec<u32>> = golden["sequences"].as_array().expect("a list").iter().map(ids).collect();
    let labels = |ids: &[u32]| ids.iter().map(|id| *id as i32).collect();
    let samples: Vec<Sample> = sequences.iter().map(|ids| Sample::new(ids.clone(), labels(ids), 1)).collect();
    (Batch::of(&samples.iter().collect::<Vec<_>>()), golden["loss"].as_f64().expect("a loss"))
}

fn options(method: Method) -> EngineOptions {
    EngineOptions {
        method,
        gradient_checkpointing: false,
        kept: None,
        sequence: 64,
        optimizer: Optimizer::default(),
        objective: Objective::default(),
    }
}

async fn compare(gpu: Rc<Gpu>, base: &Checkpoint) {
    let adapter = Adapter::open(directory("adapter"), base).await.expect("an adapter");
    let method = Method::Adapter { resolved: Rc::new(adapter.resolved.clone()), loraplus_lr_ratio: 1.0 };
    let mut engine = Engine::load(gpu, base, options(method)).await.expect("memory");
    engine.load_adapter(&adapter).await.expect("an adapter");
    let (batch, want) = golden();
    let targets = batch.target_count();
    let step = StepValues { loss_scale: 1.0 / targets as f32, ..StepValues::default() };
    engine.micro_step(&batch, step).await.expect("a step");
    engine.update(&step).await.expect("an update with a learning rate of 0");
    let loss = f64::from(engine.stats().await.expect("statistics").loss_sum) / targets as f64;
    assert!((loss - want).abs() < TOLERANCE * want, "loss {loss} for {want}");
    let gradients = TensorFile::open(directory(""), "gradients.safetensors").await.expect("gradients");
    let ours = engine.part(Part::Gradients);
    for (index, param) in adapter.resolved.declarations(base.params()).iter().enumerate() {
        let decl = &param.decl;
        let got = ours.read_rows(base.params().len() + index, 0..decl.rows).await.expect("a gradient");
        let want = gradients.read_f32(&decl.name, 0..decl.elements()).await.expect("a golden gradient");
        let off = difference(&got, &want);
        assert!(off < TOLERANCE, "the gradient of {} is off by {off:.1e}", decl.name);
    }
    // What lies on the GPU is what the file decodes to.
    let weights = engine.part(Part::Weights);
    for (index, param) in base.params().iter().enumerate() {
        let rows = param.rows / 3..param.rows;
        assert_eq!(weights.read_rows(index, rows.clone()).await, base.read_rows(param, rows).await, "{}", param.name);
    }
}

#[test]
fn loss_and_gradients_equal_peft_on_what_the_blocks_decode_to() {
    block_on(compare(gpu(), &base()));
}

#[test]
fn kernels_without_subgroups_and_matrices_cut_by_rows_change_nothing() {
    let without = DeviceChoice { without_subgroups: true, ..DeviceChoice::default() };
    block_on(compare(Rc::new(block_on(Gpu::open(&without)).expect("a device")), &base()));
    let cut = DeviceChoice { largest_binding: Some(96 << 10), ..DeviceChoice::default() };
    block_on(compare(Rc::new(block_on(Gpu::open(&cut)).expect("a device")), &base()));
}

#[test]
fn dequantised_it_is_the_same_model() {
    let base = base().dequantised();
    assert!(base.params().iter().all(|param| base.kept(param).is_none()));
    block_on(compare(gpu(), &base));
}

/// Every matrix is kept as the file has it, embedding and head too; reordered rows of queries and keys decode to transformers' order.
#[test]
fn matrices_are_kept_in_the_types_of_the_file() {
    let base = base();
    let kept: std::collections::BTreeSet<WeightType> = base.params().iter().filter_map(|param| base.kept(param)).collect();
    assert_eq!(kept, GgmlType::ALL.map(WeightType::Ggml).into_iter().collect());
    for (index, param) in base.params().iter().enumerate() {
        let Some(kept) = base.kept(param) else {
            assert_eq!(param.rows, 1, "{} is no vector", param.name);
            continue;
        };
        let rows = param.rows / 4 + 1..param.rows - 3;
        let packed = block_on(ParamSource::read_blocks(&base, index, kept, rows.clone())).expect("it reads").expect("it is stored in it");
        let mut values = Vec::new();
        packed.chunks(kept.row_bytes(param.cols)).for_each(|row| unpack_row(kept, row, param.cols, &mut values));
        assert_eq!(Ok(values), block_on(base.read_rows(param, rows.clone())), "{}", param.name);
        assert_eq!(block_on(ParamSource::read_blocks(&base, index, WeightType::Int8, rows)), Ok(None));
    }
}

/// What an adapter is added to is not in blocks any more; the rest stays in them.
#[test]
fn what_is_merged_is_decoded() {
    let base = base();
    let adapter = block_on(Adapter::open(directory("adapter"), &base)).expect("an adapter");
    let targets: Vec<usize> = adapter.resolved.targets.iter().map(|target| target.param).collect();
    let merged = Adapted::added(&base, &[adapter]).expect("it is added");
    let model = merged.model();
    for (index, param) in model.params().iter().enumerate() {
        assert_eq!(model.kept(param), base.kept(param).filter(|_| !targets.contains(&index)), "{}", param.name);
    }
    let mut engine = block_on(Engine::load(gpu(), model, options(Method::Inference(None)))).expect("memory");
    let (batch, want) = golden();
    let (loss, targets) = block_on(engine.loss(&batch)).expect("a loss");
    assert!((loss / targets as f64 - want).abs() < TOLERANCE * want, "loss {} for {want}", loss / targets as f64);
}

#[test]
fn memory_is_planned_to_the_byte_and_kept_blocks_save_it() {
    let (gpu, base) = (gpu(), base());
    let adapter = block_on(Adapter::open(directory("adapter"), &base)).expect("an adapter");
    let method = Method::Adapter { resolved: Rc::new(adapter.resolved), loraplus_lr_ratio: 1.0 };
    let plan = |base: &Checkpoint| {
        Blueprint::new(base.config(), base.params(), |d| stored_type(base, d), gpu.profile(), &options(method.clone()), [64, 0])
    };
    let (kept, decoded) = (plan(&base), plan(&base.clone().dequantised()));
    let stored: u64 = base.params().iter().map(|p| (p.rows * stored_type(&base, p).row_bytes(p.cols)) as u64).sum();
    let elements: u64 = base.params().iter().map(|p| 4 * p.elements()).sum();
    // Beside the weights nothing differs but what lies between parameters, which begin at a multiple of 256 bytes.
    let saved = decoded.memory().weights_bytes - kept.memory().weights_bytes;
    assert!(saved.abs_diff(elements - stored) < 256 * base.params().len() as u64, "{saved} for {}", elements - stored);
    // A device of its own: nothing else is allocated on it.
    let own = Rc::new(block_on(Gpu::open(&DeviceChoice::default())).expect("a device"));
    let mut engine = block_on(Engine::load_planned(own.clone(), &base, &kept)).expect("memory");
    let sample = Sample::new(vec![5; 64], vec![5; 64], 1);
    let step = StepValues { loss_scale: 1.0, bias_correction1: 1.0, bias_correction2: 1.0, ..StepValues::default() };
    block_on(engine.micro_step(&Batch::of(&[&sample]), step)).expect("a step");
    block_on(engine.update(&step)).expect("an update");
    block_on(engine.stats()).expect("statistics");
    for (index, param) in base.params().iter().enumerate() {
        block_on(engine.part(Part::Weights).read_rows(index, 0..param.rows)).expect("it is read back");
    }
    let (reached, planned) = (own.peak_bytes(), kept.memory().peak_bytes());
    assert!(reached <= planned && reached as f64 >= 0.98 * planned as f64, "{planned} bytes were planned and {reached} reached");
}

/// The validator runs the model in its blocks, too: in less memory than the decoded weights alone would take.
#[test]
fn the_self_test_runs_on_the_blocks() {
    let gpu = Rc::new(block_on(Gpu::open(&DeviceChoice::default())).expect("a device"));
    let directory = block_on(open(directory(""), "llama.gguf")).expect("the fixture opens");
    let options = Options { gpu: Some(gpu.clone()), ..Options::default() };
    let mut ran = false;
    let report = block_on(validate(directory, &options, &mut |progress| ran |= progress.what.contains("the model"))).expect("a report");
    let decoded: u64 = base().params().iter().map(|param| 4 * param.elements()).sum();
    let peak = gpu.peak_bytes();
    assert!(ran && peak > 0 && peak < decoded, "{peak} bytes of {decoded}, {:?}", report.findings);
}
