//! The self-test: the model on a text, against chance, and a line of its own. It also decides between readings that the tensors
//! leave open: of settings that fit all shapes, only the right one predicts the text.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::code::Code;
use super::config::candidate;
use super::infer::{head_splits, shapes};
use super::repair::{Candidate, Repair, set};
use super::report::Finding;
use super::source::ViewParams;
use super::view::View;
use super::{CONFIG, Progress};
use crate::data::{Batch, Sample, Tokenizer};
use crate::engine::{Engine, EngineOptions, Method, estimate};
use crate::error::Result;
use crate::generate::{AnswerOptions, Generator, GeneratorOptions, SamplingOptions, stop_ids, text_prompt};
use crate::gpu::Gpu;
use crate::graph::WeightType;
use crate::model::{ModelConfig, ParamDecl, params};
use crate::optim::AdamW;

/// Plain English that any language model predicts better than chance. It need not be liked, only be no surprise.
const TEXT: &str = "In the morning the gardener went out to look at the trees. It had rained during the night, and the grass was still wet. \
    She walked along the path to the old wall, where the roses grew, and cut a few of them for the house. Then she sat down on the bench \
    under the apple tree and read the letter that had come the day before. Her brother wrote that he would arrive on Saturday, that the \
    journey was long, and that he was looking forward to seeing the house again. She put the letter back into her pocket, took the basket, \
    and went in to make tea. When the water boiled, the sun had come out, and the birds were singing in the garden.";
/// The beginning of a line that the model goes on with.
const PROMPT: &str = "In the morning the gardener";
/// Tokens of the text that are looked at, and tokens of the line.
const TOKENS: usize = 192;
const LINE: usize = 24;
/// Above this share of ln V the model predicts nothing: random weights are within a few hundredths of it.
const CHANCE: f64 = 0.97;
/// Above this share of ln V a cut of the heads that fits the shapes but not the model is possible (it costs whole nats).
const SUSPICIOUS: f64 = 0.5;
/// Nats by which the best reading must be better than the next; wrong heads cost more than one, wrong positions 0.2 and more.
const MARGIN: f64 = 0.1;
/// Above so many parameters other readings are not tried without being asked.
const TRIED: u64 = 2_000_000_000;

/// A self-test that is ready to run.
pub(super) struct SelfTest<'a> {
    gpu: &'a Rc<Gpu>,
    tokenizer: &'a Tokenizer,
    sample: Sample,
}

/// What running the model showed.
pub(super) struct Behaviour {
    pub(super) loss: f64,
    /// What it wrote after [`PROMPT`]; `None` when it could not.
    line: Option<String>,
}

impl<'a> SelfTest<'a> {
    /// The text in the tokens of the model; `Err` says why there are none.
    pub(super) fn new(gpu: &'a Rc<Gpu>, tokenizer: &'a Tokenizer, config: &ModelConfig) -> Result<Self, String> {
        let mut ids = tokenizer.encode(TEXT, true).map_err(|error| error.to_string())?;
        ids.truncate(TOKENS.min(config.max_position_embeddings));
        if ids.len() < 2 || ids.iter().any(|id| *id as usize >= config.vocab_size) {
            return Err("the tokenizer does not fit the vocabulary".into());
        }
        let labels = ids.iter().map(|id| *id as i32).collect();
        Ok(SelfTest { gpu, tokenizer, sample: Sample::new(ids, labels, 1) })
    }

    async fn engine(&self, view: &View, config: &ModelConfig) -> Result<Engine> {
        let options = EngineOptions {
            method: Method::Inference(None),
            gradient_checkpointing: false,
            sequence: self.sample.ids.len(),
            adamw: AdamW::default(),
        };
        let (declared, profile) = (params(config), self.gpu.profile());
        let frozen = |_: &ParamDecl| WeightType::F32;
        estimate(config, &declared, frozen, profile, &options, [0, self.sample.ids.len()]).check(profile, true)?;
        let engine = Engine::new(self.gpu.clone(), config.clone(), &declared, frozen, options).await?;
        engine.load_base(&ViewParams::new(view, config)).await?;
        Ok(engine)
    }

