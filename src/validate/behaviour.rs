//! The self-test: the model's loss on a text, compared with chance, and a short generated text. Where the tensors leave settings
//! ambiguous, the loss decides: among the settings that fit all shapes, only the right one predicts the text.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::code::Code;
use super::heads::candidate;
use super::infer::{head_splits, shapes};
use super::knowledge::{KNOWS, OTHER_TEXTS, read, standard_errors};
use super::options::Progress;
use super::repair::{Candidate, Repair, set};
use super::report::Finding;
use super::rope;
use super::said::said;
use super::source::ViewParams;
use super::view::View;
use crate::data::Tokenizer;
use crate::engine::{Blueprint, Engine, EngineOptions, Method, Objective};
use crate::error::Result;
use crate::generate::{AnswerOptions, Generator, GeneratorOptions, SamplingOptions, estimate_reading, stop_ids, text_prompt};
use crate::gpu::Gpu;
use crate::model::config::CONFIG_FILE as CONFIG;
use crate::model::{ModelConfig, ParamDecl};
use crate::optim::Optimizer;

/// Plain English that any language model predicts better than chance.
const TEXT: &str = "In the morning the gardener went out to look at the trees. It had rained during the night, and the grass was still wet. \
    She walked along the path to the old wall, where the roses grew, and cut a few of them for the house. Then she sat down on the bench \
    under the apple tree and read the letter that had come the day before. Her brother wrote that he would arrive on Saturday, that the \
    journey was long, and that he was looking forward to seeing the house again. She put the letter back into her pocket, took the basket, \
    and went in to make tea. When the water boiled, the sun had come out, and the birds were singing in the garden.";
/// The prompt that the model continues.
const PROMPT: &str = "In the morning the gardener";
/// Number of tokens of the text that are evaluated; below, number of tokens generated.
const TOKENS: usize = 192;
const LINE: usize = 24;
/// A loss above this fraction of ln V is no evidence of a trained model: random weights are within a few hundredths of ln V.
const CHANCE: f64 = 0.97;
/// From this fraction of ln V on, other head counts that fit the same shapes are tried: a wrong head count costs whole nats.
const SUSPICIOUS: f64 = 0.5;
/// Minimum lead of the best interpretation over every other, in nats per token (a wrong head count costs more than one, wrong rotary
/// positions 0.2 or more in a model that uses them); it must also be significant, in standard errors of the per-token difference.
const MARGIN: f64 = 0.02;
const CERTAIN: f64 = 3.0;
/// Above this number of parameters, other interpretations are tried only on request.
const TRIED: u64 = 2_000_000_000;

/// A self-test that is ready to run.
pub(super) struct SelfTest<'a> {
    gpu: &'a Rc<Gpu>,
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
}

/// The result of running the model.
pub(super) struct Behaviour {
    pub(super) outcome: Outcome,
    /// The text generated after [`PROMPT`]; `None` if generation failed.
    line: Option<String>,
}

/// The result of one interpretation of the tensors on a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    /// The loss of each token, in nats; empty for an impossible interpretation.
    losses: Vec<f64>,
    /// The language of a text that it predicts better than a random model; `None` if there is none.
    knows: Option<&'static str>,
}

impl Outcome {
    /// The outcome of an impossible interpretation.
    const IMPOSSIBLE: Outcome = Outcome { losses: Vec::new(), knows: None };

    /// Mean loss, in nats per token.
    pub(super) fn loss(&self) -> f64 {
        if self.losses.is_empty() { f64::INFINITY } else { self.losses.iter().sum::<f64>() / self.losses.len() as f64 }
    }

    /// Whether its loss is lower than another's by a significant margin.
    fn is_clearly_better_than(&self, other: &Outcome) -> bool {
        let differences: Vec<f64> = self.losses.iter().zip(&other.losses).map(|(own, other)| other - own).collect();
        other.loss() - self.loss() >= MARGIN && (other.losses.is_empty() || standard_errors(&differences) >= CERTAIN)
    }
}

