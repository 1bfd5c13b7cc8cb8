//! A linear map with an adapter: y = x·Wᵀ + s·(x̃·Aᵀ)·Bᵀ + b with x̃ = x ∘ mask; with magnitudes (DoRA, as PEFT computes it)
//! y = g ∘ (x̃·Wᵀ + s·(x̃·Aᵀ)·Bᵀ) + (x − x̃)·Wᵀ + b, g = magnitude / ‖W + s·B·A‖, the length a constant in the gradient.

use super::linear::{add, forward as linear, times, times_transposed, transposed_times};

/// The layer's numbers: W (N, K), A (r, K), B (N, r).
pub(crate) struct Layer {
    pub(crate) k: usize,
    pub(crate) rank: usize,
    pub(crate) w: Vec<f64>,
    pub(crate) a: Vec<f64>,
    pub(crate) b: Vec<f64>,
    pub(crate) bias: Option<Vec<f64>>,
    pub(crate) magnitude: Option<Vec<f64>>,
    pub(crate) scale: f64,
    /// (M, K): 0 where x is dropped on its way to A, 1 / (1 − p) elsewhere.
    pub(crate) mask: Vec<f64>,
}

pub(crate) struct Gradients {
    pub(crate) x: Vec<f64>,
    pub(crate) a: Vec<f64>,
    pub(crate) b: Vec<f64>,
    pub(crate) magnitude: Option<Vec<f64>>,
}

fn by_element(x: &[f64], y: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    x.iter().zip(y.iter().cycle()).map(|(x, y)| f(*x, *y)).collect()
}

impl Layer {
    /// One over the length of each row of W + s·B·A.
    pub(crate) fn inverse_norms(&self) -> Vec<f64> {
        let change = times(&self.b, &self.a, self.rank);
        let whole = by_element(&self.w, &change, |w, c| w + self.scale * c);
        whole.chunks(self.k).map(|row| 1.0 / row.iter().map(|x| x * x).sum::<f64>().sqrt()).collect()
    }

    /// x̃·Wᵀ + s·(x̃·Aᵀ)·Bᵀ.
    fn product(&self, dropped: &[f64]) -> Vec<f64> {
        let narrow: Vec<f64> = times_transposed(dropped, &self.a, self.k).iter().map(|u| u * self.scale).collect();
        let mut z = times_transposed(dropped, &self.w, self.k);
        add(&mut z, &times_transposed(&narrow, &self.b, self.rank));
        z
    }

    /// `inverse` are the lengths, which the gradient takes for constants.
    pub(crate) fn forward(&self, x: &[f64], inverse: &[f64]) -> Vec<f64> {
        let dropped = by_element(x, &self.mask, |x, m| x * m);
        let rest = by_element(x, &dropped, |x, d| x - d);
        let mut y = self.product(&dropped);
        if let Some(magnitude) = &self.magnitude {
            y = by_element(&y, &by_element(magnitude, inverse, |m, i| m * i), |z, g| z * g);
        }
        add(&mut y, &linear(&rest, &self.w, self.bias.as_deref(), self.k));
        y
    }

    pub(crate) fn backward(&self, dy: &[f64], x: &[f64], inverse: &[f64]) -> Gradients {
        let n = self.w.len() / self.k;
        let dropped = by_element(x, &self.mask, |x, m| x * m);
        let (mut dz, mut magnitude) = (dy.to_vec(), None);
        if let Some(m) = &self.magnitude {
            dz = by_element(dy, &by_element(m, inverse, |m, i| m * i), |d, g| d * g);
            let mut sum = vec![0.0; n];
            let by_row = by_element(&by_element(dy, &self.product(&dropped), |d, z| d * z), inverse, |d, i| d * i);
            by_row.chunks(n).for_each(|row| add(&mut sum, row));
            magnitude = Some(sum);
        }
        let t: Vec<f64> = times(&dz, &self.b, n).iter().map(|t| t * self.scale).collect();
        let u: Vec<f64> = times_transposed(&dropped, &self.a, self.k).iter().map(|u| u * self.scale).collect();
        let mut through = times(&dz, &self.w, n);
        add(&mut through, &times(&t, &self.a, self.rank));
        let mut dx = by_element(&through, &self.mask, |d, m| d * m);
        let straight = by_element(&times(dy, &self.w, n), &self.mask, |d, m| d * (1.0 - m));
        add(&mut dx, &straight);
        Gradients { x: dx, a: transposed_times(&t, &dropped, self.rank), b: transposed_times(&dz, &u, n), magnitude }
    }
}

#[test]
fn backward_is_the_derivative_of_forward() {
    let (m, n, k, rank) = (3, 5, 4, 2);
    let mut random = super::Random::new(15);
    for dora in [false, true] {
        let mut layer = Layer {
            k,
            rank,
            w: random.vector(n * k),
            a: random.vector(rank * k),
            b: random.vector(n * rank),
            bias: Some(random.vector(n)),
            magnitude: dora.then(|| random.vector(n)),
            scale: 1.7,
            mask: (0..m * k).map(|i| if i % 3 == 0 { 0.0 } else { 1.5 }).collect(),
        };
        let (x, dy) = (random.vector(m * k), random.vector(m * n));
        let inverse = layer.inverse_norms();
        let g = layer.backward(&dy, &x, &inverse);
        super::assert_gradient("x", &x, &g.x, |x| super::dot(&dy, &layer.forward(x, &inverse)));
        let loss = |layer: &Layer| super::dot(&dy, &layer.forward(&x, &inverse));
        for (what, gradient) in [("a", Some(&g.a)), ("b", Some(&g.b)), ("magnitude", g.magnitude.as_ref())] {
            let Some(gradient) = gradient else { continue };
            let at = match what {
                "a" => layer.a.clone(),
                "b" => layer.b.clone(),
                _ => layer.magnitude.clone().unwrap_or_default(),
            };
            let moved = std::cell::RefCell::new(&mut layer);
            super::assert_gradient(what, &at, gradient, |v| {
                let layer = &mut **moved.borrow_mut();
                match what {
                    "a" => layer.a = v.to_vec(),
                    "b" => layer.b = v.to_vec(),
                    _ => layer.magnitude = Some(v.to_vec()),
                }
                loss(layer)
            });
            match what {
                "a" => layer.a = at,
                "b" => layer.b = at,
                _ => layer.magnitude = Some(at),
            }
        }
    }
}
