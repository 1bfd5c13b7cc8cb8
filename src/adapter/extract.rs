//! Extracts a LoRA adapter from a full fine-tune: the difference of each matrix to the base, truncated to a low rank. Modules whose change
//! is not of low rank are stored in full in `modules_to_save`; changes that PEFT's format cannot hold are listed.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use async_trait::async_trait;
use serde::Serialize;

use super::config::{AdapterConfig, TargetModules};
use super::svd::{LowRank, Rank, low_rank};
use super::targets::{AdapterParam, AdapterRole, ResolvedAdapter, TargetKind};
use crate::checkpoint::{Checkpoint, ParamSource};
use crate::error::{Error, Result};
use crate::model::{ParamDecl, ParamKind};

/// Embeddings and heads whose truncation keeps a smaller share than this are stored in full: training changes the rows of single tokens
/// independently, so the change has no common directions.
const ENOUGH_OF_AN_EMBEDDING: f64 = 0.9;

/// The result for one changed module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExtractedModule {
    /// The module's name in the base.
    pub module: String,
    /// The rank; 0 for a module that is stored in full.
    pub rank: usize,
    /// The retained share of the squared change, 0 to 1.
    pub energy: f64,
    /// ‖change‖ / ‖base weight‖, in Frobenius norms.
    pub change: f64,
}

/// An adapter extracted from two models.
pub struct Extracted {
    /// The adapter's configuration.
    pub config: AdapterConfig,
    /// The configuration resolved for the base.
    pub resolved: ResolvedAdapter,
    /// The result for each changed module, in the order of the model.
    pub modules: Vec<ExtractedModule>,
    /// Changed parameters that the adapter cannot hold: biases of adapted modules.
    pub lost: Vec<String>,
    /// The retained share of the squared change of all parameters, 0 to 1.
    pub energy: f64,
    tensors: Vec<(AdapterParam, Vec<f32>)>,
}

#[async_trait(?Send)]
impl ParamSource for Extracted {
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        let (tensor, values) = &self.tensors[param];
        let cols = tensor.decl.cols;
        Ok(values[rows.start * cols..rows.end * cols].to_vec())
    }
}

/// A parameter of the tuned model and the corresponding one of the base.
struct Pair {
    /// Index in the base; for a head that is tied in the base, that of the embedding.
    base: usize,
    /// Index in the tuned model; for a tied head, that of the embedding.
    tuned: usize,
    name: String,
}