impl<'a> SelfTest<'a> {
    /// Tokenises the text; `Err` says why that is not possible.
    pub(super) fn new(gpu: &'a Rc<Gpu>, tokenizer: &'a Tokenizer, config: &ModelConfig) -> Result<Self, String> {
        let ids = tokens(tokenizer, config, TEXT)?;
        Ok(SelfTest { gpu, tokenizer, ids })
    }

    /// Loads the model onto the GPU, with each weight in its stored type, to be shared by generators.
    ///
    /// # Errors
    /// When memory is insufficient for the model and a generator, or a file cannot be read.
    async fn engine(&self, view: &View, config: &ModelConfig) -> Result<Engine> {
        let options = EngineOptions {
            method: Method::Inference(None),
            gradient_checkpointing: false,
            kept: None,
            sequence: self.ids.len(),
            optimizer: Optimizer::default(),
            objective: Objective::default(),
        };
        let (source, profile) = (ViewParams::in_blocks(view, config).await?, self.gpu.profile());
        let frozen = |param: &ParamDecl| source.stored_type(param);
        let blueprint = Blueprint::new(config, &source.params, frozen, profile, &options, [0, 0]);
        let reading = GeneratorOptions { context: Some(self.ids.len()), chunk: None };
        let beside = estimate_reading(config, blueprint.params(), profile, reading)?;
        (blueprint.memory() + beside).check(profile, None)?;
        Engine::load_planned(self.gpu.clone(), &source, &blueprint).await
    }

    /// Evaluates one interpretation on the text.
    ///
    /// # Errors
    /// When memory is insufficient, or the device or a file fails.
    async fn outcome(&self, view: &View, config: &ModelConfig) -> Result<Outcome> {
        self.outcome_of(&self.engine(view, config).await?, &[]).await
    }

    /// Evaluates a model on the text; if the loss is no evidence, checks whether it nevertheless predicts that text or one of `others`.
    async fn outcome_of(&self, engine: &Engine, others: &[(&'static str, &'static str)]) -> Result<Outcome> {
        let english = read(engine, &self.ids).await?;
        let mut outcome = Outcome { losses: english.losses, knows: None };
        if outcome.loss() <= CHANCE * (engine.config.vocab_size as f64).ln() || english.evidence >= KNOWS {
            outcome.knows = Some("English");
            return Ok(outcome);
        }
        for (language, text) in others {
            let Ok(ids) = tokens(self.tokenizer, &engine.config, text) else { continue };
            if read(engine, &ids).await?.evidence >= KNOWS {
                outcome.knows = Some(language);
                break;
            }
        }
        Ok(outcome)
    }

