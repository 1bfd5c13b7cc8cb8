//! Activations kept in 16 bits against a model of transformers whose saved tensors torch rounds (scripts/fixtures/make_kept.py).

use std::rc::Rc;

use rootstock::checkpoint::{ParamSource, TensorFile};
use rootstock::engine::Half;
use rootstock::gpu::{DeviceChoice, Gpu};
use rootstock::kernels::{StepValues, TuningChoice};
use rootstock::plan::Part;
use rootstock::platform::{Directory, NativeDirectory, block_on};
use serde_json::Value;

use super::{in_compute_layout, number, open};
use crate::kernels::gpu;

/// Of the gradient's norm. Sums in another order round a few numbers the other way: much less than rounding moves the gradient, and it must be less than
/// a fifth of that.
const TOLERANCE: f64 = 1e-3;

/// The norm of the difference over the norm.
fn distance(got: &[f32], want: &[f32]) -> f64 {
    let norm = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|n| n * n).sum::<f64>().sqrt();
    norm(&mut got.iter().zip(want).map(|(g, w)| f64::from(g - w))) / norm(&mut want.iter().map(|w| f64::from(*w))).max(1e-30)
}

fn compare(gpu: Rc<Gpu>) {
    block_on(async {
        let directory: Rc<dyn Directory> = Rc::new(NativeDirectory::new("tests/fixtures/kept"));
        let cases: Value = serde_json::from_slice(&directory.read("kept.json").await.expect("kept.json")).expect("JSON");
        let tensors = TensorFile::open(directory, "kept.safetensors").await.expect("kept.safetensors");
        for expected in cases["cases"].as_array().expect("a list") {
            let name = expected["name"].as_str().expect("a name");
            let mut case = open(expected["model"].as_str().expect("a name")).await;
            case.kept = Some(if expected["kept"] == "bf16" { Half::Bf16 } else { Half::F16 });
            let mut engine = case.engine(gpu.clone(), expected["recomputed"] == true).await;
            let golden = &case.golden["batch"];
            let (batch, targets) = (case.batch(&golden["sequences"]), number(&golden["num_targets"]));
            let step = StepValues { loss_scale: 1.0 / targets as f32, ..StepValues::default() };
            engine.micro_step(&batch, step).await.expect("a step");
            let loss = f64::from(engine.stats().await.expect("statistics").loss_sum) / targets;
            assert!((loss - number(&expected["loss"])).abs() < 1e-6 * loss, "{name}: {loss}: the forward pass is that of f32");
            let gradients = engine.part(Part::Gradients);
            let (mut worst, mut total) = (0.0_f64, 0.0);
            for (index, d) in case.trained.iter().enumerate() {
                let got = gradients.read_rows(index, 0..d.rows).await.expect("a gradient");
                let off = distance(&got, &in_compute_layout(&tensors, &format!("{name}/{}", d.name), d).await);
                let moved = number(&expected["moved"][&d.name]);
                assert!(
                    off < TOLERANCE.min(0.2 * moved).max(1e-5),
                    "{name}: {}: off by {off:.2e}, and rounding moves it by {moved:.2e}",
                    d.name
                );
                (worst, total) = (worst.max(off), total + moved);
            }
            println!("{name}: gradients within {worst:.1e}; rounding moves them by {:.1e} on average", total / case.trained.len() as f64);
        }
    });
}

#[test]
fn gradients_of_rounded_activations_equal_torch() {
    compare(gpu());
}

/// A device whose products take both factors in f16: each of 11 bits, so that a product is off by up to 2^-10 and by a third of that mostly. Through the layers of
/// these models that moves the loss in the fourth digit, and gradients by some 2^-10 of their norm.
#[test]
fn tiles_of_halves_stay_near_transformers() {
    let tuning = TuningChoice::parse("apple").expect("a family");
    let gpu = Rc::new(block_on(Gpu::open(&DeviceChoice { tuning, ..DeviceChoice::default() })).expect("a device"));
    assert!(gpu.profile().half_products(), "{:?}", gpu.profile());
    for name in ["llama", "qwen2", "gemma3", "gpt2"] {
        block_on(async {
            let mut case = open(name).await;
            case.kept = Some(Half::F16);
            let mut engine = case.engine(gpu.clone(), false).await;
            let golden = &case.golden["batch"];
            let (batch, targets) = (case.batch(&golden["sequences"]), number(&golden["num_targets"]));
            let step = StepValues { loss_scale: 1.0 / targets as f32, ..StepValues::default() };
            engine.micro_step(&batch, step).await.expect("a step");
            let wanted = number(&golden["loss"]);
            let off = (f64::from(engine.stats().await.expect("statistics").loss_sum) / targets - wanted).abs() / wanted;
            // Zero would mean that nothing was rounded.
            assert!(off > 1e-8 && off < 1e-3, "{name}: the loss is off by {off:.2e}");
            let gradients = engine.part(Part::Gradients);
            let mut worst = 0.0_f64;
            for (index, d) in case.trained.iter().enumerate() {
                let got = gradients.read_rows(index, 0..d.rows).await.expect("a gradient");
                let want = case.golden("grad", d).await;
                // A key's bias has no gradient but rounding (qwen2).
                let apart = if d.name.ends_with("k_proj.bias") { 0.0 } else { distance(&got, &want) };
                assert!(apart < 5e-3, "{name}: {}: off by {apart:.2e}", d.name);
                worst = worst.max(apart);
            }
            println!("{name}: loss within {off:.1e}, gradients within {worst:.1e} of their norm");
        });
    }
}

/// The kernels that a browser gets on the same machine.
#[test]
fn kernels_without_subgroups_keep_them_alike() {
    let choice = DeviceChoice { without_subgroups: true, ..DeviceChoice::default() };
    compare(Rc::new(block_on(Gpu::open(&choice)).expect("a device")));
}
