//! PiSSA (Meng, Wang and Zhang 2024, arXiv 2404.02948): A and B are initialised with the principal singular vectors of W, and the residual
//! of W without them stays frozen. The run trains on this residual, which users do not have; the exported adapter is therefore the change
//! since initialisation, s·(B·A − B₀·A₀), as one adapter of twice the rank for W itself. It contains A₀ and B₀ unchanged, so a run that is
//! resumed from it continues with the same bits.

use std::collections::HashMap;
use std::ops::Range;

use async_trait::async_trait;

use super::config::{AdapterConfig, field_error};
use super::format::Adapter;
use super::initial::NewAdapter;
use super::merge::{Factors, add};
use super::svd::principal;
use super::targets::{AdapterParam, AdapterRole, AdapterTarget, ResolvedAdapter, TargetKind};
use crate::checkpoint::{Dtype, ModelSource, ParamSource};
use crate::error::Result;
use crate::kernels::WeightType;
use crate::model::{ModelConfig, ParamDecl};

/// Rejects targets for which PiSSA is not defined.
///
/// # Errors
/// [`crate::Error::Config`] where the embedding or a tied head is targeted: embedding and head would share one residual.
pub fn check(resolved: &ResolvedAdapter, base: &dyn ModelSource) -> Result<()> {
    let shared = |target: &&AdapterTarget| target.kind == TargetKind::Head && base.config().tie_word_embeddings;
    match resolved.targets.iter().find(|t| t.kind == TargetKind::Embedding || shared(t)) {
        Some(target) => {
            Err(field_error("init_lora_weights", format!("is PiSSA's, which is for linear maps, and {} is targeted", target.module)))
        }
        None => Ok(()),
    }
}

/// The configuration of the exported adapter: twice the rank, and α such that the scale stays the same.
pub fn converted(config: &AdapterConfig) -> AdapterConfig {
    let factor = if config.use_rslora { 2f64.sqrt() } else { 2.0 };
    AdapterConfig {
        r: 2 * config.r,
        lora_alpha: factor * config.lora_alpha,
        rank_pattern: config.rank_pattern.iter().map(|(name, rank)| (name.clone(), 2 * rank)).collect(),
        alpha_pattern: config.alpha_pattern.iter().map(|(name, alpha)| (name.clone(), factor * alpha)).collect(),
        ..config.clone()
    }
}

/// A₀ and B₀ of every target, by the target's index.
pub struct Principal(Vec<Factors>);

impl Principal {
    /// Computes them from the weights. Directions beyond the rank of a matrix are initialised as in a plain adapter.
    ///
    /// # Errors
    /// Any error from reading; [`crate::Error::Tensor`] when a decomposition does not converge.
    pub async fn of(resolved: &ResolvedAdapter, base: &dyn ModelSource, iterations: Option<usize>, seed: u64) -> Result<Principal> {
        let plain = NewAdapter::new(resolved, base, seed);
        let mut all = Vec::with_capacity(resolved.targets.len());
        let params = resolved.declarations(base.params());
        let a_of: HashMap<AdapterRole, usize> = params.iter().enumerate().map(|(at, param)| (param.role, at)).collect();
        for (index, target) in resolved.targets.iter().enumerate() {
            let decl = &base.params()[target.param];
            let weight = base.read_rows(target.param, 0..decl.rows).await?;
            let found = principal(&decl.name, &weight, decl.cols, target.rank, iterations)?;
            // A resolved adapter declares A of each target.
            let mut a = plain.read_rows(a_of[&AdapterRole::A(index)], 0..target.rank).await?;
            let mut b = vec![0f32; decl.rows * target.rank];
            for (k, (sigma, vt)) in found.sigma.iter().zip(found.vt.chunks_exact(decl.cols)).enumerate() {
                let root = (sigma / target.scale).sqrt();
                for (a, v) in a[k * decl.cols..].iter_mut().zip(vt) {
                    *a = root * v;
                }
                for row in 0..decl.rows {
                    b[row * target.rank + k] = found.u[row * found.sigma.len() + k] * root;
                }
            }
            all.push(Factors { a, b, magnitude: None });
        }
        Ok(Principal(all))
    }

    /// Reads them from the second half of an adapter that an earlier part of the run exported; `resolved` is the run's adapter.
    ///
    /// # Errors
    /// Any error from reading.
    pub async fn of_converted(written: &Adapter, resolved: &ResolvedAdapter) -> Result<Principal> {
        let mut all: Vec<Factors> = resolved.targets.iter().map(|_| Factors { a: Vec::new(), b: Vec::new(), magnitude: None }).collect();
        for (index, param) in written.params.iter().enumerate() {
            match param.role {
                AdapterRole::A(target) => {
                    let rows = param.decl.rows;
                    all[target].a = written.read_rows(index, rows / 2..rows).await?;
                }
                AdapterRole::B(target) => {
                    let values = written.read(index).await?;
                    let rank = resolved.targets[target].rank;
                    all[target].b = values.chunks_exact(2 * rank).flat_map(|row| row[rank..].iter().map(|x| -x)).collect();
                }
                AdapterRole::Magnitude(_) | AdapterRole::Saved(_) => {}
            }
        }
        Ok(Principal(all))
    }
}

