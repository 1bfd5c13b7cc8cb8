//! The plan: what it holds, what it leaves out, and that every shader is valid.

mod products;
mod side_by_side;
mod updates;
mod variants;

use std::collections::BTreeSet;
use std::rc::Rc;

use naga::valid::{Capabilities, ValidationFlags, Validator};
use rootstock::config::Recipe;
use rootstock::data::{Batch, Sample};
use rootstock::engine::{Blueprint, Engine, EngineOptions, Half, Method, Objective};
use rootstock::gpu::{DeviceChoice, Gpu, Profile};
use rootstock::graph::{ParamId, ParamLayout, Purpose, WeightType};
use rootstock::kernels::{self, Phase, StepValues};
use rootstock::model::{ModelConfig, ParamKind, forward, params};
use rootstock::optim::Optimizer;
use rootstock::plan::{Options, Part, Program, compile};
use rootstock::platform::block_on;
use rootstock::random::Random;
use rootstock::workflow::{Paths, Run};

fn config(vocab: usize, hidden: usize, layers: usize) -> ModelConfig {
    let json = format!(
        r#"{{"model_type": "llama", "vocab_size": {vocab}, "hidden_size": {hidden}, "intermediate_size": {}, "num_hidden_layers": {layers},
            "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "tie_word_embeddings": true}}"#,
        hidden * 2
    );
    ModelConfig::parse("config.json", json.as_bytes()).expect("a configuration")
}

fn program(layers: usize, trainable: bool, options: Options) -> Program {
    let config = config(100, 16, layers);
    let params = Rc::new(forward::graph_params(&params(&config), trainable, |_| WeightType::Bf16));
    let profile = Profile::lavapipe();
    let layout = ParamLayout::new(&params, &profile);
    let graph = forward::build(&config, params, 32, Purpose::Train, 32);
    compile(&graph, &layout, &profile, options)
}

/// Read the diff of the snapshot: it shows which dispatches a change added, removed or moved.
#[test]
fn the_plan_of_a_small_llama() {
    insta::assert_snapshot!(program(2, true, Options::default()).to_string());
}

#[test]
fn frozen_weights_cost_no_backward() {
    let program = program(2, false, Options::default());
    let backward = program.dispatches.iter().filter(|d| d.owner.phase == Phase::Backward).count();
    assert_eq!(backward, 0, "nothing is trainable, so nothing has a gradient:\n{program}");
}

#[test]
fn recomputation_saves_activations_and_costs_dispatches() {
    let (kept, recomputed) =
        (program(12, true, Options::default()), program(12, true, Options { gradient_checkpointing: true, ..Options::default() }));
    assert!(
        recomputed.activation_bytes() * 2 < kept.activation_bytes(),
        "{} of {}",
        recomputed.activation_bytes(),
        kept.activation_bytes()
    );
    assert!(recomputed.dispatches.len() > kept.dispatches.len());
}

/// Values that live at the same time never share bytes of a buffer, every value lies within its buffer, and no dispatch writes to a buffer that it also reads.
#[test]
fn values_that_live_together_lie_apart() {
    use rootstock::kernels::{Access, Resource};
    for checkpointing in [false, true] {
        let program = program(4, true, Options { gradient_checkpointing: checkpointing, ..Options::default() });
        let mut life = vec![None; program.values.len()];
        let number = |v| (0..program.values.len()).find(|i| format!("{v:?}") == format!("ValueId({i})")).expect("a value");
        for (index, d) in program.dispatches.iter().enumerate() {
            let mut slots = [Vec::new(), Vec::new()];
            for (bind, access) in d.binds.iter().zip(d.shader.bindings) {
                if let Resource::Value(v) = bind.resource {
                    let value = number(v);
                    let entry: &mut (usize, usize) = life[value].get_or_insert((index, index));
                    entry.1 = index;
                    slots[usize::from(*access == Access::Write)].push(program.values[value].place.expect("a place").slot);
                }
            }
            assert!(slots[0].iter().all(|slot| !slots[1].contains(slot)), "{} reads and writes a buffer", d.shader.name);
        }
        let placed: Vec<_> = life.iter().enumerate().filter_map(|(v, l)| Some((v, (*l)?))).collect();
        let beside = |v: usize| (program.values[v].place.expect("a used value has a place"), program.values[v].bytes);
        let mut shared = 0;
        for (i, (v, (a, b))) in placed.iter().enumerate() {
            let (place, bytes) = beside(*v);
            assert!(place.offset + bytes <= program.slots[place.slot as usize] && place.offset % 256 == 0);
            for (w, (c, d)) in &placed[i + 1..] {
                let (other, others) = beside(*w);
                if a <= d && c <= b && place.slot == other.slot {
                    shared += 1;
                    let disjoint = place.offset + bytes <= other.offset || other.offset + others <= place.offset;
                    assert!(disjoint, "values {v} and {w} share bytes of buffer {}", place.slot);
                }
            }
        }
        assert!(shared > 0, "small values lie side by side in the buffers of large ones");
    }
}

