//! A base model with adapters added to its weights, computed row by row and never held in memory as a whole. Written to disk, it is a
//! standalone model; loaded directly, it runs base and adapters without a copy on disk.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::json;

use super::format::Adapter;
use super::targets::{AdapterRole, AdapterTarget, ResolvedAdapter, TargetKind};
use crate::checkpoint::{Checkpoint, Dtype, ModelSource, ParamSource};
use crate::error::{Error, Result};
use crate::kernels::WeightType;
use crate::model::{ModelConfig, ParamDecl, ParamKind, params};
use crate::platform::Directory;

/// One change of a parameter.
enum Change {
    /// Replaced by the adapter's tensor with this index.
    Saved { adapter: usize, param: usize },
    /// W + scale · B·A, with the indices of the adapter's tensors.
    Added { adapter: usize, target: usize, a: usize, b: usize, magnitude: Option<usize> },
}

/// The source of a parameter's values.
struct Origin {
    /// Index among the base's declarations; for a head that was tied, that of the embedding.
    base: usize,
    changes: Vec<Change>,
}

/// A base with adapters added to its weights.
pub struct Merged {
    base: Checkpoint,
    adapters: Vec<Adapter>,
    config: ModelConfig,
    params: Vec<ParamDecl>,
    origins: Vec<Origin>,
    /// A and B that were read last, cached because consecutive reads of rows need the same ones.
    factors: RefCell<Option<(usize, usize, Rc<Factors>)>>,
}

/// A and B of one target, and DoRA's magnitudes.
pub(super) struct Factors {
    pub(super) a: Vec<f32>,
    pub(super) b: Vec<f32>,
    pub(super) magnitude: Option<Vec<f32>>,
}

impl Adapter {
    /// Opens adapters that are applied to a base one after the other. Each may have been made on the base alone, or on the base with the
    /// preceding adapters added.
    ///
    /// # Errors
    /// As [`Adapter::open`], for the first that fails.
    pub async fn open_all(directories: Vec<Rc<dyn Directory>>, base: &Checkpoint) -> Result<Vec<Adapter>> {
        let mut adapters: Vec<Adapter> = Vec::with_capacity(directories.len());
        for directory in directories {
            // Incompatible adapters are reported when they are used together.
            let before = Merged::new(base, &adapters).ok().filter(|_| !adapters.is_empty());
            let others = before.as_ref().map(|merged| merged as &dyn ModelSource);
            let adapter = Adapter::open_among(directory, base, others.as_slice()).await?;
            adapters.push(adapter);
        }
        Ok(adapters)
    }
}

impl Merged {
    /// Adds `adapters`, opened for `base`, one after the other as LLaMA-Factory does: a DoRA adapter rescales the rows of the weights that
    /// result from the preceding adapters. If the head is tied and only one of embedding and head changes, the head becomes a separate
    /// tensor.
    ///
    /// # Errors
    /// [`Error::Config`] when the adapters are incompatible: two replace the same module, or one replaces what another adds to.
    pub fn new(base: &Checkpoint, adapters: &[Adapter]) -> Result<Merged> {
        let mut config = base.config().clone();
        if adapters.iter().any(|adapter| adapter.resolved.unties(base.config(), base.params())) {
            config.tie_word_embeddings = false;
            config.raw.insert("tie_word_embeddings".into(), json!(false));
        }
        let params = params(&config);
        let mut origins: Vec<Origin> = Vec::with_capacity(params.len());
        let base_by_name: HashMap<&str, usize> = base.params().iter().enumerate().map(|(at, param)| (param.name.as_str(), at)).collect();
        let embedding = base.params().iter().position(|p| p.kind == ParamKind::Embedding);
        for param in &params {
            let same = base_by_name.get(param.name.as_str()).copied();
            let index = same.or(embedding).expect("a head that was tied is the embedding, which every architecture has");
            origins.push(Origin { base: index, changes: Vec::new() });
        }
        let by_name: HashMap<&str, usize> = params.iter().enumerate().map(|(at, param)| (param.name.as_str(), at)).collect();
        for (index, adapter) in adapters.iter().enumerate() {
            let by_role: HashMap<AdapterRole, usize> = adapter.params.iter().enumerate().map(|(at, param)| (param.role, at)).collect();
            for (param, tensor) in adapter.params.iter().enumerate() {
                let (name, change) = match tensor.role {
                    AdapterRole::Saved(saved) => (adapter.resolved.saved[saved].name.clone(), Change::Saved { adapter: index, param }),
                    AdapterRole::A(target) => {
                        let find = |role| by_role.get(&role).copied();
                        let b = find(AdapterRole::B(target)).expect("a resolved adapter declares B beside A");
                        let magnitude = find(AdapterRole::Magnitude(target));
                        let name = format!("{}.weight", adapter.resolved.targets[target].module);
                        (name, Change::Added { adapter: index, target, a: param, b, magnitude })
                    }
                    AdapterRole::B(_) | AdapterRole::Magnitude(_) => continue,
                };
                let at = by_name.get(name.as_str()).copied().expect("a resolved adapter names parameters of its base");
                let others = &mut origins[at].changes;
                let replaces = |change: &Change| matches!(change, Change::Saved { .. });
                if !others.is_empty() && (replaces(&change) || others.iter().any(replaces)) {
                    return Err(Error::config(
                        adapter.label(),
                        "modules_to_save",
                        format!("and another adapter both change {name}, and one of them replaces it; they cannot be used together"),
                    ));
                }
                others.push(change);
            }
        }
        Ok(Merged { base: base.clone(), adapters: adapters.to_vec(), config, params, origins, factors: RefCell::new(None) })
    }

