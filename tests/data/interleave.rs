//! The order of several datasets' records against Hugging Face's `interleave_datasets` (scripts/fixtures/make_interleave.py).

use rootstock::config::{MixStrategy, Recipe};
use rootstock::data::interleave;
use serde_json::Value;

#[test]
fn datasets_are_mixed_in_hugging_face_s_order() {
    let text = std::fs::read("tests/fixtures/interleave.json").expect("the fixture is part of the repository");
    let fixture: Value = serde_json::from_slice(&text).expect("JSON");
    let cases = fixture["cases"].as_array().expect("a list");
    assert_eq!(cases.len(), 15);
    for case in cases {
        let numbers = |name: &str| case[name].as_array().expect("a list").iter().filter_map(Value::as_f64).collect::<Vec<_>>();
        let strategy: MixStrategy = serde_json::from_value(case["strategy"].clone()).expect("a strategy");
        let lengths: Vec<usize> = numbers("lengths").into_iter().map(|n| n as usize).collect();
        let order = interleave(&lengths, strategy, &numbers("shares"), case["seed"].as_u64().expect("a seed"));
        let expected: Vec<(usize, usize)> = serde_json::from_value(case["order"].clone()).expect("pairs");
        assert!(order == expected, "{} of {lengths:?} by {}: {:?}", case["strategy"], case["shares"], &order[..order.len().min(12)]);
    }
    assert_eq!(interleave(&[2, 1], MixStrategy::Concat, &[], 0), [(0, 0), (0, 1), (1, 0)]);
    assert_eq!(interleave(&[2, 0], MixStrategy::InterleaveOver, &[], 0), []);
}

#[test]
fn probabilities_that_make_no_sense_are_said() {
    let recipe = |extra: &str| Recipe::parse("r.yaml", &format!("model_name_or_path: m\noutput_dir: o\ndataset: a, b\n{extra}"), &[]);
    let mixed = recipe("mix_strategy: interleave_under\ninterleave_probs: 0.3,0.7\n").expect("fine");
    assert_eq!((mixed.mix_strategy, mixed.interleave_probs), (MixStrategy::InterleaveUnder, vec![0.3, 0.7]));
    for (extra, expected) in [
        ("interleave_probs: 0.3,0.7\n", "this needs mix_strategy"),
        ("mix_strategy: interleave_over\ninterleave_probs: 1.0\n", "1 are given for 2 datasets"),
        ("mix_strategy: interleave_over\ninterleave_probs: 0.5,0.6\n", "add up to 1"),
        ("mix_strategy: interleave_over\ninterleave_probs: 0.5,half\n", "numbers between 0 and 1"),
    ] {
        let error = recipe(extra).expect_err(extra).to_string();
        assert!(error.contains("line 4: interleave_probs: ") || error.contains("line 5: interleave_probs: "), "{error}");
        assert!(error.contains(expected), "{extra:?}: {error}");
    }
}
