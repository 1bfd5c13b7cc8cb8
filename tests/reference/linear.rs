//! y = x·Wᵀ + b + x2·W2ᵀ, the second product being the low-rank part of a LoRA layer.

use super::dot;

/// x (M, K) times the transposed w (N, K).
pub(crate) fn times_transposed(x: &[f64], w: &[f64], k: usize) -> Vec<f64> {
    x.chunks(k).flat_map(|x| w.chunks(k).map(move |w| dot(x, w))).collect()
}

/// a (M, N) times b (N, K).
pub(crate) fn times(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let k = b.len() / n;
    let mut out = Vec::with_capacity(a.len() / n * k);
    for a in a.chunks(n) {
        let mut row = vec![0.0; k];
        for (a, b) in a.iter().zip(b.chunks(k)) {
            row.iter_mut().zip(b).for_each(|(sum, b)| *sum += a * b);
        }
        out.extend(row);
    }
    out
}

/// The transposed a (M, N) times b (M, K).
pub(crate) fn transposed_times(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let m = a.len() / n;
    let transposed: Vec<f64> = (0..n).flat_map(|j| (0..m).map(move |i| a[i * n + j])).collect();
    times(&transposed, b, m)
}

pub(crate) fn forward(x: &[f64], w: &[f64], bias: Option<&[f64]>, k: usize) -> Vec<f64> {
    let mut y = times_transposed(x, w, k);
    if let Some(bias) = bias {
        for row in y.chunks_mut(bias.len()) {
            add(row, bias);
        }
    }
    y
}

/// Gradients of x, w and the bias.
pub(crate) fn backward(dy: &[f64], x: &[f64], w: &[f64], k: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let n = w.len() / k;
    let mut db = vec![0.0; n];
    dy.chunks(n).for_each(|row| add(&mut db, row));
    (times(dy, w, n), transposed_times(dy, x, n), db)
}

pub(crate) fn add(to: &mut [f64], x: &[f64]) {
    assert_eq!(to.len(), x.len());
    to.iter_mut().zip(x).for_each(|(to, x)| *to += x);
}

#[test]
fn backward_is_the_derivative_of_forward() {
    let (m, n, k) = (3, 5, 4);
    let mut random = super::Random::new(5);
    let (x, w, b, dy) = (random.vector(m * k), random.vector(n * k), random.vector(n), random.vector(m * n));
    let (dx, dw, db) = backward(&dy, &x, &w, k);
    super::assert_gradient("x", &x, &dx, |x| dot(&dy, &forward(x, &w, Some(&b), k)));
    super::assert_gradient("w", &w, &dw, |w| dot(&dy, &forward(&x, w, Some(&b), k)));
    super::assert_gradient("b", &b, &db, |b| dot(&dy, &forward(&x, &w, Some(b), k)));
}
