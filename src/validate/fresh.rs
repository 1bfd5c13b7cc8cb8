//! Detects matrices that are still randomly initialised. Tools that miss a tensor fill it with random numbers, warn, and save it like
//! a trained one; after that, only its numbers give it away.
//!
//! An initialisation draws every element of a matrix from one distribution (normal or uniform), so rows and columns differ only by
//! chance. Training soon makes some rows longer than others. Only whole layers, the embedding and the head are judged, because a single
//! matrix may be slow to learn.

use std::collections::BTreeMap;

use super::code::Code;
use super::report::Finding;
use super::said::said;
use super::view::View;
use crate::error::Result;
use crate::model::{ModelConfig, ParamKind, params};

/// Number of elements sampled per matrix.
const SAMPLE: u64 = 1 << 18;
/// Matrices with fewer elements are not judged.
const SMALLEST: u64 = 4096;
/// Limit in standard deviations from the expectation for a random matrix. The worst of 1000 random ones is 4.5 away; matrices of a
/// model that was trained for minutes are tens or hundreds away.
const LIMIT: f64 = 6.0;

/// Samples every matrix, and reports the parts of the model that look randomly initialised.
///
/// # Errors
/// When a file that was just opened can no longer be read.
pub(super) async fn scan(view: &View, config: &ModelConfig, findings: &mut Vec<Finding>) -> Result<()> {
    // By layer; embedding and head have no layer number.
    let mut parts: BTreeMap<(Option<usize>, String), Vec<bool>> = BTreeMap::new();
    for param in params(config) {
        let part = match param.kind {
            ParamKind::Linear => (param.layer, String::new()),
            ParamKind::Embedding | ParamKind::Head => (None, param.name.clone()),
            _ => continue,
        };
        let Some(tensor) = view.get(&param.name) else { continue };
        let &[rows, width] = tensor.shape.as_slice() else { continue };
        let fresh = if rows * width < SMALLEST {
            false
        } else {
            // Sample from the middle: the first rows of an embedding are often special tokens, the last ones padding.
            let count = (SAMPLE / width).clamp(1, rows);
            let first = (rows - count) / 2;
            is_fresh(&view.rows(tensor, first..first + count).await?, width as usize)
        };
        parts.entry(part).or_default().push(fresh);
    }
    let all = parts.len();
    let fresh: Vec<&(Option<usize>, String)> =
        parts.iter().filter(|(_, matrices)| matrices.iter().all(|fresh| *fresh)).map(|(part, _)| part).collect();
    let Some((_, first)) = fresh.first() else { return Ok(()) };
    let looks = "as an initialisation leaves them: numbers of one random distribution, no row or column unlike another";
    let message = if fresh.len() == all {
        said!(
            "all matrices look {looks}. Nothing is wrong with a model that is still to be trained; if this one was, its weights were not loaded \
             when it was saved (other tools take random numbers for missing tensors and only warn)"
        )
    } else {
        let layers: Vec<usize> = fresh.iter().filter_map(|(layer, _)| *layer).collect();
        let names = fresh.iter().filter(|(layer, _)| layer.is_none()).map(|(_, name)| name.clone());
        let parts: Vec<String> = names.chain((!layers.is_empty()).then(|| list(&layers))).collect();
        said!(
            "the matrices of {} look {looks}, the others do not. Were these tensors missing when the model was loaded? Other tools fill them \
             with random numbers, only warn, and save them like the rest; compare with the base (--base DIR)",
            parts.join(" and ")
        )
    };
    let finding = Finding::new(Code::RandomWeights, message);
    findings.push(if first.is_empty() || fresh.len() == all { finding } else { finding.tensor(first) });
    Ok(())
}