    /// Whether the head was tied to the embedding and no longer is.
    pub fn unties(&self) -> bool {
        self.config.tie_word_embeddings != self.base.config().tie_word_embeddings
    }

    /// The dtype for the result: the one that all of the base's tensors are stored in; F32 where they differ.
    pub fn base_dtype(&self) -> Dtype {
        self.base.common_dtype()
    }

    async fn factors(&self, adapter: usize, a: usize, b: usize, magnitude: Option<usize>) -> Result<Rc<Factors>> {
        if let Some((of, at, factors)) = &*self.factors.borrow()
            && (*of, *at) == (adapter, a)
        {
            return Ok(factors.clone());
        }
        let source = &self.adapters[adapter];
        let magnitude = match magnitude {
            Some(param) => Some(source.read(param).await?),
            None => None,
        };
        let factors = Rc::new(Factors { a: source.read(a).await?, b: source.read(b).await?, magnitude });
        *self.factors.borrow_mut() = Some((adapter, a, factors.clone()));
        Ok(factors)
    }
}

/// Adds scale · B·A to rows of W, in f32; with magnitudes, then rescales each row to its magnitude.
pub(super) fn add(weight: &mut [f32], rows: Range<usize>, cols: usize, target: &AdapterTarget, scale: f32, factors: &Factors) {
    let rank = target.rank;
    // Row i is Σ B[i,k]·A[k,:] for a linear map and Σ A[i,k]·B[:,k] for an embedding: in both cases a row of coefficients times a matrix
    // (r, cols).
    let transposed;
    let (coefficients, matrix) = if target.kind == TargetKind::Embedding {
        transposed = (0..rank).flat_map(|k| (0..cols).map(move |col| factors.b[col * rank + k])).collect::<Vec<f32>>();
        (&factors.a, &transposed)
    } else {
        (&factors.b, &factors.a)
    };
    let mut delta = vec![0f32; cols];
    for (row, weight) in rows.zip(weight.chunks_exact_mut(cols)) {
        delta.fill(0.0);
        for (&coefficient, part) in coefficients[row * rank..(row + 1) * rank].iter().zip(matrix.chunks_exact(cols)) {
            for (sum, &x) in delta.iter_mut().zip(part) {
                *sum = (f64::from(coefficient) * f64::from(x) + f64::from(*sum)) as f32; // one rounding, as fused multiply-add has
            }
        }
        for (w, &d) in weight.iter_mut().zip(&delta) {
            *w += d * scale;
        }
        if let Some(magnitude) = &factors.magnitude {
            let norm = weight.iter().map(|&w| f64::from(w) * f64::from(w)).sum::<f64>().sqrt() as f32;
            let factor = magnitude[row] / norm;
            for w in weight.iter_mut() {
                *w *= factor;
            }
        }
    }
}

