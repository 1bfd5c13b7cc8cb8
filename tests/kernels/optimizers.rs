//! Twenty steps of the optimisers beside AdamW, against their reference implementations (scripts/fixtures/make_optimizers.py).

use std::rc::Rc;

use pollster::block_on;
use rootstock::checkpoint::TensorFile;
use rootstock::gpu::{Gpu, Profile};
use rootstock::graph::{Param, ParamId, ParamLayout, Shape, WeightType};
use rootstock::kernels::{Resource, StepValues};
use rootstock::optim::{Adafactor, AdamW, Lion, Muon, Optimizer, Role, Sgd, update_program};
use rootstock::plan::{Budget, ParamStore, Part, Runner};
use rootstock::platform::NativeDirectory;

use super::gpu;
use crate::reference::Random;

const STEPS: i32 = 20;
const RATE: f64 = 1e-2;
const BETAS: (f64, f64) = (0.9, 0.99);
const EPSILON: f64 = 1e-6;
const DECAY: f64 = 0.1;

/// Rows, columns, whether it decays.
const SHAPES: [(usize, usize, bool); 3] = [(64, 96, true), (3, 8, false), (100, 48, true)];

fn fixture() -> TensorFile {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    block_on(TensorFile::open(Rc::new(NativeDirectory::new(dir)), "optimizers.safetensors")).expect("the fixture is there")
}

fn floats(file: &TensorFile, name: &str) -> Vec<f32> {
    let elements = file.get(name).unwrap_or_else(|| panic!("{name} is in the fixture")).elements();
    block_on(file.read_f32(name, 0..elements)).expect("it can be read")
}

fn params(shapes: &[(usize, usize, bool)]) -> Rc<Vec<Param>> {
    let param = |(rows, cols, decays)| Param {
        name: "p".into(),
        shape: Shape { rows, cols },
        trainable: true,
        weight_type: WeightType::F32,
        decays,
        lr_scale: 1.0,
        adapted: Default::default(),
    };
    Rc::new(shapes.iter().copied().map(param).collect())
}

/// The store after all steps.
fn run(gpu: &Rc<Gpu>, optimizer: &Optimizer) -> ParamStore {
    run_shapes(gpu, gpu.profile(), optimizer, &SHAPES, &[91])
}