/// Extracts an adapter. `progress` is called with the name of each matrix before it is decomposed.
///
/// # Errors
/// [`Error::Tensor`] when the shapes of the two models differ, [`Error::File`] when the models are equal or the change cannot be
/// represented at a low rank, and any error from reading.
pub async fn extract(base: &Checkpoint, tuned: &Checkpoint, rank: Rank, progress: &mut dyn FnMut(&str)) -> Result<Extracted> {
    let mut modules = Vec::new();
    let mut factors: BTreeMap<String, LowRank> = BTreeMap::new();
    let (mut saved, mut biases) = (Vec::new(), Vec::new());
    let (mut total, mut kept) = (0.0, 0.0);
    for pair in pairs(base, tuned)? {
        let (theirs, ours) = (&tuned.params()[pair.tuned], &base.params()[pair.base]);
        progress(&pair.name);
        let before = base.read_rows(ours, 0..ours.rows).await?;
        let mut delta = tuned.read_rows(theirs, 0..theirs.rows).await?;
        for (d, w) in delta.iter_mut().zip(&before) {
            *d -= w;
        }
        if !delta.iter().all(|x| x.is_finite()) {
            return Err(Error::tensor(
                tuned.directory().label(),
                &pair.name,
                "or the base's holds numbers that are not finite; validate both models",
            ));
        }
        let squared = squares(&delta);
        if squared == 0.0 {
            continue;
        }
        total += squared;
        let change = (squared / squares(&before).max(f64::MIN_POSITIVE)).sqrt();
        let Some(module) = pair.name.strip_suffix(".weight") else {
            biases.push((pair.name.clone(), squared));
            continue;
        };
        let mut module = ExtractedModule { module: module.to_string(), rank: 0, energy: 1.0, change };
        let found = match kind(&pair.name, ours.kind) {
            Some(kind) => {
                let found = low_rank(&pair.name, &delta, ours.cols, rank)?;
                let numbers = found.sigma.len() * (ours.rows + ours.cols);
                let enough = if let Rank::Energy(share) = rank { share } else { ENOUGH_OF_AN_EMBEDDING };
                let whole = numbers as u64 >= ours.elements() || (kind != TargetKind::Linear && found.energy < enough);
                (!whole).then_some(found)
            }
            None => None,
        };
        match found {
            Some(found) => {
                (module.rank, module.energy) = (found.sigma.len(), found.energy);
                factors.insert(module.module.clone(), found);
            }
            None => saved.push(module.module.clone()),
        }
        kept += module.energy * squared;
        modules.push(module);
    }
    if total == 0.0 {
        return Err(Error::file(
            tuned.directory().label(),
            format!("is the same as {} in every number: there is nothing to extract", base.directory().label()),
        ));
    }
    if factors.is_empty() {
        // PEFT does not load an adapter without adapted modules.
        return Err(Error::file(
            tuned.directory().label(),
            "no matrix has a change of a rank so low that an adapter would be smaller than the matrix itself; \
             take a lower share or rank, or keep the tuned model as it is",
        ));
    }
    // A bias can only be stored together with its module in full.
    let mut lost = Vec::new();
    for (bias, squared) in biases {
        let module = bias.rsplit_once('.').map_or("", |(module, _)| module).to_string();
        if saved.contains(&module) {
            kept += squared;
        } else if factors.contains_key(&module) {
            lost.push(bias);
        } else {
            // The matrix did not change: the module is stored in full because of its bias.
            kept += squared;
            saved.push(module.clone());
            modules.push(ExtractedModule { module, rank: 0, energy: 1.0, change: 0.0 });
        }
    }
    let config = configuration(base, &factors, &saved);
    let resolved = ResolvedAdapter::resolve(&config, base.config(), base.params())?;
    let tensors = tensors(base, tuned, &resolved, &factors).await?;
    Ok(Extracted { config, resolved, modules, lost, energy: kept / total, tensors })
}

fn squares(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
}

/// The kind of LoRA target of a parameter; `None` for norms, biases and position embeddings.
fn kind(name: &str, kind: ParamKind) -> Option<TargetKind> {
    match kind {
        ParamKind::Linear => Some(TargetKind::Linear),
        _ if name == "lm_head.weight" => Some(TargetKind::Head),
        ParamKind::Embedding => Some(TargetKind::Embedding),
        _ => None,
    }
}

/// Pairs the parameters of the two models. Where the head is tied in the base or in both, it counts as a parameter of its own, because an
/// adapter on the embedding alone does not change it.
fn pairs(base: &Checkpoint, tuned: &Checkpoint) -> Result<Vec<Pair>> {
    let (ours, theirs) = (base.config().architecture, tuned.config().architecture);
    if ours != theirs {
        return Err(Error::config(
            tuned.directory().label(),
            "model_type",
            format!(
                "the tuned model is a {}, the base a {}; give the model that it was trained from",
                theirs.model_type(),
                ours.model_type()
            ),
        ));
    }
    let by_name = |params: &[ParamDecl]| -> HashMap<String, usize> {
        let mut found: HashMap<String, usize> = params.iter().enumerate().map(|(index, p)| (p.name.clone(), index)).collect();
        // A tied head is the embedding.
        let embedding = params.iter().position(|p| p.kind == ParamKind::Embedding).unwrap_or(0);
        found.entry("lm_head.weight".into()).or_insert(embedding);
        found
    };
    let (in_base, in_tuned) = (by_name(base.params()), by_name(tuned.params()));
    let mut names: Vec<String> = tuned.params().iter().map(|p| p.name.clone()).collect();
    if !names.iter().any(|name| name == "lm_head.weight") {
        names.push("lm_head.weight".into());
    }
    let mut pairs = Vec::with_capacity(names.len());
    for name in names {
        let (Some(&base_at), Some(&tuned_at)) = (in_base.get(&name), in_tuned.get(&name)) else {
            return Err(Error::tensor(
                base.directory().label(),
                name,
                "is in the tuned model, not in the base; give the model that it was trained from",
            ));
        };
        let (a, b) = (&base.params()[base_at], &tuned.params()[tuned_at]);
        if (a.rows, a.cols) != (b.rows, b.cols) {
            return Err(Error::tensor(
                tuned.directory().label(),
                name,
                format!("is {} × {}, in the base {} × {}; give the model that it was trained from", b.rows, b.cols, a.rows, a.cols),
            ));
        }
        pairs.push(Pair { base: base_at, tuned: tuned_at, name });
    }
    if let Some(gone) = base.params().iter().find(|p| !in_tuned.contains_key(&p.name)) {
        return Err(Error::tensor(
            tuned.directory().label(),
            &gone.name,
            "is in the base, not in the tuned model; give the model that it was trained from",
        ));
    }
    Ok(pairs)
}

