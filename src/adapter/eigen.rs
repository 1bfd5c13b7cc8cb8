//! Eigenvalues and eigenvectors of a symmetric matrix: Householder's reduction to tridiagonal form, then QL iterations with implicit
//! shifts (Golub and Van Loan, "Matrix Computations", 8.3; EISPACK's `tred2` and `tql2`).

/// The most QL iterations for one eigenvalue; two are usual. More are needed only for numbers that are not finite.
const MAX_ITERATIONS: usize = 60;

/// The decomposition A = X·diag(λ)·Xᵀ of a symmetric matrix.
pub(super) struct Eigen {
    n: usize,
    /// Eigenvalues, in descending order.
    pub(super) values: Vec<f64>,
    /// Row i < n of the lower triangle holds the i-th Householder reflection, I − τ·v·vᵀ on the first i components.
    reflections: Vec<f64>,
    taus: Vec<f64>,
    /// The eigenvectors of the tridiagonal matrix, one in each row, in the order of `values`.
    vectors: Vec<f64>,
}

impl Eigen {
    /// Decomposes A (n × n, row-major), reading only the lower triangle. `None` when the iteration does not converge.
    pub(super) fn of(mut a: Vec<f64>, n: usize) -> Option<Eigen> {
        debug_assert_eq!(a.len(), n * n);
        let (mut diagonal, mut beside, taus) = tridiagonal(&mut a, n);
        let mut vectors = vec![0.0; n * n];
        for i in 0..n {
            vectors[i * n + i] = 1.0;
        }
        ql(&mut diagonal, &mut beside, &mut vectors, n)?;
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&i, &j| diagonal[j].total_cmp(&diagonal[i]));
        let values = order.iter().map(|&i| diagonal[i]).collect();
        let vectors = order.iter().flat_map(|&i| vectors[i * n..(i + 1) * n].iter().copied()).collect();
        Some(Eigen { n, values, reflections: a, taus, vectors })
    }

    /// The eigenvector of `values[k]`, normalised to length 1.
    pub(super) fn vector(&self, k: usize) -> Vec<f64> {
        let n = self.n;
        let mut x = self.vectors[k * n..(k + 1) * n].to_vec();
        for i in 1..n {
            let v = &self.reflections[i * n..i * n + i];
            let factor = self.taus[i] * dot(v, &x[..i]);
            if factor != 0.0 {
                add(&mut x[..i], -factor, v);
            }
        }
        x
    }
}

/// Reduces A to a tridiagonal matrix, from the last row to the first; returns the diagonal, the subdiagonal (entry i is between i − 1 and
/// i) and the factors τ. The vectors of the reflections replace the rows of A's lower triangle.
fn tridiagonal(a: &mut [f64], n: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (mut diagonal, mut beside, mut taus) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    let mut w = vec![0.0; n];
    for i in (1..n).rev() {
        let (before, rest) = a.split_at_mut(i * n);
        diagonal[i] = rest[i];
        let v = &mut rest[..i];
        let last = v[i - 1];
        if v[..i - 1].iter().all(|&x| x == 0.0) {
            beside[i] = last;
            continue;
        }
        // Only the last component of H·v, α, is nonzero; its sign is chosen to avoid cancellation.
        let alpha = -dot(v, v).sqrt().copysign(last);
        beside[i] = alpha;
        v[i - 1] -= alpha;
        let tau = 2.0 / dot(v, v);
        taus[i] = tau;
        // H·A·H = A − v·wᵀ − w·vᵀ with p = τ·A·v and w = p − (τ/2)·(v·p)·v.
        let w = &mut w[..i];
        w.fill(0.0);
        for r in 0..i {
            let row = &before[r * n..r * n + r + 1];
            w[r] += dot(row, &v[..r + 1]);
            add(&mut w[..r], v[r], &row[..r]);
        }
        w.iter_mut().for_each(|x| *x *= tau);
        let half = tau / 2.0 * dot(v, w);
        add(w, -half, v);
        for r in 0..i {
            let (v_r, w_r) = (v[r], w[r]);
            for ((x, v), w) in before[r * n..r * n + r + 1].iter_mut().zip(&*v).zip(&*w) {
                *x -= v_r * w + w_r * v;
            }
        }
    }
    if n > 0 {
        diagonal[0] = a[0];
    }
    (diagonal, beside, taus)
}

