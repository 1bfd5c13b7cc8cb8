//! How the tuned model differs from its base: the size and the spectrum of every parameter's update.

use super::super::messages::{Delta, Unit, Which};
use super::{Call, Session};
use crate::adapter::svd::{Rank, low_rank};
use crate::adapter::{Adapter, Merged, is_adapter};
use crate::checkpoint::{Checkpoint, ModelSource};
use crate::error::{Error, Result};
use crate::validate::open_checkpoint;

/// Elements of a parameter compared per chunk.
const PIECE: usize = 1 << 20;
/// Matrices with more elements get no spectrum (large embeddings).
const MOST_NUMBERS: usize = 16 << 20;
/// Number of singular values reported.
const SHOWN: usize = 64;

impl Session {
    /// Compares the tuned model with its base, parameter by parameter; an adapter is compared by its effect on the weights.
    pub(super) async fn deltas(&self, call: &Call) -> Result<Vec<Delta>> {
        let base = open_checkpoint(self.directory_of(Which::Base, call).await?).await?;
        let directory = self.directory_of(Which::Tuned, call).await?;
        if is_adapter(&*directory).await? {
            let adapters = [Adapter::open(directory, &base).await?];
            compare_all(&base, &Merged::new(&base, &adapters)?, call).await
        } else {
            compare_all(&base, &open_checkpoint(directory).await?, call).await
        }
    }
}

async fn compare_all(base: &Checkpoint, tuned: &dyn ModelSource, call: &Call) -> Result<Vec<Delta>> {
    let total = base.params().len() as u64;
    let mut deltas = Vec::with_capacity(base.params().len());
    for (index, param) in base.params().iter().enumerate() {
        if call.is_cancelled() {
            return Err(Error::Interrupted { reason: "the comparison was ended".into() });
        }
        call.progress("Comparing weights", index as u64, Some(total), Unit::Tensors);
        let same = tuned.params().iter().position(|p| p.name == param.name && (p.rows, p.cols) == (param.rows, param.cols));
        let Some(other) = same else {
            return Err(Error::tensor("the tuned model", &param.name, "is not there, or of another shape than in the base"));
        };
        let mut update = Update::new(param.rows, param.cols);
        let step = (PIECE / param.cols).max(1);
        for first in (0..param.rows).step_by(step) {
            let rows = first..(first + step).min(param.rows);
            let before = base.read_rows(param, rows.clone()).await?;
            let after = tuned.read_rows(other, rows).await?;
            update.add(&before, &after);
        }
        deltas.push(Delta {
            name: param.name.clone(),
            layer: param.layer,
            module: module_of(&param.name, param.layer),
            delta_norm: update.delta.sqrt(),
            weight_norm: update.weight.sqrt(),
            singular_values: update.spectrum(&param.name)?,
            shape: vec![param.rows, param.cols],
        });
    }
    Ok(deltas)
}

/// `model.layers.3.self_attn.q_proj.weight` → `self_attn.q_proj`; outside the layers, the name without `.weight`.
fn module_of(name: &str, layer: Option<usize>) -> String {
    let stem = name.strip_suffix(".weight").unwrap_or(name);
    match layer.map(|layer| format!(".{layer}.")) {
        Some(marker) => stem.split_once(&marker).map_or(stem, |(_, inner)| inner).to_string(),
        None => stem.rsplit_once('.').map_or(stem, |(_, last)| last).to_string(),
    }
}

/// The update of one parameter, accumulated row by row.
struct Update {
    cols: usize,
    /// Sums of squares.
    delta: f64,
    weight: f64,
    /// The whole update in row-major order, if a spectrum is wanted.
    matrix: Option<Vec<f32>>,
}

impl Update {
    fn new(rows: usize, cols: usize) -> Update {
        let wanted = rows > 1 && cols > 1 && rows * cols <= MOST_NUMBERS;
        Update { cols, delta: 0.0, weight: 0.0, matrix: wanted.then(|| Vec::with_capacity(rows * cols)) }
    }

    /// Adds a number of whole rows.
    fn add(&mut self, before: &[f32], after: &[f32]) {
        let delta = before.iter().zip(after).map(|(b, a)| a - b);
        self.delta += delta.clone().map(|x| f64::from(x) * f64::from(x)).sum::<f64>();
        self.weight += before.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>();
        if let Some(matrix) = &mut self.matrix {
            matrix.extend(delta);
        }
    }

    /// The largest singular values in descending order; empty if nothing changed or the spectrum was left out.
    fn spectrum(self, name: &str) -> Result<Vec<f64>> {
        match self.matrix {
            Some(matrix) => Ok(low_rank(name, &matrix, self.cols, Rank::Fixed(SHOWN))?.sigma.into_iter().map(f64::from).collect()),
            None => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Δ = u₁ · 3 · v₁ᵀ + u₂ · 0.5 · v₂ᵀ with orthonormal u and v, in both orientations and in pieces.
    #[test]
    fn the_spectrum_of_a_known_update() {
        let (u, v) = ([[0.6, 0.8, 0.0, 0.0], [-0.8, 0.6, 0.0, 0.0]], [[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]]);
        let entry = |i: usize, j: usize| 3.0 * u[0][i] * v[0][j] + 0.5 * u[1][i] * v[1][j];
        for (rows, cols, transposed) in [(4, 3, false), (3, 4, true)] {
            let mut update = Update::new(rows, cols);
            for row in 0..rows {
                let after: Vec<f32> =
                    (0..cols).map(|col| 1.0 + if transposed { entry(col, row) } else { entry(row, col) } as f32).collect();
                update.add(&vec![1.0; cols], &after);
            }
            assert!((update.delta.sqrt() - 9.25f64.sqrt()).abs() < 1e-5 && (update.weight.sqrt() - 12f64.sqrt()).abs() < 1e-9);
            let values = update.spectrum("w").unwrap_or_else(|e| panic!("{e}"));
            assert!(values.len() >= 2, "{values:?}");
            for (value, expected) in values.iter().zip([3.0, 0.5, 0.0]) {
                assert!((value - expected).abs() < 1e-5, "{values:?}");
            }
        }
    }

    #[test]
    fn modules_are_named_as_in_their_layer() {
        assert_eq!(module_of("model.layers.3.self_attn.q_proj.weight", Some(3)), "self_attn.q_proj");
        assert_eq!(module_of("transformer.h.0.mlp.c_fc.bias", Some(0)), "mlp.c_fc.bias");
        assert_eq!(module_of("model.embed_tokens.weight", None), "embed_tokens");
    }
}
