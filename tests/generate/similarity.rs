//! BLEU and ROUGE against what LLaMA-Factory's packages compute (scripts/fixtures/make_similarity.py).

use rootstock::generate::{Judge, Similarity};
use serde_json::Value;

#[test]
fn scores_equal_those_of_llamafactory() {
    let text = std::fs::read("tests/fixtures/similarity.json").expect("the fixture is part of the repository");
    let pairs: Vec<Value> = serde_json::from_slice(&text).expect("JSON");
    assert!(pairs.len() > 70);
    let judge = Judge::default();
    for pair in &pairs {
        let text = |name: &str| pair[name].as_str().expect("text");
        let score = serde_json::to_value(judge.score(text("prediction"), text("label"))).expect("JSON");
        for name in ["rouge-1", "rouge-2", "rouge-l", "bleu-4"] {
            let (got, want) = (score[name].as_f64().expect("a number"), pair[name].as_f64().expect("a number"));
            assert!((got - want).abs() < 1.5e-4, "{name} is {got} instead of {want} for {pair}");
        }
    }
}

#[test]
fn the_mean_of_nothing_is_nothing() {
    assert_eq!(Judge::mean(&[]), Similarity::default());
    let judge = Judge::default();
    let (same, other) = (judge.score("the goat", "the goat"), judge.score("", "the goat"));
    assert!((Judge::mean(&[same, other]).rouge_1 - same.rouge_1 / 2.0).abs() < 1e-9);
    // Chinese is compared by its characters.
    assert!((judge.score("养蜂人", "养蜂的人").rouge_1 - 85.7143).abs() < 1e-3);
}
