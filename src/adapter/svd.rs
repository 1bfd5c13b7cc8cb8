//! Low-rank approximation by truncated singular value decomposition, exact for small matrices and randomised for large ones (Halko,
//! Martinsson and Tropp 2011, algorithms 4.4 and 5.1). Every run computes the same bits.
//!
//! Both methods compute the eigenvectors of a small symmetric matrix: M·Mᵀ or Mᵀ·M, whichever is smaller, or the same of M's projection. It
//! is summed and decomposed in f64, where squaring loses no precision that f32 could represent.

use super::eigen::{self, Eigen};
use crate::error::{Error, Result};
use crate::random::Random;

/// Matrices whose smaller side is below this are decomposed exactly.
const EXACT: usize = 384;
/// Additional columns beyond the requested rank in the randomised method.
const OVERSAMPLING: usize = 8;
/// Multiplications by M·Mᵀ that suppress the small singular values, each followed by an orthonormalisation.
const POWER_ITERATIONS: usize = 2;

/// How many singular values to keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rank {
    /// At most this many.
    Fixed(usize),
    /// The smallest number that retains this share of the sum of the squared singular values.
    Energy(f64),
}

/// U·diag(σ)·Vᵀ with the largest singular values of a matrix.
pub struct LowRank {
    /// Singular values, in descending order.
    pub sigma: Vec<f32>,
    /// (rows, rank), row-major.
    pub u: Vec<f32>,
    /// (rank, cols), row-major.
    pub vt: Vec<f32>,
    /// The retained share of the squared Frobenius norm, 0 to 1; 1 for a matrix of zeros.
    pub energy: f64,
}

/// Decomposes a matrix (rows × cols, row-major). A matrix of zeros gives rank 0.
///
/// # Errors
/// [`Error::Tensor`] when the iteration does not converge, which happens for numbers that are not finite.
pub fn low_rank(name: &str, matrix: &[f32], cols: usize, rank: Rank) -> Result<LowRank> {
    decompose(name, matrix, cols, rank, Some(POWER_ITERATIONS))
}

/// The largest singular values of a matrix of high rank, whose singular values decay slowly: with the given number of power iterations, or
/// exactly.
///
/// # Errors
/// As [`low_rank`].
pub fn principal(name: &str, matrix: &[f32], cols: usize, rank: usize, iterations: Option<usize>) -> Result<LowRank> {
    decompose(name, matrix, cols, Rank::Fixed(rank), iterations)
}

/// `iterations` of the randomised method for large matrices; without it, all are decomposed exactly.
fn decompose(name: &str, matrix: &[f32], cols: usize, rank: Rank, iterations: Option<usize>) -> Result<LowRank> {
    let rows = matrix.len() / cols;
    let total: f64 = matrix.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    if total == 0.0 {
        return Ok(LowRank { sigma: Vec::new(), u: Vec::new(), vt: Vec::new(), energy: 1.0 });
    }
    let failed = || Error::tensor("", name, "its singular values cannot be computed");
    if !total.is_finite() {
        return Err(failed());
    }
    let m = Matrix { values: matrix, cols };
    let side = rows.min(cols);
    let mut tried = match rank {
        Rank::Fixed(rank) => rank,
        Rank::Energy(_) => 32,
    };
    let found = loop {
        let columns = tried + OVERSAMPLING;
        let exact = side <= EXACT || columns * 4 >= side;
        let iterations = iterations.filter(|_| !exact);
        let found = match iterations {
            Some(iterations) => Decomposition::randomised(m, columns, iterations),
            None => Decomposition::exact(m),
        };
        let found = found.ok_or_else(failed)?;
        match rank {
            Rank::Energy(share) if iterations.is_some() && held(&found.sigma[..tried], total) < share => tried *= 2,
            _ => break found,
        }
    };
    // Singular values at the level of rounding errors are dropped.
    let sigma = &found.sigma;
    let noise = sigma[0] * f32::EPSILON * (rows.max(cols) as f32).sqrt();
    let nonzero = sigma.iter().take_while(|&&s| s > noise).count();
    let kept = match rank {
        Rank::Fixed(rank) => rank.min(nonzero),
        Rank::Energy(share) => (1..nonzero).find(|&r| held(&sigma[..r], total) >= share).unwrap_or(nonzero),
    };
    let energy = held(&sigma[..kept], total).min(1.0);
    let (u, v) = found.vectors(m, kept);
    Ok(LowRank { sigma: sigma[..kept].to_vec(), u, vt: transpose(&v, kept), energy })
}

fn held(sigma: &[f32], total: f64) -> f64 {
    sigma.iter().map(|&s| f64::from(s) * f64::from(s)).sum::<f64>() / total
}

/// A decomposition before its singular vectors are computed.
struct Decomposition {
    /// Singular values, in descending order.
    sigma: Vec<f32>,
    eigen: Eigen,
    /// For the randomised method: a basis Q of the range (rows, b), and P = Mᵀ·Q (cols, b). M ≈ Q·Pᵀ.
    projected: Option<(Vec<f32>, Vec<f32>)>,
}

