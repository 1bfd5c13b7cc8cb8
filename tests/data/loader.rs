//! The order of samples: shuffled by seed and epoch, partial groups kept, nothing lost, nothing twice.

use proptest::prelude::*;
use rootstock::config::Recipe;
use rootstock::data::{Loader, split};
use rootstock::random::Random;

fn recipe(extra: &str) -> Recipe {
    let text = format!("model_name_or_path: m\noutput_dir: o\ndataset: d\nfinetuning_type: full\n{extra}");
    Recipe::parse("r.yaml", &text, &[]).expect("the recipe is right")
}

#[test]
fn a_partial_last_group_steps_on_its_own() {
    let r = recipe("per_device_train_batch_size: 2\ngradient_accumulation_steps: 3\nnum_train_epochs: 2\ndisable_shuffling: true\n");
    let loader = Loader::new(15, &r).expect("samples");
    // 8 micro-batches (the last of one sample), 3 steps an epoch (the last of two micro-batches).
    assert_eq!((loader.micro_batches_per_epoch(), loader.steps_per_epoch(), loader.total_steps()), (8, 3, 6));
    assert_eq!(loader.group(0), [[0, 1], [2, 3], [4, 5]]);
    assert_eq!(loader.group(2), [vec![12, 13], vec![14]]);
    assert_eq!(loader.group(3), loader.group(0), "without shuffling every epoch is the same");
    assert_eq!((loader.epoch_after(1), loader.epoch_after(3), loader.epoch_after(4)), (0.375, 1.0, 1.375));
    assert!(loader.ends_epoch(2) && !loader.ends_epoch(3) && loader.ends_epoch(5));
}

#[test]
fn the_length_of_a_run_is_transformers() {
    let steps = |extra: &str| Loader::new(10, &recipe(&format!("per_device_train_batch_size: 4\n{extra}"))).expect("samples").total_steps();
    assert_eq!(steps(""), 9);
    assert_eq!(steps("num_train_epochs: 1.5\n"), 5);
    assert_eq!(steps("num_train_epochs: 0.1\n"), 1);
    assert_eq!(steps("max_steps: 7\n"), 7);
    assert_eq!(steps("gradient_accumulation_steps: 16\n"), 3);
    let error = Loader::new(0, &recipe("")).expect_err("nothing to train on").to_string();
    assert_eq!(error, "d: not one sample is left to train on");
}

#[test]
fn the_order_depends_on_seed_and_epoch_only() {
    let order = |seed: u64, step: u64| {
        let r = recipe(&format!("per_device_train_batch_size: 50\nseed: {seed}\n"));
        Loader::new(50, &r).expect("samples").group(step).concat()
    };
    assert_eq!(order(1, 3), order(1, 3));
    assert_ne!(order(1, 0), order(1, 1), "each epoch has its own order");
    assert_ne!(order(1, 0), order(2, 0));
    assert_ne!(order(1, 1), order(2, 0), "seed and epoch must not be interchangeable");
    // A change of the generator would break the resuming of every run that users have on their disks.
    let mut random = Random::new(42, 0);
    assert_eq!([random.next_u64(), random.next_u64()], RANDOM_42);
}

/// What `Random::new(42, 0)` has drawn since the first version.
const RANDOM_42: [u64; 2] = [8_391_109_476_377_247_215, 13_780_207_857_033_720_892];

/// The micro-batches that LLaMA-Factory's version 1 makes of these lengths in their order (`_get_dynamic_micro_batch_sizes` and
/// `_get_dynamic_padding_free_micro_batch_sizes`, two micro-batches a step, over and over).
#[test]
fn micro_batches_of_so_many_tokens_are_those_of_version_1() {
    let lengths = [5, 9, 3, 12, 7, 2, 2, 8];
    let loader = |strategy: &str| {
        let text =
            "per_device_train_batch_size: 2\ncutoff_len: 12\ngradient_accumulation_steps: 2\ndisable_shuffling: true\nmax_steps: 4\n";
        Loader::of_lengths(&lengths, &recipe(&format!("{text}batching_strategy: {strategy}\n"))).expect("samples")
    };
    let groups = |loader: &Loader| (0..3).map(|step| loader.group(step)).collect::<Vec<_>>();
    // Of 24 tokens, with all samples padded to the longest.
    let padded = loader("dynamic_batching");
    assert_eq!(groups(&padded), [[vec![0, 1], vec![2, 3]], [vec![4, 5, 6], vec![7, 0]], [vec![1, 2], vec![3, 4]]]);
    assert!(!padded.ends_epoch(0) && padded.ends_epoch(1) && !padded.ends_epoch(2));
    assert_eq!((padded.epoch_after(1), padded.epoch_after(2)), (4.0 / 8.0, 9.0 / 8.0));
    // The same without padding.
    let tokens = loader("dynamic_padding_free");
    assert_eq!(
        groups(&tokens),
        [[vec![0, 1, 2], vec![3, 4, 5, 6]], [vec![7, 0, 1], vec![2, 3, 4, 5]], [vec![6, 7, 0, 1], vec![2, 3, 4, 5]]]
    );
    assert_eq!((tokens.total_steps(), tokens.token_limit()), (4, Some(24)));
}