/// In 16 bits no matrix of f32 passes from the forward pass to a later one, but the gradient that the output head has made.
#[test]
fn what_is_kept_takes_half_the_memory() {
    for gradient_checkpointing in [false, true] {
        let plan = |kept| program(12, true, Options { gradient_checkpointing, kept });
        let (full, half) = (plan(None), plan(Some(Half::Bf16)));
        assert!(half.activation_bytes() < full.activation_bytes(), "{} of {}", half.activation_bytes(), full.activation_bytes());
        let matrices_across = |program: &Program| {
            let number = |v| (0..program.values.len()).find(|i| format!("{v:?}") == format!("ValueId({i})")).expect("a value");
            let values = |later: bool| {
                let of = program.dispatches.iter().filter(|d| (d.owner.phase != Phase::Forward) == later).flat_map(|d| &d.binds);
                let of = of.filter_map(|bind| if let kernels::Resource::Value(v) = bind.resource { Some(number(v)) } else { None });
                of.collect::<BTreeSet<usize>>()
            };
            values(false).intersection(&values(true)).filter(|v| program.values[**v].shape.is_some()).count()
        };
        let packed = |kernel: &str| half.dispatches.iter().filter(|d| d.shader.name == kernel).count();
        assert_eq!(matrices_across(&half), 1);
        assert_eq!(packed("keep_forward.bf16"), matrices_across(&full) - 1);
        assert_eq!(packed("keep_backward.bf16"), packed("keep_forward.bf16"));
    }
}

#[test]
fn every_shader_is_valid_for_naga() {
    assert!(kernels::ALL.len() > 40, "{} shaders", kernels::ALL.len());
    for shader in kernels::ALL {
        let wgsl = shader.wgsl();
        let module = naga::front::wgsl::parse_str(&wgsl).unwrap_or_else(|e| panic!("{}: {}", shader.name, e.emit_to_string(&wgsl)));
        let mut validator = Validator::new(
            ValidationFlags::all(),
            Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16 | Capabilities::SHADER_FLOAT16_IN_FLOAT32,
        );
        validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
        validator.subgroup_operations(naga::valid::SubgroupOperationSet::all());
        if let Err(e) = validator.validate(&module) {
            panic!("{}: {}", shader.name, e.emit_to_string(&wgsl));
        }
        let storage = module.global_variables.iter().filter(|(_, g)| matches!(g.space, naga::AddressSpace::Storage { .. })).count();
        assert!(storage <= 8, "{}: {storage} storage buffers", shader.name);
    }
}

/// An embedding, and head, of more than lavapipe's 128 MiB: a vocabulary of 280,001 × 128. Whether it is cut where the device demands it
/// or into smaller pieces, loss and gradient norm are the same.
#[test]
fn a_matrix_may_be_larger_than_a_binding() {
    let run = |largest_binding: Option<u64>| {
        block_on(async {
            let gpu = Gpu::open(&DeviceChoice { largest_binding, ..DeviceChoice::default() }).await.expect("a device");
            let config = config(280_001, 128, 1);
            let declarations = params(&config);
            assert!(declarations[0].elements() * 4 > 128 << 20);
            let options = EngineOptions {
                method: Method::Full,
                gradient_checkpointing: false,
                kept: None,
                sequence: 8,
                optimizer: Optimizer::default(),
                objective: Objective::default(),
            };
            let mut engine = Engine::new(Rc::new(gpu), config, &declarations, |_| WeightType::F32, options).await.expect("memory");
            let mut random = Random::new(7, 0);
            for (index, d) in declarations.iter().enumerate() {
                let rows = 10_000.min(d.rows);
                for first in (0..d.rows).step_by(rows) {
                    let count = rows.min(d.rows - first) * d.cols;
                    let data: Vec<f32> =
                        (0..count).map(|_| if d.kind == ParamKind::Norm { 1.0 } else { (random.unit() as f32 - 0.5) * 0.2 }).collect();
                    engine.runner.store.upload(&engine.runner.gpu, Part::Weights, ParamId(index as u32), first, &data);
                    engine.runner.flush();
                }
            }
            // Tokens from both ends of the vocabulary and from beyond the first 128 MiB.
            let ids: Vec<u32> = vec![0, 280_000, 262_143, 262_144, 270_001, 5, 280_000];
            let sample = Sample::new(ids.clone(), ids.iter().map(|i| *i as i32).collect(), 1);
            let step = StepValues {
                loss_scale: 1.0 / 6.0,
                learning_rate: 1e-3,
                bias_correction1: 10.0,
                bias_correction2: 1000.0,
                ..StepValues::default()
            };
            let mut losses = Vec::new();
            for _ in 0..2 {
                engine.micro_step(&Batch::of(&[&sample]), step).await.expect("a step");
                engine.update(&step).await.expect("an update");
                let stats = engine.stats().await.expect("statistics");
                losses.push((stats.loss_sum, stats.grad_norm));
            }
            losses
        })
    };
    let (whole, cut) = (run(None), run(Some(40 << 20)));
    assert!((whole[0].0 / 6.0 - (280_001f32).ln()).abs() < 1.0, "the loss of random weights is near ln V: {whole:?}");
    assert!(whole[1].0 < whole[0].0, "a step in the gradient's direction helps: {whole:?}");
    for (a, b) in whole.iter().zip(&cut) {
        assert!((a.0 - b.0).abs() <= 1e-5 * a.0 && (a.1 - b.1).abs() <= 1e-4 * a.1, "{whole:?} against {cut:?}");
    }
}