/// The same for parameters of these shapes, laid out for this profile: for each seed those of all shapes, one after the other like layers.
fn run_shapes(gpu: &Rc<Gpu>, profile: &Profile, optimizer: &Optimizer, shapes: &[(usize, usize, bool)], seeds: &[u64]) -> ParamStore {
    let shapes = &shapes.repeat(seeds.len())[..];
    let params = params(shapes);
    let role = |rows: usize| if rows == 1 { Role::Vector } else { Role::Matrix };
    let states = |index: usize| optimizer.states(shapes[index].0 * shapes[index].1, role(shapes[index].0));
    let layout = ParamLayout::with_states(&params, profile, states);
    let program = update_program(&params, &layout, &gpu.profile().tuning, optimizer);
    let planned = Budget::of_store(&layout, true).total().optimizer_bytes;
    let before = gpu.allocated_bytes();
    let store = Rc::new(block_on(ParamStore::allocate_as(gpu, params.clone(), layout, true)).expect("memory for a small test"));
    let weights: u64 = store.layout.arenas.iter().map(|arena| arena.bytes).sum();
    // A buffer is a multiple of 16 bytes.
    let rounded = 16 * store.layout.arenas.iter().map(|arena| 2 + arena.states.len() as u64).sum::<u64>();
    let allocated = gpu.allocated_bytes() - before - 2 * weights;
    assert!(allocated.abs_diff(planned) < rounded, "beside weights and gradients {planned} are planned, {allocated} allocated");
    let mut ends = std::collections::BTreeMap::new();
    for bind in program.binds().filter(|bind| matches!(bind.resource, Resource::State(..))) {
        let end = ends.entry(bind.resource).or_insert(0);
        *end = (bind.offset + bind.size).max(*end);
    }
    let bound = ends.values().sum::<u64>();
    assert!(bound.abs_diff(planned) <= 16 * ends.len() as u64, "what the plan counts, {planned}, is what the kernels bind, {bound}");
    let mut runner = block_on(Runner::new(gpu.clone(), store.clone())).expect("memory for a small test");
    let prepared = block_on(runner.bind(&program)).expect("the device takes the kernels");
    let mut randoms: Vec<Random> = seeds.iter().map(|seed| Random::new(*seed)).collect();
    let each = shapes.len() / seeds.len();
    let vector = |random: &mut Random, (rows, cols, _): (usize, usize, bool), scale: f32| -> Vec<f32> {
        random.vector(rows * cols).iter().map(|v| *v as f32 * scale).collect()
    };
    for (i, shape) in shapes.iter().copied().enumerate() {
        store.upload(gpu, Part::Weights, ParamId(i as u32), 0, &vector(&mut randoms[i / each], shape, 1.0));
    }
    runner.clear_stats();
    for t in 1..=STEPS {
        let scale = 10f64.powi(-((t - 1) % 7)) as f32;
        for (i, shape) in shapes.iter().copied().enumerate() {
            store.upload(gpu, Part::Gradients, ParamId(i as u32), 0, &vector(&mut randoms[i / each], shape, scale));
        }
        let step = StepValues {
            learning_rate: RATE as f32,
            bias_correction1: (1.0 / (1.0 - BETAS.0.powi(t))) as f32,
            bias_correction2: (1.0 / (1.0 - BETAS.1.powi(t))) as f32,
            factor_rate: Adafactor::factor_rate(t as u32) as f32,
            ..StepValues::default()
        };
        runner.run(&prepared, &step, &[]).expect("the program runs");
    }
    drop(runner);
    Rc::into_inner(store).expect("nobody else has it")
}

fn assert_weights(gpu: &Gpu, file: &TensorFile, name: &str, store: &ParamStore, tolerance: f32) {
    for (i, (rows, _, _)) in SHAPES.into_iter().enumerate() {
        let got = block_on(store.download(gpu, Part::Weights, ParamId(i as u32), 0..rows)).expect("it can be read");
        let want = floats(file, &format!("{name}.{i}"));
        let worst = got.iter().zip(&want).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
        assert!(worst <= tolerance && got.len() == want.len(), "{name}, parameter {i}: off by {worst:e}");
    }
}

#[test]
fn sgd_and_lion() {
    let (gpu, file) = (gpu(), fixture());
    assert_weights(&gpu, &file, "sgd", &run(&gpu, &Optimizer::Sgd(Sgd { weight_decay: DECAY })), 1e-6);
    let store = run(&gpu, &Optimizer::Lion(Lion { beta1: BETAS.0, beta2: BETAS.1, weight_decay: DECAY }));
    assert_weights(&gpu, &file, "lion_32bit", &store, 1e-6);
    for (i, (rows, _, _)) in SHAPES.into_iter().enumerate() {
        let got = block_on(store.download(&gpu, Part::State(0), ParamId(i as u32), 0..rows)).expect("it can be read");
        let want = floats(&file, &format!("lion_32bit.exp_avg.{i}"));
        assert!(got.iter().zip(&want).all(|(got, want)| (got - want).abs() <= 1e-6), "momentum of {i}");
    }
}

