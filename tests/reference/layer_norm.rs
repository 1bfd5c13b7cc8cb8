//! LayerNorm in f64: y = (x − mean) / sqrt(variance + eps) · w + b, with the biased variance.

/// x is (rows, cols). Returns y, the means and 1/sqrt(variance + eps).
pub(crate) fn forward(x: &[f64], w: &[f64], b: &[f64], eps: f64) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let cols = w.len();
    let (mut y, mut means, mut rstds) = (Vec::with_capacity(x.len()), Vec::new(), Vec::new());
    for row in x.chunks(cols) {
        let mean = row.iter().sum::<f64>() / cols as f64;
        let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / cols as f64;
        let r = 1.0 / (variance + eps).sqrt();
        y.extend(row.iter().zip(w.iter().zip(b)).map(|(v, (w, b))| (v - mean) * r * w + b));
        means.push(mean);
        rstds.push(r);
    }
    (y, means, rstds)
}

/// Gradients of x, w and b.
pub(crate) fn backward(dy: &[f64], x: &[f64], w: &[f64], eps: f64) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let cols = w.len();
    let (_, means, rstds) = forward(x, w, w, eps);
    let (mut dx, mut dw, mut db) = (Vec::with_capacity(x.len()), vec![0.0; cols], vec![0.0; cols]);
    for (((dy, x), m), r) in dy.chunks(cols).zip(x.chunks(cols)).zip(means).zip(rstds) {
        let xhat: Vec<f64> = x.iter().map(|v| (v - m) * r).collect();
        let g: Vec<f64> = dy.iter().zip(w).map(|(d, w)| d * w).collect();
        let mean_g = g.iter().sum::<f64>() / cols as f64;
        let mean_gx = super::dot(&g, &xhat) / cols as f64;
        dx.extend(g.iter().zip(&xhat).map(|(g, xhat)| r * (g - mean_g - xhat * mean_gx)));
        dw.iter_mut().zip(dy.iter().zip(&xhat)).for_each(|(dw, (d, xhat))| *dw += d * xhat);
        db.iter_mut().zip(dy).for_each(|(db, d)| *db += d);
    }
    (dx, dw, db)
}

#[test]
fn backward_is_the_derivative_of_forward() {
    let mut random = super::Random::new(2);
    let (x, w, b, dy) = (random.vector(15), random.vector(5), random.vector(5), random.vector(15));
    let (dx, dw, db) = backward(&dy, &x, &w, 0.3);
    super::assert_gradient("x", &x, &dx, |x| super::dot(&dy, &forward(x, &w, &b, 0.3).0));
    super::assert_gradient("w", &w, &dw, |w| super::dot(&dy, &forward(&x, w, &b, 0.3).0));
    super::assert_gradient("b", &b, &db, |b| super::dot(&dy, &forward(&x, &w, b, 0.3).0));
}