    /// Evaluates the model and generates a short text.
    ///
    /// # Errors
    /// As [`SelfTest::outcome`].
    pub(super) async fn run(&self, view: &View, config: &ModelConfig) -> Result<Behaviour> {
        let engine = self.engine(view, config).await?;
        let outcome = self.outcome_of(&engine, &OTHER_TEXTS).await?;
        let line = self.line(&engine, config).await.ok();
        Ok(Behaviour { outcome, line })
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

    /// Evaluates several interpretations, in their order.
    ///
    /// # Errors
    /// As [`SelfTest::outcome`].
    async fn outcomes(&self, view: &View, candidates: &[Candidate], progress: &mut dyn FnMut(Progress<'_>)) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(candidates.len());
        for (done, candidate) in candidates.iter().enumerate() {
            progress(Progress { what: "trying the readings", done: done as u64, total: candidates.len() as u64 });
            outcomes.push(match reading(view, candidate) {
                Some(config) => {
                    let outcome = self.outcome(view, &config).await?;
                    if outcome.loss().is_nan() { Outcome::IMPOSSIBLE } else { outcome }
                }
                None => Outcome::IMPOSSIBLE,
            });
        }
        Ok(outcomes)
    }

    /// Resolves the findings that leave several settings possible: the setting with clearly the lowest loss becomes the repair; if none has
    /// clearly the lowest loss, there is no repair.
    ///
    /// # Errors
    /// As [`SelfTest::outcome`].
    pub(super) async fn resolve(&self, view: &mut View, findings: &mut [Finding], progress: &mut dyn FnMut(Progress<'_>)) -> Result<()> {
        for finding in findings {
            let Some(Repair::Score(candidates)) = finding.repair.clone() else { continue };
            let outcomes = self.outcomes(view, &candidates, progress).await?;
            let chance = ln_vocabulary(&view.config);
            let table: Vec<String> = candidates
                .iter()
                .zip(&outcomes)
                .map(|(candidate, outcome)| format!("{}: {:.3}", candidate.label, outcome.loss()))
                .collect();
            let table = format!("Loss on a text, in nats a token (chance is {chance:.2}): {}", table.join("; "));
            match standing_out(&outcomes) {
                Some(best) => {
                    finding.message = said!("{}. {table}", finding.message);
                    let repair = Repair::SetConfig(candidates[best].config.clone());
                    view.apply(&repair);
                    finding.repair = Some(repair);
                }
                None => {
                    finding.message =
                        said!("{}. {table}; none stands out, so it is not guessed: name the base (--base DIR)", finding.message);
                    finding.repair = None;
                }
            }
        }
        Ok(())
    }

    /// Reports the result of the run; if it is suspicious, tries the other head counts that the shapes allow.
    ///
    /// # Errors
    /// As [`SelfTest::outcome`].
    pub(super) async fn judge(
        &self,
        behaviour: &Behaviour,
        view: &mut View,
        config: &ModelConfig,
        findings: &mut Vec<Finding>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<()> {
        let (loss, knows, chance) = (behaviour.outcome.loss(), behaviour.outcome.knows, (config.vocab_size as f64).ln());
        let line = match &behaviour.line {
            Some(line) => format!("; it goes on with “{PROMPT}” by “{}”", line.trim_end().replace('\n', " ⏎ ")),
            None => String::new(),
        };
        let seen = said!("loss on an English text: {loss:.3} nats a token (chance is {chance:.2}){line}");
        let suspicious = loss.is_nan() || loss >= SUSPICIOUS * chance;
        let mut better = None;
        if config.parameter_count() <= TRIED {
            if suspicious {
                better = self.other_heads(view, config, &behaviour.outcome, progress).await?;
            }
            if better.is_none() && (suspicious || !rope::is_given(&view.config)) {
                better = self.other_positions(view, config, &behaviour.outcome, progress).await?;
            }
        }
        let explained = better.is_some();
        if let Some(finding) = better {
            if let Some(repair) = &finding.repair {
                view.apply(repair);
            }
            findings.push(finding);
        }
        findings.push(match knows {
            _ if explained || loss <= CHANCE * chance => Finding::new(Code::SelfTest, seen),
            Some(language) => {
                let message = said!(
                    "{seen}. It was trained on something narrower or other than this text: its loss is above chance, \
                     but in {language} it tells what comes next from other words of the text, which no random model does"
                );
                Finding::new(Code::SelfTest, message)
            }
            None => {
                let others: Vec<&str> = OTHER_TEXTS.iter().map(|(language, _)| *language).collect();
                let message = said!(
                    "{seen}. What it predicts has nothing to do with what it reads, neither in English nor in {}. A model fresh from its \
                     initialisation is like that; if this one should be trained (on one of these), its weights or settings are not those that it was \
                     trained with, and other tools would train on from here without a word: compare it with its base (--base DIR)",
                    others.join(", ")
                );
                Finding::new(Code::LossNearChance, message)
            }
        });
        Ok(())
    }

    async fn other_heads(
        &self,
        view: &View,
        config: &ModelConfig,
        configured: &Outcome,
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
        let mut all = self.outcomes(view, &others, progress).await?;
        all.push(configured.clone());
        let Some(best) = standing_out(&all).filter(|best| *best < others.len()) else { return Ok(None) };
        let message = said!(
            "all shapes fit, but the number of heads is wrong: with {} heads of {}, as config.json says, its loss on a text is {:.3}, \
             with {} it is {:.3}. Other tools compute nonsense without a word",
            config.num_attention_heads,
            config.head_dim,
            configured.loss(),
            others[best].label,
            all[best].loss()
        );
        Ok(Some(Finding::new(Code::HeadSplit, message).file(CONFIG).repair(Repair::SetConfig(others[best].config.clone()))))
    }

    /// Looks for rotary positions that fit better than those of the configuration, or than the default if it gives none.
    async fn other_positions(
        &self,
        view: &View,
        config: &ModelConfig,
        configured: &Outcome,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Option<Finding>> {
        let mut others = rope::candidates(config.architecture);
        others.retain(|candidate| reading(view, candidate).is_some_and(|other| other.ropes != config.ropes));
        if others.is_empty() {
            return Ok(None);
        }
        let mut all = self.outcomes(view, &others, progress).await?;
        all.push(configured.clone());
        let Some(best) = standing_out(&all).filter(|best| *best < others.len()) else { return Ok(None) };
        let given = match rope::is_given(&view.config) {
            true => "as config.json says",
            false => "which transformers takes where config.json says nothing",
        };
        let message = said!(
            "the rotary positions are not those that the model was trained with: with {}, {given}, its loss on a text is {:.3}, with {} it is \
             {:.3}. Other tools compute worse without a word",
            rope::describe(config),
            configured.loss(),
            others[best].label,
            all[best].loss()
        );
        Ok(Some(Finding::new(Code::RopeUnclear, message).file(CONFIG).repair(Repair::SetConfig(others[best].config.clone()))))
    }
}

/// The view's configuration with a candidate's fields applied.
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

/// The index of the best interpretation, if it predicts a text and is clearly better than every other.
fn standing_out(outcomes: &[Outcome]) -> Option<usize> {
    let best = (0..outcomes.len()).min_by(|a, b| outcomes[*a].loss().total_cmp(&outcomes[*b].loss()))?;
    let clearly = |other: usize| other == best || outcomes[best].is_clearly_better_than(&outcomes[other]);
    (outcomes[best].knows.is_some() && (0..outcomes.len()).all(clearly)).then_some(best)
}

/// Tokenises the beginning of a text; `Err` says why that is not possible.
fn tokens(tokenizer: &Tokenizer, config: &ModelConfig, text: &str) -> Result<Vec<u32>, String> {
    let mut ids = tokenizer.encode(text, true).map_err(|error| error.to_string())?;
    ids.truncate(TOKENS.min(config.max_position_embeddings));
    if ids.len() < 2 || ids.iter().any(|id| *id as usize >= config.vocab_size) {
        return Err("the tokenizer does not fit the vocabulary".into());
    }
    Ok(ids)
}

/// The finding that the self-test was not run, and why.
pub(super) fn not_run(reason: &str) -> Finding {
    Finding::new(Code::NotRun, said!("the model was not run: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_clearly_best_stands_out() {
        let outcome = |losses: &[f64], knows: bool| Outcome { losses: losses.to_vec(), knows: knows.then_some("English") };
        let all = |losses: &[(f64, bool)]| {
            let outcomes: Vec<Outcome> = losses.iter().map(|(loss, knows)| outcome(&[*loss, loss + 0.1, loss - 0.1], *knows)).collect();
            standing_out(&outcomes)
        };
        assert_eq!(all(&[(4.07, true), (1.18, true), (4.5, true)]), Some(1));
        assert_eq!(all(&[(1.18, true), (1.19, true)]), None, "too close");
        assert_eq!(all(&[(5.5, false), (5.9, false)]), None, "no better than chance");
        assert_eq!(all(&[(8.1, true), (9.5, false)]), Some(0), "narrow, but not blind");
        assert_eq!(all(&[(1.2, true)]), Some(0));
        assert_eq!(standing_out(&[Outcome::IMPOSSIBLE]), None);
        assert_eq!(standing_out(&[outcome(&[1.2], true), Outcome::IMPOSSIBLE]), Some(0));
        assert_eq!(all(&[]), None);
        // Better on average, but only because of a few lucky tokens.
        let (steady, lucky) = (outcome(&[1.0, 1.0, 1.0, 1.0], true), outcome(&[0.0, 2.0, 0.0, 1.0], true));
        assert_eq!(standing_out(&[steady, lucky]), None);
    }
}