/// torchao's AdamW in 8 bits (scripts/fixtures/make_torchao.py): codes, scales and weights. The third parameter is not made of whole blocks and stays in f32.
#[test]
fn adamw_in_8_bits_as_torchao_has_it() {
    let gpu = gpu();
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let file = block_on(TensorFile::open(Rc::new(NativeDirectory::new(dir)), "torchao.safetensors")).expect("the fixture is there");
    let optimizer = Optimizer::AdamWTorch8bit(AdamW { beta1: BETAS.0, beta2: BETAS.1, epsilon: EPSILON, weight_decay: DECAY });
    let embedding = |optimizer: &Optimizer| optimizer.states(1 << 20, Role::Embedding);
    assert_eq!(embedding(&optimizer).len(), 4, "codes and scales of both moments");
    assert_eq!(embedding(&Optimizer::AdamW8bit(AdamW::default())).len(), 2, "transformers has bitsandbytes keep them in f32");
    let store = run(&gpu, &optimizer);
    for (state, name) in [(0u8, "exp_avg"), (2, "exp_avg_sq")] {
        let raw = |state| block_on(store.download_state(&gpu, state, ParamId(0))).expect("it can be read");
        let scales: Vec<f32> = bytemuck::pod_collect_to_vec(&raw(state + 1));
        let wanted = floats(&file, &format!("{name}_scale"));
        assert_eq!(scales.len(), wanted.len());
        assert!(scales.iter().zip(&wanted).all(|(got, want)| (got - want).abs() <= 1e-3 * want), "scales of {name}");
        let want = block_on(file.read_bytes(&format!("{name}_codes"), 0..wanted.len() as u64 * 256)).expect("it can be read");
        let got = raw(state);
        // Of two neighbouring codes rounding may take either where a moment lies between them.
        let off = got.iter().zip(&want).filter(|(got, want)| got != want).count();
        assert!(got.iter().zip(&want).all(|(got, want)| got.abs_diff(*want) <= 1), "codes of {name}");
        assert!(off * 100 < want.len(), "{off} of {} codes of {name} are a neighbouring one", want.len());
    }
    assert_weights(&gpu, &file, "weights", &store, 2e-4);
}

#[test]
fn adamw_in_8_bits() {
    let (gpu, file) = (gpu(), fixture());
    let store = run(&gpu, &Optimizer::AdamW8bit(AdamW { beta1: BETAS.0, beta2: BETAS.1, epsilon: EPSILON, weight_decay: DECAY }));
    for i in [0, 2] {
        for (state, name) in [(0u8, "exp_avg"), (2, "exp_avg_sq")] {
            let raw = |state| block_on(store.download_state(&gpu, state, ParamId(i))).expect("it can be read");
            let scales: Vec<f32> = bytemuck::pod_collect_to_vec(&raw(state + 1));
            let wanted = floats(&file, &format!("adamw_8bit.{name}_absmax.{i}"));
            assert_eq!(scales.len(), wanted.len());
            assert!(scales.iter().zip(&wanted).all(|(got, want)| (got - want).abs() <= 1e-3 * want), "scales of {name}.{i}");
            let tensor = format!("adamw_8bit.{name}.{i}");
            let elements = file.get(&tensor).expect("it is in the fixture").elements();
            let want = block_on(file.read_bytes(&tensor, 0..elements)).expect("it can be read");
            let got = raw(state);
            assert_eq!(got.len(), want.len());
            // Where a number lies in the middle of two values, rounding decides.
            let off = got.iter().zip(&want).filter(|(got, want)| got != want).count();
            assert!(off * 200 <= got.len(), "{off} of {} codes of {name}.{i} differ", got.len());
            assert!(got.iter().zip(&want).all(|(got, want)| got.abs_diff(*want) <= 1), "codes of {name}.{i} that are not neighbours");
        }
    }
    // A code that is off by one moves a weight by a small part of one step.
    assert_weights(&gpu, &file, "adamw_8bit", &store, 1e-4);
}

/// Rows, columns, whether it decays: wide, a vector, tall, with rows that are padded, small.
const MATRICES: [(usize, usize, bool); 5] = [(64, 96, true), (1, 50, false), (100, 48, true), (70, 33, true), (3, 8, true)];

