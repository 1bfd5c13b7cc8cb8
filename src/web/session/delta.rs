//! Where the tuned model differs from its base: the size and the spectrum of every parameter's update.

use std::rc::Rc;

use nalgebra::DMatrix;

use super::super::messages::{Delta, Unit, Which};
use super::{Call, Session};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::model::ParamDecl;
use crate::platform::Directory;

/// Numbers of a parameter that are compared at once.
const PIECE: usize = 1 << 20;
/// Multiplications for the spectrum of one matrix beyond which it is left out (large embeddings): a few seconds of a tab.
const MOST_WORK: u64 = 4_000_000_000;

impl Session {
    /// Compares the tuned model with its base, parameter by parameter.
    pub(super) async fn deltas(&self, call: &Call) -> Result<Vec<Delta>> {
        let base = Checkpoint::open(self.directory_of(Which::Base, call).await?).await?;
        let tuned: Rc<dyn Directory> = self.directory_of(Which::Tuned, call).await?;
        let tuned = Checkpoint::open(tuned).await?;
        let total = base.params().len() as u64;
        let mut deltas = Vec::with_capacity(base.params().len());
        for (done, param) in base.params().iter().enumerate() {
            if call.cancelled.get() {
                return Err(Error::Interrupted { reason: "the comparison was ended".into() });
            }
            call.progress("Comparing weights", done as u64, Some(total), Unit::Tensors);
            let Some(other) = tuned.params().iter().find(|p| p.name == param.name && (p.rows, p.cols) == (param.rows, param.cols)) else {
                return Err(Error::tensor(tuned.directory().label(), &param.name, "is not there, or of another shape than in the base"));
            };
            deltas.push(compare(&base, param, &tuned, other).await?);
        }
        Ok(deltas)
    }
}

async fn compare(base: &Checkpoint, param: &ParamDecl, tuned: &Checkpoint, other: &ParamDecl) -> Result<Delta> {
    let mut update = Update::new(param.rows, param.cols);
    let step = (PIECE / param.cols).max(1);
    for first in (0..param.rows).step_by(step) {
        let rows = first..(first + step).min(param.rows);
        let before = base.read_rows(param, rows.clone()).await?;
        let after = tuned.read_rows(other, rows).await?;
        update.add(&before, &after);
    }
    let (module, layer) = (module_of(&param.name, param.layer), param.layer);
    Ok(Delta {
        name: param.name.clone(),
        layer,
        module,
        delta_norm: update.delta.sqrt(),
        weight_norm: update.weight.sqrt(),
        singular_values: update.spectrum(),
        shape: vec![param.rows, param.cols],
    })
}

/// `model.layers.3.self_attn.q_proj.weight` → `self_attn.q_proj`; outside the layers the name without its ending.
fn module_of(name: &str, layer: Option<usize>) -> String {
    let stem = name.strip_suffix(".weight").unwrap_or(name);
    match layer.map(|layer| format!(".{layer}.")) {
        Some(marker) => stem.split_once(&marker).map_or(stem, |(_, inner)| inner).to_string(),
        None => stem.rsplit_once('.').map_or(stem, |(_, last)| last).to_string(),
    }
}

/// An update that is being added up row by row.
struct Update {
    cols: usize,
    /// Sums of squares.
    delta: f64,
    weight: f64,
    /// ΔᵀΔ (cols, cols), or all of Δ where it has fewer rows than columns; nothing where the spectrum is left out.
    gram: Option<DMatrix<f64>>,
    wide: Option<Vec<f64>>,
    rows: usize,
}

impl Update {
    fn new(rows: usize, cols: usize) -> Update {
        let small = rows.min(cols) as u64;
        let wanted = small > 1 && small * small * (rows.max(cols) as u64) <= MOST_WORK;
        Update {
            rows,
            cols,
            delta: 0.0,
            weight: 0.0,
            gram: (wanted && rows >= cols).then(|| DMatrix::zeros(cols, cols)),
            wide: (wanted && rows < cols).then(|| Vec::with_capacity(rows * cols)),
        }
    }

    /// Adds whole rows.
    fn add(&mut self, before: &[f32], after: &[f32]) {
        let delta: Vec<f64> = before.iter().zip(after).map(|(b, a)| f64::from(*a) - f64::from(*b)).collect();
        self.delta += delta.iter().map(|x| x * x).sum::<f64>();
        self.weight += before.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>();
        if let Some(gram) = &mut self.gram {
            // nalgebra's matrices are stored by columns, so our rows are its columns.
            let piece = DMatrix::from_column_slice(self.cols, delta.len() / self.cols, &delta);
            gram.gemm(1.0, &piece, &piece.transpose(), 1.0);
        } else if let Some(wide) = &mut self.wide {
            wide.extend(delta);
        }
    }

    /// Singular values of Δ, largest first: the roots of the eigenvalues of the smaller of ΔᵀΔ and ΔΔᵀ. What is below 1e-8 of the
    /// largest is rounding.
    fn spectrum(self) -> Vec<f64> {
        if self.delta == 0.0 {
            return Vec::new();
        }
        let gram = match (self.gram, self.wide) {
            (Some(gram), _) => gram,
            (None, Some(wide)) => {
                let delta = DMatrix::from_column_slice(self.cols, self.rows, &wide);
                delta.transpose() * delta
            }
            (None, None) => return Vec::new(),
        };
        let mut values: Vec<f64> = gram.symmetric_eigenvalues().iter().map(|x| x.max(0.0).sqrt()).collect();
        values.sort_by(|a, b| b.total_cmp(a));
        values
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
            let values = update.spectrum();
            assert_eq!(values.len(), 3);
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
