//! The optimiser's program: ten steps of AdamW with clipping, decay and learning-rate factors, and the halt after a NaN.

use std::rc::Rc;

use pollster::block_on;
use rootstock::graph::{Param, ParamId, ParamLayout, Shape, WeightType};
use rootstock::kernels::StepValues;
use rootstock::optim::{AdamW, Optimizer, Role, update_program};
use rootstock::plan::{ParamStore, Part, Runner};

use super::{gpu, profiles};
use crate::reference::{Random, adamw};

/// Rounding of parameters around 3 in each of ten steps. Measured on lavapipe: 1e-6.
const TOLERANCE: f64 = 4e-6;

const RATE: f64 = 1e-2;
const MAX_NORM: f64 = 0.5;
const HYPER: AdamW = AdamW { beta1: 0.8, beta2: 0.99, epsilon: 1e-3, weight_decay: 0.3 };

fn params() -> Vec<Param> {
    let p = |rows, cols, decays, lr_scale| Param {
        name: "p".into(),
        shape: Shape { rows, cols },
        trainable: true,
        weight_type: WeightType::F32,
        decays,
        lr_scale,
        adapted: Default::default(),
    };
    vec![p(3, 7, true, 1.0), p(1, 50, false, 1.0), p(70, 33, true, 1.0), p(5, 4, true, 16.0)]
}

#[test]
fn ten_steps_then_a_nan() {
    let gpu = gpu();
    for profile in profiles(&gpu) {
        let mut random = Random::new(61);
        let params = Rc::new(params());
        let optimizer = Optimizer::AdamW(HYPER);
        let layout = ParamLayout::with_states(&params, gpu.profile(), |_| optimizer.states(1, Role::Matrix));
        let store = Rc::new(block_on(ParamStore::allocate_as(&gpu, params.clone(), layout, true)).expect("memory for a small test"));
        let mut runner = block_on(Runner::new(gpu.clone(), store.clone())).expect("memory for a small test");
        let program = update_program(&params, &store.layout, &profile.tuning, &optimizer);
        let prepared = block_on(runner.bind(&program)).expect("the device takes the kernels");
        let upload = |part, i: usize, data: &[f64]| {
            store.upload(&gpu, part, ParamId(i as u32), 0, &data.iter().map(|v| *v as f32).collect::<Vec<_>>());
        };
        let download = |part, i: usize| {
            block_on(store.download(&gpu, part, ParamId(i as u32), 0..params[i].shape.rows)).expect("a parameter can be read")
        };
        let size = |i: usize| params[i].shape.rows * params[i].shape.cols;
        let mut twins: Vec<[Vec<f64>; 3]> =
            (0..params.len()).map(|i| [random.vector(size(i)), vec![0.0; size(i)], vec![0.0; size(i)]]).collect();
        for (i, twin) in twins.iter().enumerate() {
            upload(Part::Weights, i, &twin[0]);
        }
        runner.clear_stats();
        let step_values = |t: i32| StepValues {
            learning_rate: RATE as f32,
            bias_correction1: (1.0 / (1.0 - HYPER.beta1.powi(t))) as f32,
            bias_correction2: (1.0 / (1.0 - HYPER.beta2.powi(t))) as f32,
            max_grad_norm: MAX_NORM as f32,
            ..StepValues::default()
        };
        for t in 1..=10 {
            // Small gradients in the even steps: the norm is below the limit there.
            let scale = if t % 2 == 0 { 1e-3 } else { 0.1 };
            let gradients: Vec<Vec<f64>> =
                (0..params.len()).map(|i| random.vector(size(i)).iter().map(|v| f64::from((v * scale) as f32)).collect()).collect();
            for (i, g) in gradients.iter().enumerate() {
                upload(Part::Gradients, i, g);
            }
            runner.run(&prepared, &step_values(t), &[]).expect("the program runs");
            let norm = gradients.iter().flatten().map(|g| g * g).sum::<f64>().sqrt();
            let clip = (MAX_NORM / (norm + 1e-6)).min(1.0);
            assert_eq!(clip < 1.0, t % 2 == 1, "the test clips every second step");
            for ((twin, g), p) in twins.iter_mut().zip(&gradients).zip(params.iter()) {
                let [p64, m, v] = twin;
                let settings = adamw::Settings {
                    rate: RATE * f64::from(p.lr_scale),
                    weight_decay: if p.decays { HYPER.weight_decay } else { 0.0 },
                    beta1: HYPER.beta1,
                    beta2: HYPER.beta2,
                    eps: HYPER.epsilon,
                };
                adamw::step(settings, t, &g.iter().map(|g| g * clip).collect::<Vec<_>>(), p64, m, v);
            }
            let stats = block_on(async { runner.start_read_stats()?.wait(&runner).await }).expect("the statistics can be read");
            assert!((f64::from(stats.grad_norm) - norm).abs() < 1e-6 * norm, "norm {} for {norm}", stats.grad_norm);
            assert!((f64::from(stats.clip) - clip).abs() < 1e-6 * clip, "clip {} for {clip}", stats.clip);
            assert_eq!((stats.halt, stats.steps), (0, t as u32), "halt and steps");
        }
        for (i, [p, m, v]) in twins.iter().enumerate() {
            for (part, want) in [(Part::Weights, p), (Part::State(0), m), (Part::State(1), v)] {
                for (got, want) in download(part, i).iter().zip(want) {
                    assert!((f64::from(*got) - want).abs() < TOLERANCE, "{part:?} of {i}: {got} for {want}");
                }
            }
        }

        // One NaN in one gradient: nothing moves, then or later.
        let before: Vec<Vec<f32>> =
            (0..params.len()).flat_map(|i| [Part::Weights, Part::State(0), Part::State(1)].map(|part| download(part, i))).collect();
        let mut bad = vec![0.1; size(2)];
        bad[1234] = f64::NAN;
        upload(Part::Gradients, 2, &bad);
        runner.run(&prepared, &step_values(11), &[]).expect("the program runs");
        upload(Part::Gradients, 2, &vec![0.1; size(2)]);
        runner.run(&prepared, &step_values(12), &[]).expect("the program runs");
        let after: Vec<Vec<f32>> =
            (0..params.len()).flat_map(|i| [Part::Weights, Part::State(0), Part::State(1)].map(|part| download(part, i))).collect();
        assert_eq!(before, after);
        let stats = block_on(async { runner.start_read_stats()?.wait(&runner).await }).expect("the statistics can be read");
        assert_eq!((stats.halt, stats.steps), (1, 10), "halt and steps");
    }
}