#[async_trait(?Send)]
impl ParamSource for Merged {
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        let origin = &self.origins[param];
        if let [Change::Saved { adapter, param }] = origin.changes[..] {
            return self.adapters[adapter].read_rows(param, rows).await;
        }
        let base = &self.base.params()[origin.base];
        let mut values = self.base.read_rows(base, rows.clone()).await?;
        for change in &origin.changes {
            if let Change::Added { adapter, target, a, b, magnitude } = *change {
                let factors = self.factors(adapter, a, b, magnitude).await?;
                let target = &self.adapters[adapter].resolved.targets[target];
                add(&mut values, rows.clone(), base.cols, target, target.scale, &factors);
            }
        }
        if let Some(bad) = values.iter().find(|x| !x.is_finite()) {
            return Err(Error::tensor(
                self.adapters.first().map_or("", Adapter::label),
                &self.params[param].name,
                format!("becomes {bad} with the adapter added (a row of length zero under DoRA, or numbers too large)"),
            ));
        }
        Ok(values)
    }

    async fn read_rows_half(&self, param: usize, rows: Range<usize>) -> Result<Vec<u16>> {
        self.base.read_rows_half(&self.base.params()[self.origins[param].base], rows).await
    }

    async fn read_blocks(&self, param: usize, kept: WeightType, rows: Range<usize>) -> Result<Option<Vec<u8>>> {
        match self.origins[param].changes.is_empty() {
            true => ParamSource::read_blocks(&self.base, self.origins[param].base, kept, rows).await,
            false => Ok(None),
        }
    }
}

#[async_trait(?Send)]
impl ModelSource for Merged {
    fn label(&self) -> String {
        let labels = std::iter::once(self.base.label()).chain(self.adapters.iter().map(|adapter| adapter.label().to_string()));
        labels.collect::<Vec<_>>().join(" + ")
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn params(&self) -> &[ParamDecl] {
        &self.params
    }

    /// Unchanged parameters keep their type; changed ones are computed in f32.
    fn dtype(&self, param: &ParamDecl) -> Dtype {
        match self.params.iter().position(|p| p.name == param.name).map(|at| &self.origins[at]) {
            Some(origin) if origin.changes.is_empty() => self.base.dtype(&self.base.params()[origin.base]),
            _ => Dtype::F32,
        }
    }

    /// As the base is kept; what something is added to, only where the base is quantised while it is loaded.
    fn kept(&self, param: &ParamDecl) -> Option<WeightType> {
        match self.params.iter().position(|p| p.name == param.name).map(|at| &self.origins[at]) {
            Some(origin) if origin.changes.is_empty() => self.base.kept(&self.base.params()[origin.base]),
            _ => self.base.kept_changed(param),
        }
    }
}

/// A base with adapters, prepared for the GPU. A single adapter is kept separate, and the base is loaded as it is stored. Several adapters,
/// or one that replaces norms, biases or position embeddings, are added to the weights during loading.
pub struct Adapted {
    model: Model,
    apart: Option<(Rc<ResolvedAdapter>, Adapter)>,
}

enum Model {
    Base(Box<Checkpoint>),
    Merged(Box<Merged>),
}

impl Adapted {
    /// Combines a base with any number of adapters that were opened for it.
    ///
    /// # Errors
    /// As [`Merged::new`].
    pub fn new(base: &Checkpoint, adapters: &[Adapter]) -> Result<Adapted> {
        let is_matrix =
            |param: usize| !matches!(base.params()[param].kind, ParamKind::Norm | ParamKind::Bias | ParamKind::PositionEmbedding);
        match adapters {
            [] => Ok(Adapted { model: Model::Base(Box::new(base.clone())), apart: None }),
            [one] if one.resolved.saved.iter().all(|saved| is_matrix(saved.param)) => {
                Ok(Adapted { model: Model::Base(Box::new(base.clone())), apart: Some((Rc::new(one.resolved.clone()), one.clone())) })
            }
            _ => Ok(Adapted { model: Model::Merged(Box::new(Merged::new(base, adapters)?)), apart: None }),
        }
    }

    /// The same, but all adapters are added to the weights during loading, so that another one can be trained on the sum.
    ///
    /// # Errors
    /// As [`Merged::new`].
    pub fn added(base: &Checkpoint, adapters: &[Adapter]) -> Result<Adapted> {
        let model = match adapters {
            [] => Model::Base(Box::new(base.clone())),
            _ => Model::Merged(Box::new(Merged::new(base, adapters)?)),
        };
        Ok(Adapted { model, apart: None })
    }

    /// The model to load.
    pub fn model(&self) -> &dyn ModelSource {
        match &self.model {
            Model::Base(base) => &**base,
            Model::Merged(merged) => &**merged,
        }
    }

    /// The adapter to apply separately, if any.
    pub fn apart(&self) -> Option<(Rc<ResolvedAdapter>, &dyn ParamSource)> {
        self.apart.as_ref().map(|(resolved, adapter)| (resolved.clone(), adapter as &dyn ParamSource))
    }
}
