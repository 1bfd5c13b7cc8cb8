//! Learning rates against transformers 5's `get_scheduler` (peak 0.002), two steps beyond the end included.

use rootstock::config::{SchedulerKwargs, SchedulerType};
use rootstock::train::Schedule;

#[track_caller]
fn check(kind: SchedulerType, total: u64, warmup: u64, kwargs: SchedulerKwargs, expected: &[f64]) {
    let schedule = Schedule::new(kind, 0.002, warmup, total, kwargs);
    for (step, want) in expected.iter().enumerate() {
        let got = schedule.learning_rate(step as u64);
        assert!((got - want).abs() < 1e-15, "{kind:?} step {step}: {got} instead of {want}");
    }
}

#[test]
#[rustfmt::skip]
fn constant_linear_and_cosine_equal_transformers() {
    let none = SchedulerKwargs::default;
    check(SchedulerType::Constant, 4, 2, none(), &[0.002, 0.002, 0.002, 0.002, 0.002, 0.002]);
    check(SchedulerType::ConstantWithWarmup, 5, 3, none(), &[0.0, 0.0006666666666666666, 0.0013333333333333333, 0.002, 0.002, 0.002, 0.002]);
    check(SchedulerType::Linear, 7, 2, none(), &[0.0, 0.001, 0.002, 0.0016, 0.0012, 0.0008, 0.0004, 0.0, 0.0]);
    check(SchedulerType::Linear, 5, 0, none(), &[0.002, 0.0016, 0.0012, 0.0008, 0.0004, 0.0, 0.0]);
    check(SchedulerType::Cosine, 9, 3, none(), &[0.0, 0.0006666666666666666, 0.0013333333333333333, 0.002, 0.001866025403784439, 0.0015, 0.001, 0.0005000000000000002, 0.0001339745962155613, 0.0, 0.0001339745962155614]);
    check(SchedulerType::Cosine, 8, 2, SchedulerKwargs { num_cycles: Some(1.25), ..none() }, &[0.0, 0.001, 0.002, 0.0012588190451025209, 0.00013397459621556152, 0.00029289321881345235, 0.0014999999999999994, 0.0019659258262890683, 0.0010000000000000002, 3.4074173710931686e-05]);
}

#[test]
#[rustfmt::skip]
fn cosine_with_min_lr_equals_transformers() {
    let min_lr = SchedulerKwargs { min_lr: Some(0.0003), ..Default::default() };
    check(SchedulerType::CosineWithMinLr, 8, 2, min_lr, &[0.0, 0.001, 0.002, 0.001886121593216773, 0.001575, 0.00115, 0.0007250000000000001, 0.00041387840678322707, 0.0003, 0.0004138784067832272]);
    let rate = SchedulerKwargs { min_lr_rate: Some(0.15), ..Default::default() };
    check(SchedulerType::CosineWithMinLr, 7, 0, rate, &[0.002, 0.0019158235377170563, 0.0016799663315799236, 0.0013391427938628674, 0.0009608572061371328, 0.0006200336684200764, 0.00038417646228294377, 0.0003, 0.0003841764622829437]);
}

#[test]
#[rustfmt::skip]
fn warmup_stable_decay_equals_transformers() {
    // 11 steps, 2 of warm-up: LLaMA-Factory makes a third of the other 9 stable.
    check(SchedulerType::WarmupStableDecay, 11, 2, SchedulerKwargs::default(), &[0.0, 0.001, 0.002, 0.002, 0.002, 0.002, 0.001866025403784439, 0.0015, 0.001, 0.0005000000000000002, 0.0001339745962155613, 0.0, 0.0]);
    let curved = SchedulerKwargs { num_stable_steps: Some(1), num_decay_steps: Some(4), min_lr_ratio: Some(0.1), warmup_type: Some("cosine".into()), decay_type: Some("1-sqrt".into()), ..Default::default() };
    check(SchedulerType::WarmupStableDecay, 9, 3, curved, &[0.0002, 0.00065, 0.00155, 0.002, 0.002, 0.0011, 0.0007272077938642143, 0.00044115427318801054, 0.0002, 0.0002, 0.0002]);
    let straight = SchedulerKwargs { num_stable_steps: Some(2), num_decay_steps: Some(4), min_lr_ratio: Some(0.2), warmup_type: Some("1-sqrt".into()), decay_type: Some("linear".into()), ..Default::default() };
    check(SchedulerType::WarmupStableDecay, 9, 3, straight, &[0.0004, 0.0006936054705156384, 0.0010762395692965987, 0.002, 0.002, 0.002, 0.0016, 0.0012000000000000001, 0.0008, 0.0004, 0.0004]);
}