impl Decomposition {
    fn new(symmetric: Vec<f64>, side: usize, projected: Option<(Vec<f32>, Vec<f32>)>) -> Option<Decomposition> {
        let eigen = Eigen::of(symmetric, side)?;
        let sigma = eigen.values.iter().map(|&lambda| lambda.max(0.0).sqrt() as f32).collect();
        Some(Decomposition { sigma, eigen, projected })
    }

    fn exact(m: Matrix<'_>) -> Option<Decomposition> {
        let side = m.rows().min(m.cols);
        Decomposition::new(m.gram(m.rows() <= m.cols), side, None)
    }

    /// Finds the range of M by multiplying it with random columns, then decomposes the small projection on it.
    fn randomised(m: Matrix<'_>, columns: usize, iterations: usize) -> Option<Decomposition> {
        let mut random = Random::new(0, 0);
        let omega: Vec<f32> = (0..m.cols * columns).map(|_| random.normal() as f32).collect();
        let mut q = orthonormal(&m.times(&omega, columns), columns);
        for _ in 0..iterations {
            let back = orthonormal(&m.transposed_times(&q, columns), columns);
            q = orthonormal(&m.times(&back, columns), columns);
        }
        let p = m.transposed_times(&q, columns);
        let symmetric = Matrix { values: &p, cols: columns }.gram(false);
        Decomposition::new(symmetric, columns, Some((q, p)))
    }

    /// U (rows, kept) and V (cols, kept). The eigenvectors are one of the two; multiplication by M gives the other, times σ.
    fn vectors(&self, m: Matrix<'_>, kept: usize) -> (Vec<f32>, Vec<f32>) {
        let by_row: Vec<f32> = (0..kept).flat_map(|k| self.eigen.vector(k)).map(|x| x as f32).collect();
        let side = self.eigen.values.len();
        let w = transpose(&by_row, side);
        match &self.projected {
            Some((q, p)) => {
                let times_w = |values: &Vec<f32>| Matrix { values, cols: side }.times(&w, kept);
                (times_w(q), normalised(times_w(p), kept))
            }
            None if m.rows() <= m.cols => {
                let v = normalised(m.transposed_times(&w, kept), kept);
                (w, v)
            }
            None => (normalised(m.times(&w, kept), kept), w),
        }
    }
}

/// A matrix, row-major.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    cols: usize,
}

impl Matrix<'_> {
    fn rows(&self) -> usize {
        self.values.len() / self.cols
    }

    /// M·X (rows, b) for X (cols, b).
    fn times(&self, x: &[f32], b: usize) -> Vec<f32> {
        let mut y = vec![0f32; self.rows() * b];
        if b > 0 {
            for (row, y) in self.values.chunks_exact(self.cols).zip(y.chunks_exact_mut(b)) {
                for (factors, x) in row.chunks(4).zip(x.chunks(4 * b)) {
                    add_rows(y, factors, x);
                }
            }
        }
        y
    }

    /// Mᵀ·Y (cols, b) for Y (rows, b).
    fn transposed_times(&self, y: &[f32], b: usize) -> Vec<f32> {
        let mut z = vec![0f32; self.cols * b];
        if b > 0 {
            for (rows, y) in self.values.chunks(4 * self.cols).zip(y.chunks(4 * b)) {
                let (mut factors, count) = ([0f32; 4], rows.len() / self.cols);
                for (j, z) in z.chunks_exact_mut(b).enumerate() {
                    for (factor, row) in factors.iter_mut().zip(rows.chunks_exact(self.cols)) {
                        *factor = row[j];
                    }
                    add_rows(z, &factors[..count], y);
                }
            }
        }
        z
    }

    /// The lower triangle of M·Mᵀ, or of Mᵀ·M, in f64.
    fn gram(&self, of_rows: bool) -> Vec<f64> {
        /// Number of rows of X that are added to XᵀX at once.
        const BLOCK: usize = 16;
        let (side, count) = if of_rows { (self.rows(), self.cols) } else { (self.cols, self.rows()) };
        let (mut g, mut x) = (vec![0f64; side * side], vec![0f64; BLOCK * side]);
        for first in (0..count).step_by(BLOCK) {
            let block = BLOCK.min(count - first);
            if of_rows {
                for (i, row) in self.values.chunks_exact(self.cols).enumerate() {
                    for (k, &value) in row[first..first + block].iter().enumerate() {
                        x[k * side + i] = f64::from(value);
                    }
                }
            } else {
                let from = &self.values[first * self.cols..(first + block) * self.cols];
                x.iter_mut().zip(from).for_each(|(x, &value)| *x = f64::from(value));
            }
            for j in 0..side {
                let g = &mut g[j * side..=j * side + j];
                for row in x[..block * side].chunks_exact(side) {
                    eigen::add(g, row[j], &row[..=j]);
                }
            }
        }
        g
    }
}

