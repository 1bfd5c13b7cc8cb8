//! Chooses among kernels by measuring: a few values of the tuning, each by those dispatches that it changes in a short program of a small
//! language model's shape.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::{Map, Value};
use web_time::{Duration, Instant};

use super::Shape;
use crate::data::{Batch, Sample};
use crate::engine::{encode, program_tokens};
use crate::error::Result;
use crate::gpu::{Gpu, MeasuredTuning, Profile};
use crate::graph::{Param, ParamLayout, Purpose, WeightType};
use crate::kernels::{DeviceClass, Dispatch, Half, StepValues, Tuning, TuningChoice, shown};
use crate::model::{ModelConfig, forward, params};
use crate::optim::{Optimizer, Role, update_program};
use crate::plan::{Options, ParamStore, Program, Runner, compile};

/// A value is taken when what it changes takes at most this share of the time: anything closer is noise.
const WORTH_IT: f64 = 0.95;

/// The measuring ends after so long; what was not tried by then keeps the family's value.
pub const BUDGET: Duration = Duration::from_secs(1);

/// What a value is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Probe {
    /// Forward and backward of a step.
    Step,
    /// The same where a run computes in `fp16`.
    HalfStep,
    /// Norm and update.
    Update,
    /// A token that is generated.
    Token,
}

/// The values that are tried beside the family's own, by what they are measured by; the most promising first. None of them changes what is
/// computed but for rounding.
const TRIED: &[(Probe, &str, &[&str])] = &[
    (Probe::Step, "product_unroll", &["true", "false"]),
    (Probe::Step, "product_prefetch", &["true", "false"]),
    (Probe::HalfStep, "product_half", &["true", "false"]),
    (Probe::Step, "product_workgroups", &["1024", "256"]),
    (Probe::Step, "product_steps", &["8"]),
    (Probe::Step, "attention_rows", &["8", "4"]),
    (Probe::Step, "attention_key_kept", &["2", "1", "0"]),
    (Probe::Step, "row_lanes", &["none", "32", "64"]),
    (Probe::Step, "sums_in_subgroups", &["true", "false"]),
    (Probe::Step, "maxima_in_subgroups", &["true", "false"]),
    (Probe::Step, "subgroup_shuffles", &["true", "false"]),
    (Probe::Step, "sum_rows", &["16", "64", "128"]),
    (Probe::Update, "norm_items", &["8", "64"]),
    (Probe::Token, "long_threads", &["32", "128"]),
    (Probe::Token, "vectors_in_subgroups", &["true", "false"]),
    (Probe::Token, "vector_rows", &["1", "4"]),
];

/// Measures the values that may be faster on this device. On a processor nothing is tried: those kernels were chosen by measuring whole steps
/// (docs/performance.md), and a second is too short for them.
///
/// # Errors
/// [`crate::Error::Gpu`] when the device fails.
pub async fn tune(gpu: &Rc<Gpu>, budget: Duration) -> Result<MeasuredTuning> {
    match gpu.profile().class {
        DeviceClass::Cpu => Ok(MeasuredTuning { changes: Map::new(), tried: Vec::new() }),
        DeviceClass::Gpu => Trial::new(gpu).await?.run(TRIED, budget).await,
    }
}

/// The shape that is measured: SmolLM2-135M's, one layer of it and a sixth of its vocabulary.
const SHAPE: &str = r#"{"model_type": "llama", "vocab_size": 8192, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 1,
    "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "tie_word_embeddings": true}"#;

/// Tokens of the step that is measured.
const TOKENS: usize = 512;

/// Tokens that the generated one looks back on.
const CONTEXT: usize = 512;

/// One shape with its parameters on the device, all zero: kernels take as long for them.
struct Trial {
    gpu: Rc<Gpu>,
    config: ModelConfig,
    params: Rc<Vec<Param>>,
    runner: Runner,
    batch: Batch,
    /// What was measured so far.
    known: BTreeMap<Kind, f64>,
}

