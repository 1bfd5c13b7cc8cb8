//! Rotary embedding in f64, in the rotate-half form: column i of the first half pairs with column i of the second half.

/// x is (rows, heads · head_dim); `turn(row, i)` is the cosine and the sine for pair i.
/// The backward pass is the same with negative sines.
pub(crate) fn forward(x: &[f64], heads: usize, head_dim: usize, rotary_dim: usize, turn: impl Fn(usize, usize) -> (f64, f64)) -> Vec<f64> {
    let mut y = x.to_vec();
    for (row, y) in y.chunks_mut(heads * head_dim).enumerate() {
        for head in y.chunks_mut(head_dim) {
            for i in 0..rotary_dim / 2 {
                let (a, b) = (head[i], head[i + rotary_dim / 2]);
                let (cos, sin) = turn(row, i);
                head[i] = a * cos - b * sin;
                head[i + rotary_dim / 2] = b * cos + a * sin;
            }
        }
    }
    y
}

#[test]
fn negative_sines_are_the_backward_pass() {
    let mut random = super::Random::new(3);
    let (x, dy) = (random.vector(2 * 2 * 7), random.vector(2 * 2 * 7));
    let turn = |direction: f64| {
        move |row: usize, i: usize| {
            let angle = (row + 1) as f64 * 0.7 / (i + 1) as f64;
            (1.1 * angle.cos(), direction * 1.1 * angle.sin())
        }
    };
    let dx = forward(&dy, 2, 7, 6, turn(-1.0));
    super::assert_gradient("x", &x, &dx, |x| super::dot(&dy, &forward(x, 2, 7, 6, turn(1.0))));
}
