//! Initialisation of a new adapter, as in PEFT's `reset_lora_parameters`: the adapted model computes the same as the base.

use std::ops::Range;

use async_trait::async_trait;

use super::targets::{AdapterParam, AdapterRole, ResolvedAdapter, TargetKind};
use crate::checkpoint::{ModelSource, ParamSource};
use crate::error::Result;
use crate::random::Random;

/// The tensors of a new adapter, by their index in [`ResolvedAdapter::declarations`]. Each row has its own random stream derived from the
/// seed, so the values do not depend on the ranges that are read.
pub struct NewAdapter<'a> {
    resolved: &'a ResolvedAdapter,
    params: Vec<AdapterParam>,
    base: &'a dyn ModelSource,
    seed: u64,
}

/// Separates this random stream from those of the data order and of dropout.
const STREAM: u64 = 0x6c6f_7261 << 32;

impl<'a> NewAdapter<'a> {
    /// Creates a new adapter of `base`.
    pub fn new(resolved: &'a ResolvedAdapter, base: &'a dyn ModelSource, seed: u64) -> NewAdapter<'a> {
        NewAdapter { resolved, params: resolved.declarations(base.params()), base, seed }
    }

    fn draw(&self, param: usize, rows: Range<usize>, value: impl Fn(&mut Random) -> f64) -> Vec<f32> {
        let cols = self.params[param].decl.cols;
        let mut out = Vec::with_capacity(rows.len() * cols);
        for row in rows {
            let mut random = Random::new(self.seed ^ STREAM, ((param as u64) << 32) | row as u64);
            out.extend((0..cols).map(|_| value(&mut random) as f32));
        }
        out
    }
}

#[async_trait(?Send)]
impl ParamSource for NewAdapter<'_> {
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        let decl = &self.params[param].decl;
        let zeros = vec![0.0; rows.len() * decl.cols];
        let kind = |target: usize| self.resolved.targets[target].kind;
        match self.params[param].role {
            AdapterRole::A(target) if kind(target) == TargetKind::Embedding => Ok(zeros),
            AdapterRole::B(target) if kind(target) == TargetKind::Embedding => Ok(self.draw(param, rows, Random::normal)),
            // torch's kaiming_uniform_ with a = √5: ±√(6 / ((1 + 5) · in)).
            AdapterRole::A(_) => {
                let bound = 1.0 / (decl.cols as f64).sqrt();
                Ok(self.draw(param, rows, |random| (2.0 * random.unit() - 1.0) * bound))
            }
            AdapterRole::B(_) => Ok(zeros),
            AdapterRole::Magnitude(target) => row_norms(self.base, self.resolved.targets[target].param).await,
            AdapterRole::Saved(saved) => self.base.read_rows(self.resolved.saved[saved].param, rows).await,
        }
    }
}

/// Number of weight rows read at once.
const ROWS: usize = 1024;

/// The norm of each row of a weight. With these magnitudes DoRA initially computes the same as the base.
async fn row_norms(base: &dyn ModelSource, param: usize) -> Result<Vec<f32>> {
    let decl = &base.params()[param];
    let mut norms = Vec::with_capacity(decl.rows);
    for first in (0..decl.rows).step_by(ROWS) {
        let values = base.read_rows(param, first..(first + ROWS).min(decl.rows)).await?;
        let norm = |row: &[f32]| row.iter().map(|&w| f64::from(w) * f64::from(w)).sum::<f64>().sqrt() as f32;
        norms.extend(values.chunks_exact(decl.cols).map(norm));
    }
    Ok(norms)
}