/// W − s·B₀·A₀ for the targets, in f32: rounded to half precision, the sum would no longer equal W.
pub struct Residual<'a> {
    base: &'a dyn ModelSource,
    resolved: &'a ResolvedAdapter,
    principal: &'a Principal,
    /// The target of each adapted parameter, by the parameter's name.
    target_of: HashMap<&'a str, usize>,
}

impl<'a> Residual<'a> {
    /// Creates the base on which a run trains.
    pub fn new(base: &'a dyn ModelSource, resolved: &'a ResolvedAdapter, principal: &'a Principal) -> Residual<'a> {
        let target_of =
            resolved.targets.iter().enumerate().map(|(index, target)| (base.params()[target.param].name.as_str(), index)).collect();
        Residual { base, resolved, principal, target_of }
    }
}

#[async_trait(?Send)]
impl ParamSource for Residual<'_> {
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        let mut values = self.base.read_rows(param, rows.clone()).await?;
        if let Some(&index) = self.target_of.get(self.base.params()[param].name.as_str()) {
            let (target, cols) = (&self.resolved.targets[index], self.base.params()[param].cols);
            add(&mut values, rows, cols, target, -target.scale, &self.principal.0[index]);
        }
        Ok(values)
    }

    async fn read_rows_half(&self, param: usize, rows: Range<usize>) -> Result<Vec<u16>> {
        self.base.read_rows_half(param, rows).await
    }

    /// Only what is no target is kept in blocks.
    async fn read_blocks(&self, param: usize, kept: WeightType, rows: Range<usize>) -> Result<Option<Vec<u8>>> {
        self.base.read_blocks(param, kept, rows).await
    }
}

#[async_trait(?Send)]
impl ModelSource for Residual<'_> {
    fn label(&self) -> String {
        self.base.label()
    }

    fn config(&self) -> &ModelConfig {
        self.base.config()
    }

    fn params(&self) -> &[ParamDecl] {
        self.base.params()
    }

    fn dtype(&self, param: &ParamDecl) -> Dtype {
        match self.target_of.contains_key(param.name.as_str()) {
            true => Dtype::F32,
            false => self.base.dtype(param),
        }
    }
}

/// The initial adapter of a run.
pub struct Beginning<'a> {
    plain: NewAdapter<'a>,
    params: Vec<AdapterParam>,
    principal: &'a Principal,
}

impl<'a> Beginning<'a> {
    /// Takes A₀ and B₀ from `principal` and everything else from `plain`.
    pub fn new(plain: NewAdapter<'a>, params: Vec<AdapterParam>, principal: &'a Principal) -> Beginning<'a> {
        Beginning { plain, params, principal }
    }
}

#[async_trait(?Send)]
impl ParamSource for Beginning<'_> {
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        let cols = self.params[param].decl.cols;
        let part = |values: &[f32]| values[rows.start * cols..rows.end * cols].to_vec();
        match self.params[param].role {
            AdapterRole::A(target) => Ok(part(&self.principal.0[target].a)),
            AdapterRole::B(target) => Ok(part(&self.principal.0[target].b)),
            AdapterRole::Magnitude(_) | AdapterRole::Saved(_) => self.plain.read_rows(param, rows).await,
        }
    }
}

/// The exported adapter: A stacked on A₀, and B beside −B₀.
pub struct Converted<'a> {
    /// The trained adapter, indexed by the run's declarations.
    pub trained: &'a dyn ParamSource,
    /// The run's declarations.
    pub params: Vec<AdapterParam>,
    /// The initial factors.
    pub principal: &'a Principal,
}

#[async_trait(?Send)]
impl ParamSource for Converted<'_> {
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        let AdapterParam { decl, role } = &self.params[param];
        match *role {
            AdapterRole::A(target) => {
                let (rank, cols) = (decl.rows, decl.cols);
                let mut values = self.trained.read_rows(param, rows.start.min(rank)..rows.end.min(rank)).await?;
                let of_beginning = rows.start.max(rank) - rank..rows.end.max(rank) - rank;
                values.extend_from_slice(&self.principal.0[target].a[of_beginning.start * cols..of_beginning.end * cols]);
                Ok(values)
            }
            AdapterRole::B(target) => {
                let rank = decl.cols;
                let trained = self.trained.read_rows(param, rows.clone()).await?;
                let beginning = &self.principal.0[target].b[rows.start * rank..rows.end * rank];
                let pairs = trained.chunks_exact(rank).zip(beginning.chunks_exact(rank));
                Ok(pairs.flat_map(|(b, b0)| b.iter().copied().chain(b0.iter().map(|x| -x))).collect())
            }
            AdapterRole::Magnitude(_) | AdapterRole::Saved(_) => self.trained.read_rows(param, rows).await,
        }
    }
}

/// The trained half of an exported adapter, indexed by the run's declarations.
pub struct TrainedHalf<'a>(pub &'a Adapter);

#[async_trait(?Send)]
impl ParamSource for TrainedHalf<'_> {
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        // The first rows of A are the trained ones.
        let values = self.0.read_rows(param, rows).await?;
        let AdapterParam { decl, role } = &self.0.params[param];
        match role {
            AdapterRole::B(_) => Ok(values.chunks_exact(decl.cols).flat_map(|row| row[..decl.cols / 2].to_vec()).collect()),
            _ => Ok(values),
        }
    }
}