/// Diagonalises the tridiagonal matrix by rotations and applies the same rotations to the rows of `vectors`.
fn ql(d: &mut [f64], e: &mut [f64], vectors: &mut [f64], n: usize) -> Option<()> {
    e.rotate_left(1); // entry i: between i and i + 1; the last is 0
    let (mut shift, mut scale) = (0.0, 0f64);
    for l in 0..n {
        scale = scale.max(d[l].abs() + e[l].abs());
        let negligible = |x: f64| x.abs() <= f64::EPSILON * scale;
        let m = (l..n).find(|&m| negligible(e[m]))?;
        let mut iterations = 0;
        while m > l && !(iterations > 0 && negligible(e[l])) {
            iterations += 1;
            if iterations > MAX_ITERATIONS {
                return None;
            }
            let before = d[l];
            let p = (d[l + 1] - before) / (2.0 * e[l]);
            let r = p.hypot(1.0).copysign(p);
            d[l] = e[l] / (p + r);
            d[l + 1] = e[l] * (p + r);
            let next = d[l + 1];
            let moved = before - d[l];
            d[l + 2..].iter_mut().for_each(|x| *x -= moved);
            shift += moved;
            let (mut p, beside) = (d[m], e[l + 1]);
            let (mut c, mut c2, mut c3) = (1.0, 1.0, 1.0);
            let (mut s, mut s2) = (0.0, 0.0);
            for i in (l..m).rev() {
                (c3, c2, s2) = (c2, c, s);
                let (g, h) = (c * e[i], c * p);
                let r = p.hypot(e[i]);
                e[i + 1] = s * r;
                s = e[i] / r;
                c = p / r;
                p = c * d[i] - s * g;
                d[i + 1] = h + s * (c * g + s * d[i]);
                rotate(&mut vectors[i * n..(i + 2) * n], c, s);
            }
            p = -s * s2 * c3 * beside * e[l] / next;
            e[l] = s * p;
            d[l] = c * p;
        }
        d[l] += shift;
        e[l] = 0.0;
    }
    Some(())
}

/// (a, b) → (c·a − s·b, s·a + c·b) for two consecutive rows.
fn rotate(rows: &mut [f64], c: f64, s: f64) {
    let (a, b) = rows.split_at_mut(rows.len() / 2);
    for (a, b) in a.iter_mut().zip(b) {
        (*a, *b) = (c * *a - s * *b, s * *a + c * *b);
    }
}

/// Σ aᵢ·bᵢ, accumulated in four sums so that the compiler can vectorise it.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a4.zip(b4) {
        for k in 0..4 {
            sums[k] += a[k] * b[k];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// y += factor · x.
pub(super) fn add(y: &mut [f64], factor: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// A·x = λ·x for each pair, lengths of 1, the trace kept; also with equal and with vanishing eigenvalues.
    #[test]
    fn values_and_vectors_belong_to_each_other() {
        let mut random = Random::new(5, 0);
        for (n, rank) in [(1, 1), (2, 2), (3, 1), (20, 20), (41, 5), (130, 130)] {
            let x: Vec<f64> = (0..n * rank).map(|_| random.normal()).collect();
            let a: Vec<f64> = (0..n * n).map(|at| dot(&x[at / n * rank..][..rank], &x[at % n * rank..][..rank])).collect();
            let found = Eigen::of(a.clone(), n).expect("it converges");
            let trace: f64 = (0..n).map(|i| a[i * n + i]).sum();
            assert!((found.values.iter().sum::<f64>() - trace).abs() < 1e-10 * trace);
            assert!(found.values[rank..].iter().all(|value| value.abs() < 1e-12 * trace), "{n}, rank {rank}");
            for k in 0..n {
                let vector = found.vector(k);
                assert!((dot(&vector, &vector) - 1.0).abs() < 1e-12);
                for i in 0..n {
                    assert!((dot(&a[i * n..(i + 1) * n], &vector) - found.values[k] * vector[i]).abs() < 1e-11 * trace, "{n}, {k}");
                }
            }
        }
        let identity: Vec<f64> = (0..25).map(|at| if at % 6 == 0 { 1.0 } else { 0.0 }).collect();
        assert_eq!(Eigen::of(identity, 5).expect("it converges").values, [1.0; 5]);
        assert!(Eigen::of(vec![f64::NAN; 9], 3).is_none());
    }
}
