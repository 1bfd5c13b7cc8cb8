//! A step of an adapter beside a quantised base, against PEFT on that base as bitsandbytes decodes it (scripts/fixtures/make_qlora.py).

use std::rc::Rc;

use rootstock::adapter::Adapter;
use rootstock::checkpoint::{Checkpoint, Dtype, ModelSource, ParamSource, TensorFile};
use rootstock::data::{Batch, Sample};
use rootstock::engine::{Engine, EngineOptions, Method, Objective};
use rootstock::gpu::{DeviceChoice, Gpu};
use rootstock::graph::WeightType;
use rootstock::kernels::StepValues;
use rootstock::model::ParamKind;
use rootstock::optim::Optimizer;
use rootstock::plan::Part;
use rootstock::platform::{Directory, NativeDirectory, block_on};
use serde_json::Value;

use crate::golden::difference;
use crate::kernels::gpu;

/// As [`crate::golden`] allows for models in f32; the promise is 1e-4.
const TOLERANCE: f64 = 2e-5;

const KINDS: [(&str, WeightType); 4] = [
    ("nf4", WeightType::Nf4 { double: false }),
    ("nf4-double", WeightType::Nf4 { double: true }),
    ("fp4", WeightType::Fp4 { double: false }),
    ("int8", WeightType::Int8),
];

fn directory(name: &str) -> Rc<dyn Directory> {
    Rc::new(NativeDirectory::new(format!("tests/fixtures/quantised/{name}")))
}

async fn compare(gpu: Rc<Gpu>, name: &str, kinds: &[usize], gradient_checkpointing: bool) {
    let golden: Value = serde_json::from_slice(&directory(name).read("golden.json").await.expect("golden.json")).expect("JSON");
    let gradients = TensorFile::open(directory(name), "gradients.safetensors").await.expect("gradients");
    let base = Checkpoint::open(directory(name)).await.expect("a model");
    let samples: Vec<Sample> = golden["sequences"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|ids| {
            let ids: Vec<u32> = ids.as_array().expect("a list").iter().map(|id| id.as_u64().expect("an id") as u32).collect();
            Sample::new(ids.clone(), ids.into_iter().map(|id| id as i32).collect(), 1)
        })
        .collect();
    let batch = Batch::of(&samples.iter().collect::<Vec<_>>());
    for (kind, weight_type) in kinds.iter().map(|kind| KINDS[*kind]) {
        let base = base.clone().quantised(Some(weight_type));
        let adapter = Adapter::open(directory(&format!("{name}/adapter")), &base).await.expect("an adapter");
        let options = EngineOptions {
            method: Method::Adapter { resolved: Rc::new(adapter.resolved.clone()), loraplus_lr_ratio: 1.0 },
            gradient_checkpointing,
            kept: None,
            sequence: 64,
            optimizer: Optimizer::default(),
            objective: Objective::default(),
        };
        let mut engine = Engine::load(gpu.clone(), &base, options).await.expect("memory");
        engine.load_adapter(&adapter).await.expect("an adapter");
        let targets = batch.target_count();
        let step = StepValues { loss_scale: 1.0 / targets as f32, ..StepValues::default() };
        engine.micro_step(&batch, step).await.expect("a step");
        engine.update(&step).await.expect("an update with a learning rate of 0");
        let loss = f64::from(engine.stats().await.expect("statistics").loss_sum) / targets as f64;
        let want = golden["losses"][kind].as_f64().expect("a loss");
        assert!((loss - want).abs() < TOLERANCE * want, "{name}, {kind}: loss {loss} for {want}");
        let ours = engine.part(Part::Gradients);
        for (index, param) in adapter.resolved.declarations(base.params()).iter().enumerate() {
            let decl = &param.decl;
            let got = ours.read_rows(base.params().len() + index, 0..decl.rows).await.expect("a gradient");
            let want = gradients.read_f32(&format!("{kind}/{}", decl.name), 0..decl.elements()).await.expect("a golden gradient");
            let off = difference(&got, &want);
            assert!(off < TOLERANCE, "{name}, {kind}: the gradient of {} is off by {off:.1e}", decl.name);
        }
    }
}

#[test]
fn loss_and_gradients_equal_peft_on_the_dequantised_base() {
    block_on(compare(gpu(), "llama", &[0, 1, 2, 3], false));
    // Stored as (in, out), quantised as (out, in).
    block_on(compare(gpu(), "gpt2", &[1], false));
}

#[test]
fn recomputation_and_kernels_without_subgroups_change_nothing() {
    let choice = DeviceChoice { without_subgroups: true, ..DeviceChoice::default() };
    block_on(compare(Rc::new(block_on(Gpu::open(&choice)).expect("a device")), "llama", &[1], true));
}

/// In 8 bits the feed-forward maps are in two pieces, embedding and head in every case.
#[test]
fn matrices_cut_by_rows_change_nothing() {
    let choice = DeviceChoice { largest_binding: Some(33 << 8), ..DeviceChoice::default() };
    block_on(compare(Rc::new(block_on(Gpu::open(&choice)).expect("a device")), "llama", &[1, 3], false));
}

#[test]
fn only_linear_maps_of_whole_blocks_are_quantised() {
    block_on(async {
        let base = Checkpoint::open(directory("llama")).await.expect("a model");
        assert_eq!(base.common_dtype(), Dtype::BF16);
        for (_, weight_type) in KINDS {
            let quantised = base.clone().quantised(Some(weight_type));
            for param in quantised.params() {
                assert_eq!(quantised.kept(param), (param.kind == ParamKind::Linear).then_some(weight_type), "{}", param.name);
                // What it reads stays what is stored: an adapter is merged into the original.
                let rows = 0..param.rows.min(3);
                assert_eq!(quantised.read_rows(param, rows.clone()).await, base.read_rows(param, rows).await);
            }
        }
        // Rows of 30 and 34 numbers.
        let odd: Rc<dyn Directory> = Rc::new(NativeDirectory::new("tests/fixtures/golden/llama-rope-llama3"));
        let odd = Checkpoint::open(odd).await.expect("a model").quantised(Some(WeightType::Nf4 { double: true }));
        assert!(odd.params().iter().all(|param| odd.kept(param).is_none()));
    });
}
