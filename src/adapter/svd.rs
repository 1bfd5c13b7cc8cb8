//! The best approximations of low rank: truncated singular value decompositions, exact for small matrices and randomised for large
//! ones (Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.1), the same bits on every run.

use faer::{Mat, MatRef};

use crate::error::{Error, Result};
use crate::random::Random;

/// Matrices whose smaller side is below this are decomposed exactly.
const EXACT: usize = 384;
/// Columns beyond the wanted rank that the randomised method carries along.
const OVERSAMPLING: usize = 8;
/// Multiplications by M·Mᵀ that make its small singular values vanish; each with an orthonormalisation.
const POWER_ITERATIONS: usize = 2;

/// How many singular values to keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rank {
    /// As many as this, or as there are.
    Fixed(usize),
    /// As few as hold this share of the sum of the squared singular values.
    Energy(f64),
}

/// U·diag(σ)·Vᵀ with the largest singular values of a matrix.
pub struct LowRank {
    /// Descending.
    pub sigma: Vec<f32>,
    /// (rows, rank), row after row.
    pub u: Vec<f32>,
    /// (rank, cols), row after row.
    pub vt: Vec<f32>,
    /// The share of the squared Frobenius norm that it holds, 0 to 1; 1 for a matrix of zeros.
    pub energy: f64,
}

/// Decomposes a matrix (rows × cols, row after row). A matrix of zeros gives rank 0.
///
/// # Errors
/// [`Error::Tensor`] when the iteration does not converge, which numbers that are not finite cause.
pub fn low_rank(name: &str, matrix: &[f32], cols: usize, rank: Rank) -> Result<LowRank> {
    decompose(name, matrix, cols, rank, Some(POWER_ITERATIONS))
}

/// The largest singular values of a matrix of high rank, whose small ones do not fade away by themselves: with as many power
/// iterations as asked for, or exactly.
///
/// # Errors
/// As [`low_rank`].
pub fn principal(name: &str, matrix: &[f32], cols: usize, rank: usize, iterations: Option<usize>) -> Result<LowRank> {
    decompose(name, matrix, cols, Rank::Fixed(rank), iterations)
}

/// `iterations` of the randomised method for large matrices; all are decomposed exactly without.
fn decompose(name: &str, matrix: &[f32], cols: usize, rank: Rank, iterations: Option<usize>) -> Result<LowRank> {
    let rows = matrix.len() / cols;
    let total: f64 = matrix.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    if total == 0.0 {
        return Ok(LowRank { sigma: Vec::new(), u: Vec::new(), vt: Vec::new(), energy: 1.0 });
    }
    let m = MatRef::from_row_major_slice(matrix, rows, cols);
    let side = rows.min(cols);
    let failed = || Error::tensor("", name, "its singular values cannot be computed");
    let mut tried = match rank {
        Rank::Fixed(rank) => rank,
        Rank::Energy(_) => 32,
    };
    let (u, sigma, v) = loop {
        let exact = side <= EXACT || (tried + OVERSAMPLING) * 4 >= side;
        let iterations = iterations.filter(|_| !exact);
        let found = match iterations {
            Some(iterations) => randomised_svd(m, tried + OVERSAMPLING, iterations),
            None => exact_svd(m),
        };
        let (u, sigma, v) = found.ok_or_else(failed)?;
        match rank {
            Rank::Energy(share) if iterations.is_some() && held(&sigma[..tried], total) < share => tried *= 2,
            _ => break (u, sigma, v),
        }
    };
    // What rounding alone would leave is not kept.
    let noise = sigma[0] * f32::EPSILON * (rows.max(cols) as f32).sqrt();
    let nonzero = sigma.iter().take_while(|&&s| s > noise).count();
    let kept = match rank {
        Rank::Fixed(rank) => rank.min(nonzero),
        Rank::Energy(share) => (1..nonzero).find(|&r| held(&sigma[..r], total) >= share).unwrap_or(nonzero),
    };
    let sigma = sigma[..kept].to_vec();
    let energy = held(&sigma, total).min(1.0);
    let flat_u = (0..rows).flat_map(|i| (0..kept).map(move |k| (i, k))).map(|(i, k)| u[(i, k)]).collect();
    let vt = (0..kept).flat_map(|k| (0..cols).map(move |j| (j, k))).map(|(j, k)| v[(j, k)]).collect();
    Ok(LowRank { sigma, u: flat_u, vt, energy })
}