/// y += Σ factorᵢ · rowᵢ for up to four consecutive rows.
fn add_rows(y: &mut [f32], factors: &[f32], rows: &[f32]) {
    let b = y.len();
    if let &[f0, f1, f2, f3] = factors {
        let (r0, rest) = rows.split_at(b);
        let (r1, rest) = rest.split_at(b);
        let (r2, r3) = rest.split_at(b);
        for ((((y, a), b), c), d) in y.iter_mut().zip(r0).zip(r1).zip(r2).zip(r3) {
            *y += (f0 * a + f1 * b) + (f2 * c + f3 * d);
        }
        return;
    }
    for (factor, row) in factors.iter().zip(rows.chunks_exact(b)) {
        for (y, x) in y.iter_mut().zip(row) {
            *y += factor * x;
        }
    }
}

/// (n, m) → (m, n), where `cols` = m; empty for zero columns.
fn transpose(values: &[f32], cols: usize) -> Vec<f32> {
    let rows = values.len().checked_div(cols).unwrap_or(0);
    (0..cols).flat_map(|j| (0..rows).map(move |i| values[i * cols + j])).collect()
}

/// The columns of X (n, b), each normalised to length 1 (columns of zeros stay zero).
fn normalised(mut x: Vec<f32>, b: usize) -> Vec<f32> {
    let mut squares = vec![0f64; b];
    if b == 0 {
        return x;
    }
    for row in x.chunks_exact(b) {
        squares.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value) * f64::from(value));
    }
    for row in x.chunks_exact_mut(b) {
        for (value, square) in row.iter_mut().zip(&squares) {
            *value = if *square > 0.0 { (f64::from(*value) / square.sqrt()) as f32 } else { 0.0 };
        }
    }
    x
}

/// An orthonormal basis of the columns of X (n, b), by the Gram-Schmidt process applied twice; a column that depends linearly on the
/// preceding ones becomes zero up to rounding errors.
fn orthonormal(x: &[f32], b: usize) -> Vec<f32> {
    let n = x.len() / b;
    let mut columns: Vec<f64> = transpose(x, b).into_iter().map(f64::from).collect();
    for k in 0..b {
        let (before, column) = columns.split_at_mut(k * n);
        let column = &mut column[..n];
        for _ in 0..2 {
            for other in before.chunks_exact(n) {
                let along = eigen::dot(other, column);
                eigen::add(column, -along, other);
            }
        }
        let length = eigen::dot(column, column).sqrt();
        let factor = if length > 0.0 { 1.0 / length } else { 0.0 };
        column.iter_mut().for_each(|value| *value *= factor);
    }
    let columns: Vec<f32> = columns.into_iter().map(|value| value as f32).collect();
    transpose(&columns, n)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A matrix whose singular values are known: two random orthonormal bases around a diagonal.
    fn matrix(rows: usize, cols: usize, sigma: &[f32]) -> Vec<f32> {
        let mut random = Random::new(1, 0);
        let rank = sigma.len();
        let mut basis = |n: usize| orthonormal(&(0..n * rank).map(|_| random.normal() as f32).collect::<Vec<f32>>(), rank);
        let (u, v) = (basis(rows), basis(cols));
        let value = |i: usize, j: usize| (0..rank).map(|k| u[i * rank + k] * sigma[k] * v[j * rank + k]).sum::<f32>();
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

    /// The singular vectors are orthonormal, whichever side is smaller, also where singular values are equal.
    #[test]
    fn singular_vectors_are_orthonormal() {
        for (rows, cols) in [(60, 33), (33, 60), (700, 500)] {
            let m = matrix(rows, cols, &[3.0, 3.0, 3.0, 0.01]);
            let found = low_rank("m", &m, cols, Rank::Fixed(4)).expect("it converges");
            let v = transpose(&found.vt, cols);
            for (side, n) in [(&found.u, rows), (&v, cols)] {
                for a in 0..4 {
                    for b in 0..4 {
                        let dot: f64 = (0..n).map(|i| f64::from(side[i * 4 + a]) * f64::from(side[i * 4 + b])).sum();
                        let expected = if a == b { 1.0 } else { 0.0 };
                        assert!((dot - expected).abs() < 2e-4, "{rows} × {cols}: {a}, {b}: {dot}");
                    }
                }
            }
        }
    }

    /// Random matrices of full rank: all singular values together are the matrix, and their squares its squared norm.
    #[test]
    fn decomposes_matrices_of_full_rank() {
        let mut random = Random::new(2, 0);
        for (rows, cols) in [(1, 1), (1, 7), (5, 1), (40, 40), (31, 64), (64, 31), (390, 386)] {
            let m: Vec<f32> = (0..rows * cols).map(|_| random.normal() as f32).collect();
            let found = principal("m", &m, cols, rows.min(cols), None).expect("it converges");
            assert_eq!(found.sigma.len(), rows.min(cols), "{rows} × {cols}");
            assert!(found.sigma.windows(2).all(|two| two[0] >= two[1]));
            assert!((found.energy - 1.0).abs() < 1e-6, "{rows} × {cols}: {}", found.energy);
            let error = product(&found, cols).iter().zip(&m).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(error < 1e-4, "{rows} × {cols}: {error}");
        }
        assert!(low_rank("m", &[1.0, f32::NAN], 1, Rank::Fixed(1)).is_err());
        assert!(low_rank("m", &[1.0, f32::INFINITY], 1, Rank::Fixed(1)).is_err());
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