/// Batches of many lengths: the kernels' parameters of each new length take no new memory, and what is planned is what is reached.
#[test]
fn memory_is_as_planned_whatever_lengths_come() {
    block_on(async {
        let gpu = Rc::new(Gpu::open(&DeviceChoice::default()).await.expect("a device"));
        let config = config(100, 16, 6);
        let options = EngineOptions {
            method: Method::Full,
            gradient_checkpointing: false,
            kept: None,
            sequence: 900,
            optimizer: Optimizer::default(),
            objective: Objective::default(),
        };
        let blueprint = Blueprint::new(&config, &params(&config), |_| WeightType::F32, gpu.profile(), &options, [900, 900]);
        let planned = blueprint.memory().peak_bytes();
        gpu.reset_peak();
        let mut engine = Engine::allocate(gpu.clone(), &blueprint).await.expect("memory");
        let step = StepValues { loss_scale: 1.0, bias_correction1: 1.0, bias_correction2: 1.0, ..StepValues::default() };
        for tokens in (20..=900).rev().step_by(40) {
            let sample = Sample::new(vec![1; tokens], vec![1; tokens], 1);
            let batch = Batch::of(&[&sample]);
            engine.micro_step(&batch, step).await.expect("a step");
            engine.update(&step).await.expect("an update");
            engine.loss(&batch).await.expect("a loss");
        }
        let reached = gpu.peak_bytes();
        assert!(reached <= planned, "planned {planned}, reached {reached}");
        assert!(reached as f64 >= 0.98 * planned as f64, "planned {planned}, reached {reached}");
    });
}

/// An optimiser step of several micro-batches of different lengths paces the submissions of the next.
#[test]
fn submissions_are_paced_after_the_first_step() {
    block_on(async {
        let gpu = Rc::new(Gpu::open(&DeviceChoice::default()).await.expect("a device"));
        let config = config(100, 16, 2);
        let options = EngineOptions {
            method: Method::Full,
            gradient_checkpointing: false,
            kept: None,
            sequence: 96,
            optimizer: Optimizer::default(),
            objective: Objective::default(),
        };
        let mut engine = Engine::new(gpu, config.clone(), &params(&config), |_| WeightType::F32, options).await.expect("memory");
        let unknown = engine.runner.submission_work();
        let mut step = StepValues { loss_scale: 0.1, bias_correction1: 1.0, bias_correction2: 1.0, ..StepValues::default() };
        for (i, tokens) in [10, 96, 50].into_iter().enumerate() {
            step.accumulate = u32::from(i > 0);
            let sample = Sample::new(vec![1; tokens], vec![1; tokens], 1);
            engine.micro_step(&Batch::of(&[&sample]), step).await.expect("a step");
        }
        engine.update(&step).await.expect("an update");
        assert_eq!(engine.runner.submission_work(), unknown, "nothing was measured yet");
        engine.stats().await.expect("statistics");
        assert_ne!(engine.runner.submission_work(), unknown);
    });
}

/// Where the recipe leaves it open, activations are computed again only if the run does not fit otherwise.
#[test]
fn checkpointing_is_turned_on_where_memory_is_short() {
    let root = env!("CARGO_MANIFEST_DIR");
    let plan = |memory: Option<u64>, more: &str| {
        let text = format!(
            "model_name_or_path: {root}/assets/embedded-model\ndataset_dir: {root}/assets/demo\ndataset: village\noutput_dir: out\n\
             finetuning_type: full\ncutoff_len: 128\nper_device_train_batch_size: 16\npacking: true\n{more}"
        );
        let recipe = Recipe::parse("test", &text, &[]).unwrap_or_else(|e| panic!("{e}"));
        let run = block_on(Run::open(recipe, &Paths)).unwrap_or_else(|e| panic!("{e}"));
        block_on(run.plan(&Profile { memory, ..Profile::lavapipe() })).unwrap_or_else(|e| panic!("{e}"))
    };
    let (free, saving) = (plan(None, ""), plan(None, "gradient_checkpointing: true"));
    let (most, least) = (free.memory.peak_bytes(), saving.memory.peak_bytes());
    assert!(least < most && !free.checkpointing() && free.notices.is_empty());
    assert!(!plan(Some(most), "").checkpointing(), "it fits");
    let chosen = plan(Some(most - 1), "");
    assert!(chosen.checkpointing() && chosen.memory == saving.memory);
    assert!(chosen.notices[0].starts_with("gradient_checkpointing is turned on: without it the run needs"), "{:?}", chosen.notices);
    assert!(!plan(Some(most - 1), "gradient_checkpointing: false").checkpointing(), "the recipe decides");
    assert!(!plan(Some(least - 1), "").checkpointing(), "it would not help: the error names what would");
}