fn held(sigma: &[f32], total: f64) -> f64 {
    sigma.iter().map(|&s| f64::from(s) * f64::from(s)).sum::<f64>() / total
}

type Svd = (Mat<f32>, Vec<f32>, Mat<f32>);

fn exact_svd(m: MatRef<'_, f32>) -> Option<Svd> {
    let svd = m.thin_svd().ok()?;
    let sigma = svd.S().column_vector().iter().copied().collect();
    Some((svd.U().to_owned(), sigma, svd.V().to_owned()))
}

/// The range of M is found by what it makes of random columns; inside it, the decomposition is small.
fn randomised_svd(m: MatRef<'_, f32>, columns: usize, iterations: usize) -> Option<Svd> {
    let mut random = Random::new(0, 0);
    let omega = Mat::from_fn(m.ncols(), columns, |_, _| random.normal() as f32);
    let mut q = (m * &omega).qr().compute_thin_Q();
    for _ in 0..iterations {
        let back = (m.transpose() * &q).qr().compute_thin_Q();
        q = (m * &back).qr().compute_thin_Q();
    }
    let small = q.transpose() * m;
    let (u, sigma, v) = exact_svd(small.as_ref())?;
    Some((&q * &u, sigma, v))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A matrix whose singular values are known: two random orthonormal bases around a diagonal.
    fn matrix(rows: usize, cols: usize, sigma: &[f32]) -> Vec<f32> {
        let mut random = Random::new(1, 0);
        let mut basis = |n| Mat::<f32>::from_fn(n, sigma.len(), |_, _| random.normal() as f32).qr().compute_thin_Q();
        let (u, v) = (basis(rows), basis(cols));
        let value = |i: usize, j: usize| (0..sigma.len()).map(|k| u[(i, k)] * sigma[k] * v[(j, k)]).sum::<f32>();
        (0..rows * cols).map(|at| value(at / cols, at % cols)).collect()
    }

    fn product(found: &LowRank, cols: usize) -> Vec<f32> {
        let rank = found.sigma.len();
        let rows = found.u.len() / rank.max(1);
        let value = |i: usize, j: usize| (0..rank).map(|k| found.u[i * rank + k] * found.sigma[k] * found.vt[k * cols + j]).sum::<f32>();
        (0..rows * cols).map(|at| value(at / cols, at % cols)).collect()
    }

    /// Small and exact, large and randomised, wide and tall.
    #[test]
    fn finds_singular_values_and_vectors() {
        let sigma = [8.0, 4.0, 2.0, 1.0];
        for (rows, cols) in [(17, 9), (9, 17), (500, 410), (400, 900)] {
            let m = matrix(rows, cols, &sigma);
            let all = low_rank("m", &m, cols, Rank::Fixed(4)).expect("it converges");
            assert!(all.sigma.iter().zip(sigma).all(|(a, b)| (a - b).abs() < 1e-4), "{rows} × {cols}: {:?}", all.sigma);
            let error = product(&all, cols).iter().zip(&m).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(error < 1e-5, "{rows} × {cols}: {error}");
            let two = low_rank("m", &m, cols, Rank::Fixed(2)).expect("it converges");
            assert!((two.energy - 80.0 / 85.0).abs() < 1e-5, "{}", two.energy);
        }
    }

    #[test]
    fn takes_as_few_as_hold_the_share() {
        let m = matrix(500, 420, &[8.0, 4.0, 2.0, 1.0]); // squares 64, 16, 4, 1 of 85
        for (share, rank) in [(0.5, 1), (0.76, 2), (0.95, 3), (0.99, 4)] {
            assert_eq!(low_rank("m", &m, 420, Rank::Energy(share)).expect("it converges").sigma.len(), rank, "{share}");
        }
        assert_eq!(low_rank("m", &[0.0; 12], 3, Rank::Energy(0.9)).expect("zeros").sigma.len(), 0);
        assert_eq!(low_rank("m", &m, 420, Rank::Fixed(64)).expect("it converges").sigma.len(), 4, "no noise beyond the rank");
    }

    #[test]
    fn the_same_bits_every_time() {
        let m = matrix(600, 500, &[3.0, 2.0, 1.0]);
        let run = || low_rank("m", &m, 500, Rank::Fixed(3)).expect("it converges");
        assert_eq!((run().u, run().vt), (run().u, run().vt));
    }
}