    /// Mean loss on the text, in nats a token.
    ///
    /// # Errors
    /// When memory is short, or the device or a file fails.
    async fn loss(&self, view: &View, config: &ModelConfig) -> Result<f64> {
        let mut engine = self.engine(view, config).await?;
        self.loss_of(&mut engine).await
    }

    async fn loss_of(&self, engine: &mut Engine) -> Result<f64> {
        let (sum, targets) = engine.loss(&Batch::of(&[&self.sample])).await?;
        Ok(sum / targets.max(1) as f64)
    }

    /// Loss and a line.
    ///
    /// # Errors
    /// As [`SelfTest::loss`].
    pub(super) async fn run(&self, view: &View, config: &ModelConfig) -> Result<Behaviour> {
        let mut engine = self.engine(view, config).await?;
        let loss = self.loss_of(&mut engine).await?;
        let line = self.line(&engine, config).await.ok();
        Ok(Behaviour { loss, line })
    }

    async fn line(&self, engine: &Engine, config: &ModelConfig) -> Result<String> {
        let prompt = text_prompt(self.tokenizer, PROMPT)?;
        let context = (prompt.len() + LINE).min(config.max_position_embeddings);
        let mut generator = Generator::sharing(engine, GeneratorOptions { context: Some(context), chunk: None }).await?;
        let sampling = SamplingOptions { greedy: true, ..SamplingOptions::default() };
        let options = AnswerOptions { sampling, max_new_tokens: LINE, stop_ids: stop_ids(config, self.tokenizer) };
        let mut stream = generator.answer(&prompt, options).await?.text(self.tokenizer, true);
        let mut line = String::new();
        while let Some(piece) = stream.next_text().await? {
            line.push_str(&piece);
        }
        Ok(line)
    }

