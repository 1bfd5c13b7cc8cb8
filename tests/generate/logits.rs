//! The logits of transformers, through the caches in every way of filling them.

use std::rc::Rc;

use rootstock::generate::{Generator, GeneratorOptions};
use rootstock::gpu::{DeviceChoice, Gpu};
use rootstock::model::RopeKind;
use rootstock::platform::block_on;

use crate::golden::{Case, cases, difference, open};
use crate::kernels::gpu;

/// Largest error over the largest logit of the fixture. transformers in f32 is within 3e-6 of itself in f64; the faintest wrong
/// configuration ("mutants" in the fixtures) moves the logits by 1.8e-4.
const TOLERANCE: f64 = 1e-5;

async fn load(gpu: &Rc<Gpu>, case: &Case, chunk: usize) -> Generator {
    let options = GeneratorOptions { context: None, chunk: Some(chunk) };
    Generator::load(gpu.clone(), &case.checkpoint, options).await.unwrap_or_else(|e| panic!("{}: {e}", case.name))
}

/// Golden logits, sequence by sequence: ids and a row for each of them.
async fn golden(case: &Case) -> Vec<(Vec<u32>, Vec<Vec<f32>>)> {
    let indices = case.golden["batch"]["sequences"].as_array().expect("a list").iter().map(|i| i.as_u64().expect("an index") as usize);
    let vocabulary = case.checkpoint.config().vocab_size;
    let sequences: Vec<Vec<u32>> = indices.map(|i| case.samples[i].ids.clone()).collect();
    let total: usize = sequences.iter().map(|ids| ids.len() * vocabulary).sum();
    let numbers = case.tensors.read_f32("logits", 0..total as u64).await.expect("golden logits");
    let mut rows = numbers.chunks_exact(vocabulary).map(<[f32]>::to_vec);
    sequences.into_iter().map(|ids| (ids.clone(), rows.by_ref().take(ids.len()).collect())).collect()
}

/// The length up to which LongRoPE's short factors hold: a text as long as the golden one is computed with the long ones throughout.
fn original_context(case: &Case) -> usize {
    let originals = case.checkpoint.config().ropes.iter().filter_map(|rope| match rope.kind {
        RopeKind::LongRope { original_max_position_embeddings, .. } => Some(original_max_position_embeddings),
        _ => None,
    });
    originals.max().unwrap_or(0)
}

/// Largest difference over the largest golden logit, of a case in all ways.
async fn worst(gpu: &Rc<Gpu>, case: &Case, chunk: usize) -> f64 {
    let mut generator = load(gpu, case, chunk).await;
    let golden = golden(case).await;
    let largest = golden.iter().flat_map(|(_, rows)| rows.iter().flatten()).fold(0.0f32, |a, x| a.max(x.abs()));
    let relative = |got: &[f32], want: &[f32]| {
        let scale = f64::from(want.iter().fold(0.0f32, |a, x| a.max(x.abs())) / largest);
        difference(got, want) * scale
    };
    let mut worst = 0.0f64;
    let mut note = |what: &str, got: &[f32], want: &[f32]| {
        let off = relative(got, want);
        assert!(off <= TOLERANCE, "{}: {what}: {off:.1e} (at most {TOLERANCE:.0e})", case.name);
        worst = worst.max(off);
    };
    for (ids, want) in &golden {
        // All rows at once, in chunks.
        let got = generator.logits(ids).await.expect("logits");
        assert_eq!(got.len(), want.len());
        note("whole text", &got.concat(), &want.concat());
        // The last row of a prompt.
        generator.clear();
        note("prompt", &generator.next_logits(ids).await.expect("logits"), &want[ids.len() - 1]);
        // Token by token. A short text of a LongRoPE model has other factors than the golden one until it is long itself.
        generator.clear();
        let short = if ids.len() > original_context(case) { original_context(case) } else { 0 };
        for i in 1..=ids.len() {
            let got = generator.next_logits(&ids[..i]).await.expect("logits");
            if i > short {
                note(&format!("token {i} alone"), &got, &want[i - 1]);
            }
        }
    }
    worst
}

#[test]
fn prompts_and_single_tokens_give_the_logits_of_transformers() {
    let gpu = gpu();
    for (index, name) in cases().iter().enumerate() {
        let case = block_on(open(name));
        // Sizes that divide nothing, of both kinds of matrix kernels (few rows, many rows).
        let chunk = [5, 11, 3, 16][index % 4];
        println!("{name}, chunks of {chunk}: {:.1e}", block_on(worst(&gpu, &case, chunk)));
    }
}

#[test]
fn without_subgroups_the_logits_are_the_same() {
    let choice = DeviceChoice { without_subgroups: true, ..DeviceChoice::default() };
    let gpu = Rc::new(block_on(Gpu::open(&choice)).expect("a device"));
    for name in ["llama", "mistral-sliding", "gemma3"] {
        println!("{name}: {:.1e}", block_on(worst(&gpu, &block_on(open(name)), 11)));
    }
}

/// The fixtures stored in f16 and bf16 are computed from the packed bits: two bytes a number, and the same logits as above.
#[test]
fn half_precision_stays_packed() {
    let gpu = gpu();
    for (name, bytes) in [("llama", 4), ("llama-rope-linear", 2), ("mistral-sliding", 2)] {
        let case = block_on(open(name));
        let generator = block_on(load(&gpu, &case, 8));
        let (matrices, vectors): (Vec<_>, Vec<_>) = case.checkpoint.params().iter().partition(|d| d.rows > 1);
        let numbers = |rows: usize, cols: usize| (rows * cols.next_multiple_of(4)) as u64;
        let least: u64 = matrices.iter().map(|d| bytes * numbers(d.rows, d.cols)).sum::<u64>()
            + vectors.iter().map(|d| 4 * numbers(1, d.cols)).sum::<u64>();
        let padding = 256 * case.checkpoint.params().len() as u64;
        let got = generator.weights_bytes();
        assert!((least..=least + padding).contains(&got), "{name}: {got} bytes for {least} of weights");
    }
}

/// A conversation that goes on, and one that is changed: what the caches hold is used as far as it is the same.
#[test]
fn caches_are_used_as_far_as_texts_agree() {
    let gpu = gpu();
    for name in ["llama", "mistral-sliding", "gpt2"] {
        let case = block_on(open(name));
        block_on(async {
            let (mut warm, mut cold) = (load(&gpu, &case, 5).await, load(&gpu, &case, 5).await);
            let a = &case.samples[0].ids;
            let mut changed = a.clone();
            let at = a.len() / 2;
            changed[at] = (changed[at] + 1) % 71;
            for ids in [&a[..7], &a[..], &changed[..], &changed[..at + 1], &changed[..], &a[..3]] {
                let got = warm.next_logits(ids).await.expect("logits");
                cold.clear();
                let want = cold.next_logits(ids).await.expect("logits");
                let off = difference(&got, &want);
                assert!(off <= TOLERANCE, "{name}: {} tokens: {off:.1e}", ids.len());
            }
        });
    }
}
