//! A whole model with a GPU's kernels, where query, key and value are one product, and gate and up another: loss and every gradient as with the
//! device's own kernels.

use std::rc::Rc;

use rootstock::adapter::{AdapterConfig, ResolvedAdapter, TargetModules};
use rootstock::checkpoint::ParamSource;
use rootstock::data::{Batch, Sample};
use rootstock::engine::{Engine, EngineOptions, Method, Objective};
use rootstock::gpu::{DeviceChoice, Gpu};
use rootstock::graph::{ParamId, WeightType};
use rootstock::kernels::{Dispatch, Phase, StepValues, TuningChoice};
use rootstock::model::{ModelConfig, ParamKind, params};
use rootstock::optim::Optimizer;
use rootstock::plan::Part;
use rootstock::platform::block_on;
use rootstock::random::Random;

/// Widths of 64 and more, so that no tile is in two matrices; biases, as qwen2 has them.
const CONFIG: &str = r#"{"model_type": "qwen2", "vocab_size": 300, "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "tie_word_embeddings": true}"#;

/// Sums of some hundred products, one after the other through three layers; the worst of 12,288 numbers. Measured on lavapipe: 2.3e-5.
const TOLERANCE: f64 = 5e-5;

/// Loss and gradient norm, all gradients, and how many products the layers' forward is.
fn step(family: &str, lora: bool, gradient_checkpointing: bool) -> (Vec<f32>, Vec<Vec<f32>>, usize) {
    block_on(async {
        let tuning = TuningChoice::parse(family).expect("a family");
        let gpu = Rc::new(Gpu::open(&DeviceChoice { tuning, ..DeviceChoice::default() }).await.expect("a device"));
        let config = ModelConfig::parse("config.json", CONFIG.as_bytes()).expect("a configuration");
        let declarations = params(&config);
        let adapter = AdapterConfig { target_modules: Some(TargetModules::AllLinear), ..AdapterConfig::default() };
        let resolved = || Rc::new(ResolvedAdapter::resolve(&adapter, &config, &declarations).expect("an adapter"));
        let method = if lora { Method::Adapter { resolved: resolved(), loraplus_lr_ratio: 1.0 } } else { Method::Full };
        let options = EngineOptions {
            method,
            gradient_checkpointing,
            kept: None,
            sequence: 100,
            optimizer: Optimizer::default(),
            objective: Objective::default(),
        };
        let mut engine = Engine::new(gpu, config.clone(), &declarations, |_| WeightType::F32, options).await.expect("memory");
        let mut random = Random::new(11, 0);
        for (index, d) in engine.declarations.iter().enumerate() {
            let one = d.kind == ParamKind::Norm;
            let data: Vec<f32> = (0..d.elements()).map(|_| if one { 1.0 } else { (random.unit() as f32 - 0.5) * 0.3 }).collect();
            engine.runner.store.upload(&engine.runner.gpu, Part::Weights, ParamId(index as u32), 0, &data);
        }
        let ids: Vec<u32> = (0..100).map(|_| random.below(300) as u32).collect();
        let sample = Sample::new(ids.clone(), ids.iter().map(|i| *i as i32).collect(), 1);
        let values = StepValues { loss_scale: 0.01, bias_correction1: 1.0, bias_correction2: 1.0, ..StepValues::default() };
        let batch = Batch::of(&[&sample]);
        engine.micro_step(&batch, values).await.expect("a step");
        let mut gradients = Vec::new();
        for index in engine.trained() {
            let rows = engine.declarations[index].rows;
            gradients.push(engine.part(Part::Gradients).read_rows(index, 0..rows).await.expect("a gradient"));
        }
        engine.update(&values).await.expect("an update");
        let stats = engine.stats().await.expect("statistics");
        // Last, for a GPU's dispatches are repeated to be timed, and what they add up is no step's.
        let profile = engine.profile(&batch, values).await.expect("a step");
        let of_forward = |d: &Dispatch| {
            d.owner.layer.is_some()
                && d.owner.phase == Phase::Forward
                && (d.shader.name.starts_with("linear_") || d.shader.name.starts_with("gated_linear_"))
        };
        let products = profile.iter().filter(|(d, _)| of_forward(d)).count();
        (vec![stats.loss_sum, stats.grad_norm], gradients, products)
    })
}

#[test]
fn products_of_a_gpu_give_the_same_step() {
    for lora in [false, true] {
        for checkpointing in [false, true] {
            // On the device's own kernels the adapters' narrow products are counted too.
            let (own, own_gradients, apart) = step("lavapipe", lora, checkpointing);
            // With large tiles, as large models have them, gate and up are in one tile.
            for family in ["unknown-gpu", "unknown-gpu,product_workgroups_least=1"] {
                let (gpu, gradients, joined) = step(family, lora, checkpointing);
                let what = format!("{family}, lora {lora}, checkpointing {checkpointing}");
                assert_eq!((apart, joined), (3 * if lora { 14 } else { 7 }, 3 * 4), "{what}");
                for (a, b) in own.iter().zip(&gpu) {
                    assert!((a - b).abs() <= 1e-5 * a.abs(), "{own:?} against {gpu:?}, {what}");
                }
                assert_eq!(own_gradients.len(), gradients.len());
                for (i, (a, b)) in own_gradients.iter().zip(&gradients).enumerate() {
                    let want: Vec<f64> = a.iter().map(|v| f64::from(*v)).collect();
                    let error = crate::kernels::error(b, &want, 1e-6);
                    assert!(error < TOLERANCE, "gradient {i} is off by {error:.2e}, {what}");
                }
            }
        }
    }
}
