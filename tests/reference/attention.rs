//! Attention, one query and one head at a time.

use std::ops::Range;

use super::dot;

/// A layer's configuration and the batch's sequences.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) scale: f64,
    pub(crate) softcap: Option<f64>,
    pub(crate) window: Option<usize>,
    /// First key of each query token's sequence.
    pub(crate) starts: Vec<usize>,
    /// Index of the first query among the keys.
    pub(crate) position: usize,
}

/// What one query of one head computes on its way.
struct Row {
    keys: Range<usize>,
    /// Scores after the softcap, and the probabilities.
    scores: Vec<f64>,
    p: Vec<f64>,
}

impl Attention {
    fn queries(&self) -> impl Iterator<Item = (usize, usize)> {
        let heads = self.heads;
        (0..self.starts.len()).flat_map(move |i| (0..heads).map(move |h| (i, h)))
    }

    /// The floats of a query's head in q and o.
    fn at(&self, i: usize, head: usize) -> Range<usize> {
        let first = (i * self.heads + head) * self.head_dim;
        first..first + self.head_dim
    }

    /// The floats that query head `head` sees of key j, in k and v.
    fn key_at(&self, j: usize, head: usize) -> Range<usize> {
        let first = (j * self.kv_heads + head / (self.heads / self.kv_heads)) * self.head_dim;
        first..first + self.head_dim
    }

    fn row(&self, q: &[f64], k: &[f64], i: usize, head: usize) -> Row {
        let index = self.position + i;
        let in_window = self.window.map_or(0, |w| (index + 1).saturating_sub(w));
        let keys = self.starts[i].max(in_window)..index + 1;
        let score = |j| {
            let score = self.scale * dot(&q[self.at(i, head)], &k[self.key_at(j, head)]);
            self.softcap.map_or(score, |cap| cap * (score / cap).tanh())
        };
        let scores: Vec<f64> = keys.clone().map(score).collect();
        let highest = scores.iter().copied().fold(f64::MIN, f64::max);
        let e: Vec<f64> = scores.iter().map(|s| (s - highest).exp()).collect();
        let sum: f64 = e.iter().sum();
        Row { keys, scores, p: e.iter().map(|e| e / sum).collect() }
    }

    /// o, like q.
    pub(crate) fn forward(&self, q: &[f64], k: &[f64], v: &[f64]) -> Vec<f64> {
        let mut o = vec![0.0; q.len()];
        for (i, head) in self.queries() {
            let row = self.row(q, k, i, head);
            for (j, p) in row.keys.zip(&row.p) {
                for (o, v) in o[self.at(i, head)].iter_mut().zip(&v[self.key_at(j, head)]) {
                    *o += p * v;
                }
            }
        }
        o
    }

    /// Gradients of q, k and v.
    pub(crate) fn backward(&self, d_o: &[f64], q: &[f64], k: &[f64], v: &[f64]) -> [Vec<f64>; 3] {
        let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
        for (i, head) in self.queries() {
            let row = self.row(q, k, i, head);
            let own = self.at(i, head);
            let dp: Vec<f64> = row.keys.clone().map(|j| dot(&d_o[own.clone()], &v[self.key_at(j, head)])).collect();
            let mean = dot(&row.p, &dp);
            for (n, j) in row.keys.enumerate() {
                let slope = self.softcap.map_or(1.0, |cap| 1.0 - (row.scores[n] / cap).powi(2));
                let ds = row.p[n] * (dp[n] - mean) * slope * self.scale;
                let key = self.key_at(j, head);
                for x in 0..self.head_dim {
                    dq[own.start + x] += ds * k[key.start + x];
                    dk[key.start + x] += ds * q[own.start + x];
                    dv[key.start + x] += row.p[n] * d_o[own.start + x];
                }
            }
        }
        [dq, dk, dv]
    }
}

#[test]
fn backward_is_the_derivative_of_forward() {
    let mut random = super::Random::new(11);
    for (softcap, window) in [(None, None), (Some(1.5), None), (None, Some(2)), (Some(2.0), Some(3))] {
        let a =
            Attention { heads: 4, kv_heads: 2, head_dim: 4, scale: 0.7, softcap, window, starts: vec![0, 0, 0, 0, 4, 4, 4], position: 0 };
        let (q, k, v, d_o) = (random.vector(7 * 16), random.vector(7 * 8), random.vector(7 * 8), random.vector(7 * 16));
        let [dq, dk, dv] = a.backward(&d_o, &q, &k, &v);
        super::assert_gradient("q", &q, &dq, |q| dot(&a.forward(q, &k, &v), &d_o));
        super::assert_gradient("k", &k, &dk, |k| dot(&a.forward(&q, k, &v), &d_o));
        super::assert_gradient("v", &v, &dv, |v| dot(&a.forward(&q, &k, v), &d_o));
    }
}

#[test]
fn one_key_gives_its_value() {
    let a = Attention { heads: 2, kv_heads: 1, head_dim: 4, scale: 0.5, softcap: None, window: Some(1), starts: vec![0, 0], position: 0 };
    let mut random = super::Random::new(12);
    let (q, k, v) = (random.vector(16), random.vector(8), random.vector(8));
    assert_eq!(a.forward(&q, &k, &v), [&v[..4], &v[..4], &v[4..], &v[4..]].concat());
}
