//! What the tests against LLaMA-Factory's trainers share: how their fixtures are read, and how far a run is from one.

use std::rc::Rc;

use rootstock::platform::{Directory, MemoryDirectory, NativeDirectory, block_on};
use serde_json::Value;

/// Of a loss, a gradient or a weight after ten steps, as the golden fixtures allow.
pub(super) const TOLERANCE: f64 = 1e-4;

pub(super) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn directory(path: String) -> Rc<dyn Directory> {
    Rc::new(NativeDirectory::new(path))
}

/// Both answers of a fixture's sample: tokens and labels.
pub(super) fn answers(sample: &Value) -> [(Vec<u32>, Vec<i32>); 2] {
    let integers = |value: &Value| list(value).iter().map(|v| v.as_i64().expect("an integer")).collect::<Vec<_>>();
    [0, 1].map(|at| {
        let one = &sample["sequences"][at];
        let ids = integers(&one["input_ids"]).into_iter().map(|id| id as u32).collect();
        (ids, integers(&one["labels"]).into_iter().map(|label| label as i32).collect())
    })
}

/// The recipe of a case: what the fixture's trainers ran with.
pub(super) fn recipe(stage: &str, adapted: bool, arguments: &Value) -> String {
    let mut recipe = format!(
        "model_name_or_path: model\nstage: {stage}\nfinetuning_type: {}\ndataset: data\noutput_dir: out\ndisable_shuffling: true\n\
         lr_scheduler_type: cosine\nlogging_steps: 1\n",
        if adapted { "lora\nadapter_name_or_path: adapter" } else { "full" }
    );
    for (theirs, ours) in [
        ("steps", "max_steps"),
        ("batch_size", "per_device_train_batch_size"),
        ("accumulation", "gradient_accumulation_steps"),
        ("learning_rate", "learning_rate"),
        ("warmup_steps", "warmup_steps"),
        ("weight_decay", "weight_decay"),
    ] {
        recipe += &format!("{ours}: {}\n", arguments[theirs]);
    }
    recipe
}

/// The lines that a run logged.
pub(super) fn log(out: &MemoryDirectory) -> Vec<Value> {
    let bytes = block_on(out.read("trainer_log.jsonl")).expect("a log");
    String::from_utf8(bytes).expect("text").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// How far a logged figure is from the fixture's, of its size or of `least`.
pub(super) fn off(line: &Value, ours: &str, want: &Value, theirs: &str, least: f64) -> f64 {
    let (got, want) = (number(&line[ours]), number(&want[theirs]));
    (got - want).abs() / want.abs().max(least)
}

/// How far a case is from its fixture: the worst of each kind of figure, and what is too far.
pub(super) struct Distance<'a> {
    pub(super) name: &'a str,
    /// Of losses, of gradient norms, and of what else a test compares.
    pub(super) worst: [f64; 4],
    failures: &'a mut Vec<String>,
}

impl<'a> Distance<'a> {
    pub(super) fn new(name: &'a str, failures: &'a mut Vec<String>) -> Distance<'a> {
        Distance { name, worst: [0.0; 4], failures }
    }

    pub(super) fn check(&mut self, at: usize, what: &str, off: f64, tolerance: f64) {
        self.worst[at] = self.worst[at].max(off);
        if off.is_nan() || off > tolerance {
            self.failures.push(format!("{}: {what}: off by {off:.2e}", self.name));
        }
    }

    /// Loss and gradient norm of a step.
    pub(super) fn check_step(&mut self, step: usize, line: &Value, want: &Value) {
        self.check(0, &format!("loss of step {step}"), off(line, "loss", want, "loss", 0.1), TOLERANCE);
        self.check(1, &format!("gradient norm of step {step}"), off(line, "grad_norm", want, "grad_norm", 0.1), 5.0 * TOLERANCE);
    }
}