/// `layer 3`, `layers 0, 1 and 5`, `layers 2 to 9`.
fn list(layers: &[usize]) -> String {
    match layers {
        [one] => format!("layer {one}"),
        [first, .., last] if last - first + 1 == layers.len() => format!("layers {first} to {last}"),
        [rest @ .., last] => {
            format!("layers {} and {last}", rest.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        [] => String::new(),
    }
}

/// Whether the elements of a matrix (in row-major order) are consistent with independent draws from one normal or uniform distribution.
fn is_fresh(numbers: &[f32], width: usize) -> bool {
    // Initialisations set the row of the padding token to zero.
    let rows: Vec<&[f32]> = numbers.chunks_exact(width.max(1)).filter(|row| row.iter().any(|x| *x != 0.0)).collect();
    let (count, columns) = (rows.len() as f64, width as f64);
    let n = count * columns;
    if n < SMALLEST as f64 {
        return false;
    }
    let (mut sum, mut second, mut fourth) = (0.0, 0.0, 0.0);
    let (mut row_sums, mut row_norms) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    let (mut column_sums, mut column_norms) = (vec![0.0; width], vec![0.0; width]);
    for row in &rows {
        let (mut row_sum, mut norm) = (0.0, 0.0);
        for ((x, column_sum), column_norm) in row.iter().zip(&mut column_sums).zip(&mut column_norms) {
            let x = f64::from(*x);
            let square = x * x;
            row_sum += x;
            norm += square;
            fourth += square * square;
            *column_sum += x;
            *column_norm += square;
        }
        sum += row_sum;
        second += norm;
        row_sums.push(row_sum);
        row_norms.push(norm);
    }
    let variance = second / n;
    if variance.is_nan() || variance <= 0.0 {
        return false;
    }
    // 3 for a normal distribution, 9/5 for a uniform one; the standard error of the estimate is at most √(24/n).
    let kurtosis = fourth / n / (variance * variance);
    let away = |expected: f64| (kurtosis - expected).abs() / (24.0 / n).sqrt();
    // Each of these is 1 for independent draws, ± √(2/k) for k rows or columns.
    let norms = |norms: &[f64], each: f64| variance_of(norms) / (each * (kurtosis - 1.0) * variance * variance);
    let sums = |sums: &[f64], each: f64| sums.iter().map(|s| s * s).sum::<f64>() / sums.len() as f64 / (each * variance);
    let strange = [
        away(3.0).min(away(1.8)),
        sum.abs() / (n * variance).sqrt(),
        (norms(&row_norms, columns) - 1.0).abs() / (2.0 / count).sqrt(),
        (norms(&column_norms, count) - 1.0).abs() / (2.0 / columns).sqrt(),
        (sums(&row_sums, columns) - 1.0).abs() / (2.0 / count).sqrt(),
        (sums(&column_sums, count) - 1.0).abs() / (2.0 / columns).sqrt(),
    ];
    strange.iter().all(|deviations| *deviations < LIMIT)
}

fn variance_of(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn matrix(rows: usize, width: usize, seed: u64, draw: impl Fn(&mut Random) -> f64) -> Vec<f32> {
        let random = &mut Random::new(seed, 0);
        (0..rows * width).map(|_| half::bf16::from_f64(draw(random)).to_f32()).collect()
    }

    #[test]
    fn random_matrices_of_any_shape_are_fresh() {
        for (rows, width) in [(64, 64), (512, 128), (2000, 48), (48, 2000)] {
            for seed in 0..6 {
                assert!(is_fresh(&matrix(rows, width, seed, |random| 0.02 * random.normal()), width), "normal, {rows} × {width}");
                assert!(is_fresh(&matrix(rows, width, seed, |random| random.unit() - 0.5), width), "uniform, {rows} × {width}");
            }
        }
        let mut padded = matrix(64, 128, 1, Random::normal);
        padded[5 * 128..6 * 128].fill(0.0);
        assert!(is_fresh(&padded, 128), "the row of the padding token");
    }

    /// The first effects of training: rows of different lengths, a direction common to all rows.
    #[test]
    fn rows_that_learnt_something_are_not() {
        let mut stretched = matrix(128, 128, 1, Random::normal);
        for (row, numbers) in stretched.chunks_exact_mut(128).enumerate() {
            numbers.iter_mut().for_each(|x| *x *= 1.0 + 0.5 * (row as f32 / 127.0));
        }
        assert!(!is_fresh(&stretched, 128));
        let mut shared = matrix(128, 128, 2, Random::normal);
        let direction = matrix(1, 128, 3, Random::normal);
        for numbers in shared.chunks_exact_mut(128) {
            numbers.iter_mut().zip(&direction).for_each(|(x, d)| *x += 0.2 * d);
        }
        assert!(!is_fresh(&shared, 128));
        assert!(!is_fresh(&matrix(32, 64, 1, Random::normal), 64), "too small to tell");
        assert!(!is_fresh(&[0.0; 8192], 64) && !is_fresh(&[f32::NAN; 8192], 64) && !is_fresh(&[], 0));
    }

    #[test]
    fn layers_are_listed_for_a_reader() {
        assert_eq!(list(&[3]), "layer 3");
        assert_eq!(list(&[2, 3, 4]), "layers 2 to 4");
        assert_eq!(list(&[0, 2, 5]), "layers 0, 2 and 5");
    }
}