proptest! {
    #[test]
    fn micro_batches_of_so_many_tokens_go_through_the_samples_in_turn(
        lengths in prop::collection::vec(0usize..20, 1..30), batch in 1usize..4, cutoff in 2usize..20, padded: bool, seed in 0u64..9,
    ) {
        let strategy = if padded { "dynamic_batching" } else { "dynamic_padding_free" };
        let r = recipe(&format!(
            "per_device_train_batch_size: {batch}\ncutoff_len: {cutoff}\nmax_steps: 40\nseed: {seed}\nbatching_strategy: {strategy}\ngradient_accumulation_steps: 2\n"
        ));
        let loader = Loader::of_lengths(&lengths, &r).expect("samples");
        let whole: Vec<Vec<Vec<usize>>> = (0..40).map(|step| loader.group(step)).collect();
        // A resumed run asks for a step that nobody asked for before.
        prop_assert_eq!(&Loader::of_lengths(&lengths, &r).expect("samples").group(39), &whole[39]);
        let stream = whole.concat().concat();
        for epoch in stream.chunks_exact(lengths.len()) {
            let mut seen = epoch.to_vec();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
        }
        for micro_batch in whole.concat() {
            let tokens: usize = micro_batch.iter().map(|sample| lengths[*sample].max(1)).sum();
            prop_assert!(tokens <= loader.token_limit().expect("a budget") || micro_batch.len() == 1);
        }
        prop_assert_eq!(loader.epoch_after(40), stream.len() as f64 / lengths.len() as f64);
    }

    #[test]
    fn every_sample_comes_once_an_epoch(samples in 1usize..60, batch in 1usize..9, accumulation in 1usize..5, seed in 0u64..99) {
        let r = recipe(&format!("per_device_train_batch_size: {batch}\ngradient_accumulation_steps: {accumulation}\nseed: {seed}\n"));
        let loader = Loader::new(samples, &r).expect("samples");
        for epoch in 0..2 {
            let steps = epoch * loader.steps_per_epoch()..(epoch + 1) * loader.steps_per_epoch();
            let groups: Vec<_> = steps.map(|step| loader.group(step)).collect();
            for group in &groups {
                prop_assert!(!group.is_empty() && group.len() <= accumulation);
                prop_assert!(group.iter().all(|micro_batch| !micro_batch.is_empty() && micro_batch.len() <= batch));
            }
            let mut seen = groups.concat().concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..samples).collect::<Vec<_>>());
        }
        prop_assert_eq!(loader.epoch_after(loader.total_steps()), 3.0);
    }

    #[test]
    fn a_split_takes_everything_once(count in 1usize..80, val_size in prop_oneof![0.0..0.99f64, (1u32..40).prop_map(f64::from)], seed in 0u64..9) {
        match split(count, val_size, seed) {
            Ok((train, held_out)) => {
                let expected = if val_size >= 1.0 { val_size as usize } else { (count as f64 * val_size).ceil() as usize };
                prop_assert_eq!(held_out.len(), expected);
                prop_assert!(!train.is_empty());
                prop_assert!(train.is_sorted() && held_out.is_sorted());
                let mut all = [train, held_out].concat();
                all.sort_unstable();
                prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
            }
            Err(_) => prop_assert!(val_size >= count as f64 || (count as f64 * val_size).ceil() as usize >= count),
        }
    }

    #[test]
    fn random_numbers_keep_their_bounds(seed in any::<u64>(), stream in any::<u64>(), bound in 1u64..1000) {
        let mut random = Random::new(seed, stream);
        for _ in 0..20 {
            prop_assert!(random.below(bound) < bound);
            prop_assert!((0.0..1.0).contains(&random.unit()));
            prop_assert!(random.normal().is_finite());
        }
        prop_assert_eq!(random.below(0), 0);
    }
}
