//! Batches: sequences side by side, labels shifted within each, buckets for the embedding's gradient.

use proptest::prelude::*;
use rootstock::data::{Batch, Buckets, IGNORE, Sample};

#[test]
fn two_samples_lie_side_by_side() {
    let a = Sample::new(vec![5, 6, 7], vec![IGNORE, 6, 7], 1);
    let b = Sample::new(vec![6, 9], vec![6, 9], 2);
    let mut batch = Batch::of(&[&a, &b]);
    assert_eq!(batch.ids, [5, 6, 7, 6, 9]);
    assert_eq!(batch.positions, [0, 1, 2, 0, 1]);
    assert_eq!(batch.starts, [0, 0, 0, 3, 3]);
    assert_eq!(batch.ends, [3, 3, 3, 5, 5]);
    assert_eq!(batch.targets, [6, 7, IGNORE, 9, IGNORE]);
    assert_eq!((batch.tokens, batch.samples, batch.longest(), batch.target_count()), (5, 2, 3, 3));
    assert_eq!(batch.target_rows(), (vec![0, 1, 3], vec![6, 7, 9]));
    batch.pad_to(4);
    assert_eq!(batch.ids, [5, 6, 7, 6, 9, 0, 0, 0]);
    assert_eq!(batch.starts[5..], [5, 6, 7]);
    assert_eq!(batch.ends[5..], [6, 7, 8]);
    assert_eq!((batch.tokens, batch.len(), batch.target_count()), (5, 8, 3));
    assert_eq!(batch.buckets(), Buckets { ids: vec![5, 6, 7, 9], offsets: vec![0, 1, 3, 4, 5], tokens: vec![0, 1, 3, 2, 4] });
    assert_eq!(batch.position_buckets(), Buckets { ids: vec![0, 1, 2], offsets: vec![0, 2, 4, 5], tokens: vec![0, 3, 1, 4, 2] });
}

#[test]
fn sequences_packed_into_one_sample_stay_apart() {
    let packed = Sample { ids: vec![1, 2, 3, 4, 5], labels: vec![1, 2, 3, 4, 5], ends: vec![2, 5], feedback: None, line: 1 };
    let batch = Batch::of(&[&packed]);
    assert_eq!(batch.positions, [0, 1, 0, 1, 2]);
    assert_eq!(batch.targets, [2, IGNORE, 4, 5, IGNORE], "token 2 must not learn to predict the next sample");
    assert_eq!(packed.targets(), 3);
    assert_eq!(batch.samples, 1);
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let token = (0u32..12, any::<bool>());
    let sequence = prop::collection::vec(token, 1..9);
    let sample = prop::collection::vec(sequence, 1..4).prop_map(|sequences| {
        let mut ends = Vec::new();
        let (mut ids, mut labels) = (Vec::new(), Vec::new());
        for sequence in sequences {
            for (id, learn) in sequence {
                ids.push(id);
                labels.push(if learn { id as i32 } else { IGNORE });
            }
            ends.push(ids.len());
        }
        Sample { ids, labels, ends, feedback: None, line: 0 }
    });
    prop::collection::vec(sample, 0..6)
}

proptest! {
    #[test]
    fn a_batch_says_the_same_as_its_samples(samples in samples(), multiple in 0usize..40) {
        let mut batch = Batch::of(&samples.iter().collect::<Vec<_>>());
        batch.pad_to(multiple);
        prop_assert_eq!(batch.len() % multiple.max(1), 0);
        prop_assert!(batch.len() - batch.tokens < multiple.max(1));
        for v in [&batch.positions, &batch.starts, &batch.ends] {
            prop_assert_eq!(v.len(), batch.len());
        }
        prop_assert_eq!(batch.targets.len(), batch.len());
        // Walk the samples again, token by token, the slow way.
        let mut i = 0;
        for sample in &samples {
            for t in 0..sample.ids.len() {
                let start = sample.ends.iter().copied().filter(|&e| e <= t).max().unwrap_or(0);
                let end = sample.ends.iter().copied().find(|&e| e > t).expect("the last end is the length");
                prop_assert_eq!(batch.ids[i], sample.ids[t]);
                prop_assert_eq!(batch.positions[i] as usize, t - start);
                prop_assert_eq!(batch.starts[i] as usize, i - (t - start));
                prop_assert_eq!(batch.ends[i] as usize, i + (end - t));
                prop_assert_eq!(batch.targets[i], if t + 1 < end { sample.labels[t + 1] } else { IGNORE });
                i += 1;
            }
        }
        prop_assert_eq!(i, batch.tokens);
        prop_assert_eq!(batch.target_count(), samples.iter().map(Sample::targets).sum::<usize>());
        for i in batch.tokens..batch.len() {
            prop_assert_eq!((batch.starts[i] as usize, batch.ends[i] as usize, batch.targets[i]), (i, i + 1, IGNORE));
        }
    }

    #[test]
    fn buckets_hold_each_token_once_under_its_key(keys in prop::collection::vec(0u32..9, 0..60)) {
        let buckets = Buckets::of(&keys);
        prop_assert_eq!(buckets.offsets.len(), buckets.ids.len() + 1);
        prop_assert!(buckets.ids.is_sorted_by(|a, b| a < b));
        let mut seen = vec![0; keys.len()];
        for (k, &id) in buckets.ids.iter().enumerate() {
            let tokens = &buckets.tokens[buckets.offsets[k] as usize..buckets.offsets[k + 1] as usize];
            prop_assert!(!tokens.is_empty());
            prop_assert!(tokens.is_sorted_by(|a, b| a < b));
            for &t in tokens {
                prop_assert_eq!(keys[t as usize], id);
                seen[t as usize] += 1;
            }
        }
        prop_assert!(seen.iter().all(|&n| n == 1));
    }
}