/// What a dispatch does, as far as its time depends on it.
type Kind = (&'static str, Vec<u64>, Vec<u8>, [u32; 3]);

fn kind(d: &Dispatch) -> Kind {
    (d.shader.name, d.constants.iter().map(|(_, value)| value.to_bits()).collect(), d.params.clone(), d.workgroups)
}

impl Trial {
    async fn new(gpu: &Rc<Gpu>) -> Result<Trial> {
        let config = Shape::parse("tuning", SHAPE)?;
        let params: Vec<Param> =
            params(&config).iter().map(|declaration| forward::graph_param(declaration, true, |_| WeightType::F32)).collect();
        let params = Rc::new(params);
        let layout = ParamLayout::with_states(&params, gpu.profile(), |_| Optimizer::default().states(1, Role::Matrix));
        let store = Rc::new(ParamStore::allocate_as(gpu, params.clone(), layout, true).await?);
        let runner = Runner::new(gpu.clone(), store).await?;
        let ids: Vec<u32> = (0..TOKENS as u32).map(|i| i * 7 % 8192).collect();
        let labels = ids.iter().map(|id| *id as i32).collect();
        let batch = Batch::of(&[&Sample::new(ids, labels, 1)]);
        Ok(Trial { gpu: gpu.clone(), config, params, runner, batch, known: BTreeMap::new() })
    }

    fn program(&self, probe: Probe, tuning: &Tuning) -> Program {
        let profile = Profile { tuning: tuning.clone(), ..self.gpu.profile().clone() };
        let layout = &self.runner.store.layout;
        let (tokens, purpose, context) = match probe {
            Probe::Step | Probe::HalfStep => (program_tokens(TOKENS), Purpose::Train, TOKENS),
            Probe::Token => (1, Purpose::Generate { cache_rows: CONTEXT, logit_rows: 1 }, CONTEXT),
            Probe::Update => return update_program(&self.params, layout, tuning, &Optimizer::default()),
        };
        let options = Options { kept: (probe == Probe::HalfStep).then_some(Half::F16), ..Options::default() };
        compile(&forward::build(&self.config, self.params.clone(), tokens, purpose, context), layout, &profile, options)
    }

    /// Tries the values one after the other and keeps those that are worth it.
    async fn run(mut self, tried: &[(Probe, &str, &[&str])], budget: Duration) -> Result<MeasuredTuning> {
        let start = Instant::now();
        let seed = self.gpu.profile().tuning.clone();
        let (mut best, mut told) = (seed.clone(), Vec::new());
        for (probe, name, values) in tried {
            for value in *values {
                let choice = TuningChoice { family: None, changes: vec![((*name).to_string(), (*value).to_string())] };
                let Ok(candidate) = choice.apply(&best) else { continue };
                if self.gpu.profile().family.spills(name, value) {
                    told.push(format!("{name}={value}: not tried, it takes more registers than a thread of this family has"));
                    continue;
                }
                if candidate == best || candidate.check_subgroups(self.gpu.profile().subgroups).is_err() {
                    continue;
                }
                if start.elapsed() > budget {
                    told.push(format!("{name}={value}: not measured, the time was up"));
                    continue;
                }
                let Some((now, then)) = self.compare(*probe, &best, &candidate).await? else { continue };
                let old = best.fields().get(*name).map(shown).unwrap_or_default();
                told.push(format!("{name}={value}: {:.1} µs where {name}={old} takes {:.1} µs", then * 1e6, now * 1e6));
                if then < now * WORTH_IT {
                    best = candidate;
                }
            }
        }
        let seed = seed.fields();
        let changes: Map<String, Value> = best.fields().into_iter().filter(|(name, value)| seed.get(name) != Some(value)).collect();
        Ok(MeasuredTuning { changes, tried: told })
    }

    /// Seconds of those dispatches that differ between two tunings: by the first, by the second. `None` where none does.
    async fn compare(&mut self, probe: Probe, now: &Tuning, then: &Tuning) -> Result<Option<(f64, f64)>> {
        let programs = [self.program(probe, now), self.program(probe, then)];
        let count = |program: &Program| {
            let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
            program.dispatches.iter().for_each(|d| *counts.entry(kind(d)).or_default() += 1);
            counts
        };
        let counts = [count(&programs[0]), count(&programs[1])];
        let mut seconds = [0.0; 2];
        for (i, program) in programs.into_iter().enumerate() {
            // Of each kind that the other has fewer of, one is measured and counts as often as it is missing there.
            let missing: BTreeMap<Kind, usize> = counts[i]
                .iter()
                .map(|(kind, many)| (kind.clone(), many.saturating_sub(counts[1 - i].get(kind).copied().unwrap_or(0))))
                .filter(|(_, more)| *more > 0)
                .collect();
            self.measure(program, &missing).await?;
            seconds[i] = missing.iter().map(|(kind, more)| self.known.get(kind).copied().unwrap_or(0.0) * *more as f64).sum();
        }
        Ok((seconds[0] > 0.0 && seconds[1] > 0.0).then_some((seconds[0], seconds[1])))
    }

    /// Measures one dispatch of each of these kinds, unless it is known. Others are neither compiled nor run.
    async fn measure(&mut self, mut program: Program, wanted: &BTreeMap<Kind, usize>) -> Result<()> {
        let mut found = BTreeSet::new();
        program.dispatches.retain(|d| {
            let kind = kind(d);
            wanted.contains_key(&kind) && !self.known.contains_key(&kind) && found.insert(kind)
        });
        if program.dispatches.is_empty() {
            return Ok(());
        }
        let bound = self.runner.bind(&program).await?;
        let (inputs, step) = self.inputs(&program);
        for timing in self.runner.time(&bound, &step, &inputs).await? {
            self.known.insert(kind(&program.dispatches[timing.dispatch]), timing.seconds);
        }
        Ok(())
    }

    /// What a program reads of the batch and the step.
    fn inputs(&self, program: &Program) -> (Vec<u8>, StepValues) {
        let step = StepValues { loss_scale: 1.0, bias_correction1: 1.0, bias_correction2: 1.0, ..StepValues::default() };
        match program.tokens {
            0 => (Vec::new(), step),
            1 => {
                let (inputs, _) = encode(&Batch::of(&[&Sample::new(vec![1], vec![1], 1)]), 1);
                (inputs, StepValues { position: CONTEXT as u32 - 1, tokens: 1, targets: 1, ..step })
            }
            tokens => {
                let (inputs, counts) = encode(&self.batch, tokens);
                let (targets, buckets, position_buckets) = (counts.targets, counts.buckets, counts.position_buckets);
                (inputs, StepValues { targets, buckets, position_buckets, tokens: self.batch.tokens as u32, ..step })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::DeviceChoice;
    use crate::kernels::Family;
    use crate::platform::block_on;

    /// On a processor that is told to be a GPU: which value wins there means nothing, that both were measured and the time was kept does.
    #[test]
    fn what_a_value_changes_is_measured_while_there_is_time() {
        let tuning = TuningChoice::parse("unknown-gpu").expect("a family");
        let tried: &[(Probe, &str, &[&str])] = &[(Probe::Update, "norm_items", &["8"])];
        let run = |budget: Duration| {
            let choice = DeviceChoice { tuning: tuning.clone(), ..DeviceChoice::default() };
            block_on(async {
                let gpu = Rc::new(Gpu::open(&choice).await?);
                Trial::new(&gpu).await?.run(tried, budget).await
            })
        };
        let measured = run(Duration::from_secs(600)).unwrap_or_else(|e| panic!("{e}"));
        let [said] = &measured.tried[..] else { panic!("{:?}", measured.tried) };
        assert!(
            said.starts_with("norm_items=8: ") && said.contains(" µs where norm_items=16 takes ") && !said.contains(" 0.0 µs"),
            "{said}"
        );
        assert!(measured.changes.keys().all(|name| name == "norm_items"), "{measured:?}");
        let late = run(Duration::ZERO).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((late.changes.len(), &late.tried[..]), (0, &["norm_items=8: not measured, the time was up".to_string()][..]));
    }

    /// Others add fields and rename them: what is tried must exist, and must be a value that some family of GPUs does not have already.
    #[test]
    fn every_value_that_is_tried_is_one_that_the_kernels_take() {
        let seed = Tuning::of(Family::UnknownGpu, None);
        for (_, name, values) in TRIED {
            assert!(!values.is_empty(), "{name}");
            let mut different = 0;
            for value in *values {
                let choice = TuningChoice { family: None, changes: vec![((*name).to_string(), (*value).to_string())] };
                different += usize::from(choice.apply(&seed).unwrap_or_else(|e| panic!("{e}")) != seed);
            }
            assert!(different > 0, "{name}");
        }
    }
}