/// The configuration with scale 1 everywhere: α equals the rank, per module where ranks differ.
fn configuration(base: &Checkpoint, factors: &BTreeMap<String, LowRank>, saved: &[String]) -> AdapterConfig {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for found in factors.values() {
        *counts.entry(found.sigma.len()).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|&(rank, count)| (count, rank)).map_or(1, |(rank, _)| rank);
    let other: Vec<(String, usize)> =
        factors.iter().filter(|(_, f)| f.sigma.len() != most).map(|(m, f)| (m.clone(), f.sigma.len())).collect();
    AdapterConfig {
        base_model_name_or_path: Some(base.directory().label()),
        r: most,
        lora_alpha: most as f64,
        target_modules: Some(TargetModules::Names(factors.keys().cloned().collect())),
        alpha_pattern: other.iter().map(|(module, rank)| (module.clone(), *rank as f64)).collect(),
        rank_pattern: other,
        modules_to_save: saved.to_vec(),
        ..AdapterConfig::default()
    }
}

/// B = U·√σ and A = √σ·Vᵀ, so that both have similar magnitude.
async fn tensors(
    base: &Checkpoint,
    tuned: &Checkpoint,
    resolved: &ResolvedAdapter,
    factors: &BTreeMap<String, LowRank>,
) -> Result<Vec<(AdapterParam, Vec<f32>)>> {
    let mut tensors = Vec::new();
    for param in resolved.declarations(base.params()) {
        let values = match param.role {
            AdapterRole::A(target) | AdapterRole::B(target) => {
                let target = &resolved.targets[target];
                let found = &factors[&target.module];
                let roots: Vec<f32> = found.sigma.iter().map(|s| s.sqrt()).collect();
                let rank = roots.len();
                let cols = found.vt.len() / rank;
                let by_rows = |at: usize| roots[at % rank]; // U: (rows, rank)
                let u = || found.u.iter().enumerate().map(|(at, u)| u * by_rows(at)).collect::<Vec<f32>>();
                let vt = || found.vt.iter().enumerate().map(|(at, v)| v * roots[at / cols]).collect::<Vec<f32>>();
                match (param.role, target.kind) {
                    // A of an embedding has a row for each token, its B a row for each feature.
                    (AdapterRole::A(_), TargetKind::Embedding) => u(),
                    (AdapterRole::B(_), TargetKind::Embedding) => {
                        let vt = vt();
                        (0..cols).flat_map(|col| (0..rank).map(move |k| (k, col))).map(|(k, col)| vt[k * cols + col]).collect()
                    }
                    (AdapterRole::A(_), _) => vt(),
                    _ => u(),
                }
            }
            AdapterRole::Saved(index) => {
                let name = &resolved.saved[index].name;
                let at = tuned.params().iter().find(|p| p.name == *name);
                let source = at.or_else(|| tuned.params().iter().find(|p| p.kind == ParamKind::Embedding));
                let source = source.expect("a head that is tied is the embedding, which every architecture has");
                tuned.read_rows(source, 0..source.rows).await?
            }
            AdapterRole::Magnitude(_) => Vec::new(), // no DoRA is extracted
        };
        tensors.push((param, values));
    }
    Ok(tensors)
}
