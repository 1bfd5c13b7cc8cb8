//! RMSNorm in f64: y = x / sqrt(mean(x²) + eps) · (offset + w) for every group of columns.

/// x is (rows · groups, cols). Returns y and 1/rms of every group.
pub(crate) fn forward(x: &[f64], w: &[f64], offset: f64, eps: f64) -> (Vec<f64>, Vec<f64>) {
    let cols = w.len();
    let rstd: Vec<f64> = x.chunks(cols).map(|row| 1.0 / (row.iter().map(|v| v * v).sum::<f64>() / cols as f64 + eps).sqrt()).collect();
    let y = x.chunks(cols).zip(&rstd).flat_map(|(row, r)| row.iter().zip(w).map(move |(v, w)| v * r * (offset + w))).collect();
    (y, rstd)
}

/// Gradients of x and w.
pub(crate) fn backward(dy: &[f64], x: &[f64], w: &[f64], offset: f64, eps: f64) -> (Vec<f64>, Vec<f64>) {
    let cols = w.len();
    let (_, rstd) = forward(x, w, offset, eps);
    let mut dx = Vec::with_capacity(x.len());
    let mut dw = vec![0.0; cols];
    for ((dy, x), r) in dy.chunks(cols).zip(x.chunks(cols)).zip(rstd) {
        let g: Vec<f64> = dy.iter().zip(w).map(|(d, w)| d * (offset + w)).collect();
        let mean = g.iter().zip(x).map(|(g, x)| g * x * r).sum::<f64>() / cols as f64;
        dx.extend(g.iter().zip(x).map(|(g, x)| r * (g - x * r * mean)));
        dw.iter_mut().zip(dy.iter().zip(x)).for_each(|(dw, (d, x))| *dw += d * x * r);
    }
    (dx, dw)
}

#[test]
fn backward_is_the_derivative_of_forward() {
    let mut random = super::Random::new(1);
    for offset in [0.0, 1.0] {
        let (x, w, dy) = (random.vector(15), random.vector(5), random.vector(15));
        let (dx, dw) = backward(&dy, &x, &w, offset, 0.3);
        super::assert_gradient("x", &x, &dx, |x| super::dot(&dy, &forward(x, &w, offset, 0.3).0));
        super::assert_gradient("w", &w, &dw, |w| super::dot(&dy, &forward(&x, w, offset, 0.3).0));
    }
}
