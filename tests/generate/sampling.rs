//! The distribution that tokens are drawn from, against transformers' logits processors.

use proptest::prelude::*;
use rootstock::generate::{Sampler, SamplingOptions};

const LOGITS: [f32; 8] = [1.25, -0.5, 3.0, 2.75, 0.0, -2.0, 2.0, 1.25];
const HISTORY: [u32; 4] = [2, 5, 2, 0];

#[track_caller]
fn check(options: SamplingOptions, expected: [f64; 8]) {
    let sampler = Sampler::new(options.clone()).expect("valid options");
    let mut got = [0.0; 8];
    for (id, probability) in sampler.candidates(&LOGITS, &HISTORY).expect("finite logits") {
        got[id as usize] = probability;
    }
    for (id, (got, want)) in got.iter().zip(expected).enumerate() {
        assert!((got - want).abs() < 1e-7, "{options:?}: token {id} has {got}, transformers {want}");
    }
}

#[test]
#[rustfmt::skip]
fn distributions_equal_those_of_transformers() {
    let plain = SamplingOptions::default;
    check(plain(), [0.067329436493, 0.01170010169, 0.387454155417, 0.301749599643, 0.019290206525, 0.002610645564, 0.142536418174, 0.067329436493]);
    check(SamplingOptions { repetition_penalty: 2.0, ..plain() }, [0.054157060744, 0.017582223396, 0.129916035014, 0.453451517872, 0.028988185698, 0.000530937141, 0.214195330332, 0.101178709802]);
    // The fourth and fifth tokens are equal: both stay.
    check(SamplingOptions { top_k: 4, ..plain() }, [0.06967042937, 0.0, 0.400925639292, 0.312241201834, 0.0, 0.0, 0.147492300134, 0.06967042937]);
    check(SamplingOptions { top_p: 0.6, ..plain() }, [0.0, 0.0, 0.562176500886, 0.437823499114, 0.0, 0.0, 0.0, 0.0]);
    check(SamplingOptions { temperature: 1.5, min_p: 0.3, ..plain() }, [0.104402943944, 0.0, 0.335266105169, 0.283796642278, 0.0, 0.0, 0.172131364665, 0.104402943944]);
    let all = SamplingOptions { repetition_penalty: 1.3, temperature: 0.7, top_k: 5, top_p: 0.9, min_p: 0.2, ..plain() };
    check(all, [0.0, 0.0, 0.28365245169, 0.533584716049, 0.0, 0.0, 0.182762832261, 0.0]);
    check(SamplingOptions { greedy: true, temperature: 0.0, ..plain() }, [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    check(SamplingOptions { greedy: true, repetition_penalty: 2.0, ..plain() }, [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn draws_follow_the_distribution_and_the_seed() {
    let draw = |seed: u64, count: usize| {
        let mut sampler = Sampler::new(SamplingOptions { seed, ..Default::default() }).expect("valid options");
        (0..count).map(|_| sampler.next(&LOGITS, &[]).expect("finite logits")).collect::<Vec<_>>()
    };
    assert_eq!(draw(7, 50), draw(7, 50));
    assert_ne!(draw(7, 50), draw(8, 50));
    // 4000 draws of a token of probability 0.387: the standard deviation of their share is 0.0077.
    let share = draw(1, 4000).iter().filter(|&&id| id == 2).count() as f64 / 4000.0;
    assert!((share - 0.387).abs() < 0.035, "{share}");
}

#[test]
fn wrong_options_and_damaged_logits_are_errors() {
    let fault = |options: SamplingOptions| Sampler::new(options).expect_err("out of range").to_string();
    let plain = SamplingOptions::default;
    assert!(fault(SamplingOptions { temperature: 0.0, ..plain() }).starts_with("temperature: 0 is not above 0"));
    assert!(fault(SamplingOptions { temperature: f32::NAN, ..plain() }).starts_with("temperature"));
    assert!(fault(SamplingOptions { top_p: 0.0, ..plain() }).starts_with("top_p"));
    assert!(fault(SamplingOptions { min_p: 1.5, ..plain() }).starts_with("min_p"));
    assert!(fault(SamplingOptions { repetition_penalty: 0.0, ..plain() }).starts_with("repetition_penalty"));
    let mut sampler = Sampler::new(plain()).expect("valid options");
    for logits in [vec![0.0, f32::NAN], vec![f32::NEG_INFINITY; 2], vec![f32::INFINITY, 0.0], vec![]] {
        assert!(sampler.next(&logits, &[]).is_err(), "{logits:?}");
    }
}

proptest! {
    #[test]
    fn there_is_always_a_token_to_draw(
        logits in prop::collection::vec(-80f32..80.0, 1..40), history in prop::collection::vec(0u32..60, 0..9),
        temperature in 0.01f32..5.0, top_k in 0usize..50, top_p in 0.001f32..=1.0, min_p in 0f32..=1.0, penalty in 0.5f32..2.0,
    ) {
        let options = SamplingOptions { greedy: false, temperature, top_k, top_p, min_p, repetition_penalty: penalty, seed: 1 };
        let mut sampler = Sampler::new(options).expect("valid options");
        let candidates = sampler.candidates(&logits, &history).expect("finite logits");
        prop_assert!(!candidates.is_empty());
        prop_assert!((candidates.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-9);
        prop_assert!(candidates.is_sorted_by(|a, b| a.1 >= b.1));
        let id = sampler.next(&logits, &history).expect("finite logits");
        prop_assert!(candidates.iter().any(|(candidate, _)| *candidate == id));
    }
}
