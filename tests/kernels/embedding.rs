//! Looking rows up and adding their gradients up, with and without learned positions, in every type of weight.

use std::rc::Rc;

use rootstock::gpu::Gpu;
use rootstock::graph::WeightType;
use rootstock::kernels::{GgmlType, Input, InputLayout, StepValues};

use super::matmul::stored_blocks;
use super::single::{Case, Matrix, assert_close};
use super::{gpu, profiles};
use crate::reference::Random;

/// A product and a sum forwards; sums over the tokens of an id backwards. Measured on lavapipe: 3e-7.
const TOLERANCE: f64 = 2e-6;

pub(super) const VOCABULARY: usize = 11;
const POSITIONS: usize = 40;
const SCALE: f32 = 3.0;

/// Ids and positions of the tokens, and the buckets that the host makes of them.
pub(super) fn batch(ids: &[usize], positions: &[usize]) -> (Vec<u8>, StepValues) {
    let layout = InputLayout::new(ids.len());
    let mut bytes = vec![0u8; layout.bytes() as usize];
    let mut put = |input: Input, numbers: &[usize]| {
        for (i, n) in numbers.iter().enumerate() {
            let at = layout.offset(input) as usize + 4 * i;
            bytes[at..at + 4].copy_from_slice(&(*n as u32).to_le_bytes());
        }
    };
    put(Input::Ids, ids);
    put(Input::Positions, positions);
    let mut bucket = |of: &[usize], [distinct, offsets, tokens]: [Input; 3]| {
        let mut keys = of.to_vec();
        keys.sort_unstable();
        keys.dedup();
        let (mut starts, mut sorted) = (vec![0], Vec::new());
        for key in &keys {
            sorted.extend((0..of.len()).filter(|i| of[*i] == *key));
            starts.push(sorted.len());
        }
        put(distinct, &keys);
        put(offsets, &starts);
        put(tokens, &sorted);
        keys.len() as u32
    };
    let buckets = bucket(ids, [Input::BucketIds, Input::BucketOffsets, Input::BucketTokens]);
    let position_buckets = bucket(positions, [Input::PositionBucketIds, Input::PositionBucketOffsets, Input::PositionBucketTokens]);
    (bytes, StepValues { buckets, position_buckets, ..StepValues::default() })
}

/// The twin: rows of the tables, and the sums of their gradients.
fn twin(cols: usize, rows: usize, index: &[usize], scale: f64, table: &[f64], dx: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let x = index.iter().flat_map(|r| table[r * cols..(r + 1) * cols].iter().map(|w| w * scale)).collect();
    let mut dw = vec![0.0; rows * cols];
    for (r, dx) in index.iter().zip(dx.chunks(cols)) {
        dw[r * cols..(r + 1) * cols].iter_mut().zip(dx).for_each(|(dw, dx)| *dw += dx * scale);
    }
    (x, dw)
}

#[test]
fn looks_up_and_adds_up() {
    let gpu = gpu();
    let mut random = Random::new(41);
    for profile in profiles(&gpu) {
        for (tokens, cols) in [(1, 1), (7, 3), (254, 50), (33, 64)] {
            // The last id and some positions do not occur: their gradients stay zero.
            let ids: Vec<usize> = (0..tokens).map(|i| (i * i + 3) % (VOCABULARY - 1)).collect();
            let positions: Vec<usize> = (0..tokens).map(|i| i % (POSITIONS - 5)).collect();
            let (batch, step) = batch(&ids, &positions);
            let (wte, wpe, dx) = (random.vector(VOCABULARY * cols), random.vector(POSITIONS * cols), random.vector(tokens * cols));
            let case = Case {
                tokens,
                weights: vec![Matrix::new(cols, wte.clone()), Matrix::new(cols, wpe.clone())],
                gradients: vec![Matrix::new(cols, dx.clone())],
                batch,
                step,
                micro_steps: 3,
                ..Case::default()
            };
            // With and without a row that gets no gradient, as PyTorch's padding_idx.
            let padding = (tokens % 2 == 1).then_some(ids[0]);
            let out = case.run(&gpu, &profile, |g, _, w| vec![g.embedding(w[0], SCALE, Some(w[1]), padding.map(|id| id as u32))]);
            let (x, mut dwte) = twin(cols, VOCABULARY, &ids, f64::from(SCALE), &wte, &dx);
            if let Some(id) = padding {
                dwte[id * cols..(id + 1) * cols].fill(0.0);
            }
            let (p, dwpe) = twin(cols, POSITIONS, &positions, 1.0, &wpe, &dx);
            let sum: Vec<f64> = x.iter().zip(&p).map(|(x, p)| x + p).collect();
            let thrice = |g: &[f64]| g.iter().map(|v| 3.0 * v).collect::<Vec<_>>();
            assert_close("x", &out.outputs[0], &sum, TOLERANCE);
            assert_close("dwte", &out.weights[0], &thrice(&dwte), TOLERANCE);
            assert_close("dwpe", &out.weights[1], &thrice(&dwpe), TOLERANCE);
        }
    }
}

/// Looks nine rows of a frozen table up, in every version of the kernel.
fn look_up(gpu: &Rc<Gpu>, weight_type: WeightType, table: &Matrix, cols: usize) {
    let tokens = 9;
    let ids: Vec<usize> = (0..tokens).map(|i| (i * 5 + 1) % VOCABULARY).collect();
    let (batch, step) = batch(&ids, &vec![0; tokens]);
    for profile in profiles(gpu) {
        let case = Case {
            tokens,
            // A trainable input keeps the graph in need of gradients.
            inputs: vec![Matrix::new(cols, vec![0.0; tokens * cols])],
            weights: vec![table.clone()],
            frozen: Some(weight_type),
            gradients: vec![Matrix::new(cols, vec![1.0; tokens * cols])],
            batch: batch.clone(),
            step,
            ..Case::default()
        };
        let out = case.run(gpu, &profile, |g, x, w| {
            let looked_up = g.embedding(w[0], SCALE, None, None);
            vec![g.add(looked_up, x[0])]
        });
        let (x, _) = twin(cols, VOCABULARY, &ids, f64::from(SCALE), &table.data, &vec![0.0; tokens * cols]);
        assert_close(&format!("x in {weight_type:?}"), &out.outputs[0], &x, TOLERANCE);
    }
}

#[test]
fn frozen_tables_in_blocks_of_gguf_files() {
    let gpu = gpu();
    let mut random = Random::new(43);
    for blocks in GgmlType::ALL {
        let table = stored_blocks(&mut random, blocks, VOCABULARY, 512);
        look_up(&gpu, WeightType::Ggml(blocks), &table, 512);
    }
}

#[test]
fn frozen_tables_in_half_precision() {
    let gpu = gpu();
    let mut random = Random::new(42);
    for (weight_type, round) in [
        (WeightType::Bf16, (|v| half::bf16::from_f64(v).to_f64()) as fn(f64) -> f64),
        (WeightType::F16, |v| half::f16::from_f64(v).to_f64()),
    ] {
        let table: Vec<f64> = random.vector(VOCABULARY * 50).into_iter().map(round).collect();
        look_up(&gpu, weight_type, &Matrix::new(50, table), 50);
    }
}