    /// Mean losses of several readings, in their order; a reading that cannot be is infinitely bad.
    ///
    /// # Errors
    /// As [`SelfTest::loss`].
    async fn scores(&self, view: &View, candidates: &[Candidate], progress: &mut dyn FnMut(Progress<'_>)) -> Result<Vec<f64>> {
        let mut scores = Vec::with_capacity(candidates.len());
        for (done, candidate) in candidates.iter().enumerate() {
            progress(Progress { what: "trying the readings", done: done as u64, total: candidates.len() as u64 });
            scores.push(match reading(view, candidate) {
                Some(config) => {
                    let loss = self.loss(view, &config).await?;
                    if loss.is_nan() { f64::INFINITY } else { loss }
                }
                None => f64::INFINITY,
            });
        }
        Ok(scores)
    }

    /// Decides what findings left to the loss: the reading that stands out becomes the repair; where none does, there is none.
    ///
    /// # Errors
    /// As [`SelfTest::loss`].
    pub(super) async fn resolve(&self, view: &mut View, findings: &mut [Finding], progress: &mut dyn FnMut(Progress<'_>)) -> Result<()> {
        for finding in findings {
            let Some(Repair::Score(candidates)) = finding.repair.clone() else { continue };
            let scores = self.scores(view, &candidates, progress).await?;
            let chance = ln_vocabulary(&view.config);
            let table: Vec<String> =
                candidates.iter().zip(&scores).map(|(candidate, score)| format!("{}: {score:.3}", candidate.label)).collect();
            let table = format!("Loss on a text, in nats a token (chance is {chance:.2}): {}", table.join("; "));
            match standing_out(&scores, chance) {
                Some(best) => {
                    finding.message = format!("{}. {table}", finding.message);
                    let repair = Repair::SetConfig(candidates[best].config.clone());
                    view.apply(&repair);
                    finding.repair = Some(repair);
                }
                None => {
                    finding.message =
                        format!("{}. {table}; none stands out, so it is not guessed: name the base (--base DIR)", finding.message);
                    finding.repair = None;
                }
            }
        }
        Ok(())
    }

    /// Says what the model showed; where it is suspicious, tries the other cuts of the heads that its shapes allow.
    ///
    /// # Errors
    /// As [`SelfTest::loss`].
    pub(super) async fn judge(
        &self,
        behaviour: &Behaviour,
        view: &mut View,
        config: &ModelConfig,
        findings: &mut Vec<Finding>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<()> {
        let (loss, chance) = (behaviour.loss, (config.vocab_size as f64).ln());
        let line = match &behaviour.line {
            Some(line) => format!("; it goes on with “{PROMPT}” by “{}”", line.trim_end().replace('\n', " ⏎ ")),
            None => String::new(),
        };
        let seen = format!("loss on an English text: {loss:.3} nats a token (chance is {chance:.2}){line}");
        if loss < SUSPICIOUS * chance {
            findings.push(Finding::new(Code::SelfTest, seen));
            return Ok(());
        }
        if config.parameter_count() <= TRIED
            && let Some(finding) = self.other_heads(view, config, loss, progress).await?
        {
            if let Some(repair) = &finding.repair {
                view.apply(repair);
            }
            findings.push(finding);
        } else if loss.is_nan() || loss > CHANCE * chance {
            let message = format!(
                "{seen}. It predicts no better than chance. A model fresh from its initialisation is like that; if this one should be trained, its \
                 weights or settings are not those that it was trained with (other tools would train on from here without a word): compare it \
                 with its base (--base DIR)"
            );
            findings.push(Finding::new(Code::LossNearChance, message));
            return Ok(());
        }
        findings.push(Finding::new(Code::SelfTest, seen));
        Ok(())
    }

    async fn other_heads(
        &self,
        view: &View,
        config: &ModelConfig,
        loss: f64,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Option<Finding>> {
        let shapes = shapes(view, config.architecture);
        let others: Vec<Candidate> = head_splits(config.architecture, &shapes)
            .into_iter()
            .filter(|(_, _, head_dim)| *head_dim != config.head_dim as u64)
            .map(|split| candidate(config.architecture, split))
            .collect();
        if others.is_empty() {
            return Ok(None);
        }
        let scores = self.scores(view, &others, progress).await?;
        let mut all = scores.clone();
        all.push(loss);
        let Some(best) = standing_out(&all, (config.vocab_size as f64).ln()).filter(|best| *best < others.len()) else { return Ok(None) };
        let message = format!(
            "all shapes fit, but the model does not behave: with {} heads of {}, as config.json says, its loss on a text is {loss:.3}, with {} it \
             is {:.3}. Other tools compute nonsense without a word",
            config.num_attention_heads, config.head_dim, others[best].label, scores[best]
        );
        Ok(Some(Finding::new(Code::HeadSplit, message).file(CONFIG).repair(Repair::SetConfig(others[best].config.clone()))))
    }
}

/// The configuration that a candidate makes of the view's.
fn reading(view: &View, candidate: &Candidate) -> Option<ModelConfig> {
    let mut map = view.config.clone();
    for (key, value) in &candidate.config {
        set(&mut map, key, value.clone());
    }
    ModelConfig::from_map(CONFIG, map).ok()
}

fn ln_vocabulary(config: &Map<String, Value>) -> f64 {
    config.get("vocab_size").and_then(Value::as_f64).unwrap_or(1.0).ln()
}

/// The best of several losses, if it is better than chance and than every other by a margin.
fn standing_out(scores: &[f64], chance: f64) -> Option<usize> {
    let best = (0..scores.len()).min_by(|a, b| scores[*a].total_cmp(&scores[*b]))?;
    let next = (0..scores.len()).filter(|i| *i != best).map(|i| scores[i]).fold(f64::INFINITY, f64::min);
    (scores[best] < CHANCE * chance && scores[best] + MARGIN < next).then_some(best)
}

/// That it was not run, and why.
pub(super) fn not_run(reason: &str) -> Finding {
    Finding::new(Code::NotRun, format!("the model was not run: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_clearly_best_stands_out() {
        let chance = 5.545;
        assert_eq!(standing_out(&[4.07, 1.18, 4.5], chance), Some(1));
        assert_eq!(standing_out(&[1.18, 1.20], chance), None, "too close");
        assert_eq!(standing_out(&[5.5, 5.9], chance), None, "no better than chance");
        assert_eq!(standing_out(&[1.2], chance), Some(0));
        assert_eq!(standing_out(&[f64::INFINITY], chance), None);
        assert_eq!(standing_out(&[], chance), None);
    }
}