/// Those whose state is of the whole matrix, against transformers' Adafactor and LLaMA-Factory's Muon.
#[test]
fn adafactor_and_muon() {
    let gpu = gpu();
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let file =
        block_on(TensorFile::open(Rc::new(NativeDirectory::new(dir)), "matrix_optimizers.safetensors")).expect("the fixture is there");
    let adamw = AdamW { beta1: BETAS.0, beta2: BETAS.1, epsilon: EPSILON, weight_decay: DECAY };
    // Matrices in pieces: the numbers of columns and of the whole go over all of them.
    let cut = Profile { max_binding: 64 * 33 * 4, ..gpu.profile().clone() };
    let plain = Muon { momentum: 0.8, nesterov: false, steps: 3, ..Muon::new(adamw) };
    for (name, optimizer) in [
        ("adafactor", Optimizer::Adafactor(Adafactor { weight_decay: DECAY })),
        ("muon", Optimizer::Muon(Muon::new(adamw))),
        ("muon_plain", Optimizer::Muon(plain)),
    ] {
        for profile in [gpu.profile(), &cut] {
            let store = run_shapes(&gpu, profile, &optimizer, &MATRICES, &[92]);
            for (i, (rows, _, _)) in MATRICES.into_iter().enumerate() {
                let got = block_on(store.download(&gpu, Part::Weights, ParamId(i as u32), 0..rows)).expect("it can be read");
                let want = floats(&file, &format!("{name}.{i}"));
                let worst = got.iter().zip(&want).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
                assert!(worst <= 2e-5 && got.len() == want.len(), "{name}, parameter {i}: off by {worst:e}");
            }
        }
    }
}

/// Matrices of one shape in several layers are one dispatch: each gets what it gets alone, to the same bits.
#[test]
fn matrices_that_are_alike_do_not_mix() {
    const SEEDS: [u64; 3] = [92, 93, 94];
    let gpu = gpu();
    let adamw = AdamW { beta1: BETAS.0, beta2: BETAS.1, epsilon: EPSILON, weight_decay: DECAY };
    for optimizer in [Optimizer::Adafactor(Adafactor { weight_decay: DECAY }), Optimizer::Muon(Muon::new(adamw))] {
        let read = |store: &ParamStore, part: Part, i: usize| {
            let rows = MATRICES[i % MATRICES.len()].0;
            block_on(store.download(&gpu, part, ParamId(i as u32), 0..rows)).expect("it can be read")
        };
        let together = run_shapes(&gpu, gpu.profile(), &optimizer, &MATRICES, &SEEDS);
        for (layer, seed) in SEEDS.into_iter().enumerate() {
            let alone = run_shapes(&gpu, gpu.profile(), &optimizer, &MATRICES, &[seed]);
            for i in 0..MATRICES.len() {
                let j = layer * MATRICES.len() + i;
                assert_eq!(read(&together, Part::Weights, j), read(&alone, Part::Weights, i), "{optimizer:?}, layer {layer}, {i}");
                for state in 0..together.layout.states(ParamId(j as u32)).len() as u8 {
                    let state_of = |store: &ParamStore, i: usize| block_on(store.download_state(&gpu, state, ParamId(i as u32)));
                    assert_eq!(state_of(&together, j).expect("it can be read"), state_of(&alone, i).expect("it can be read"));
                }
            }
        }
    }
}

#[test]
fn the_maps_of_8_bits_are_those_of_bitsandbytes() {
    let gpu = gpu();
    let optimizer = Optimizer::AdamW8bit(AdamW::default());
    let layout = ParamLayout::with_states(&params(&SHAPES), gpu.profile(), |_| optimizer.states(1 << 20, Role::Matrix));
    let program = update_program(&params(&SHAPES), &layout, &gpu.profile().tuning, &optimizer);
    assert_eq!(*program.tables[0].data, floats(&fixture(), "maps"), "to the same bits");
}
