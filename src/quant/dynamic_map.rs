//! bitsandbytes' map of 256 values with a dynamic exponent (Dettmers, 2015, arXiv 1511.04561): for the moments of an optimiser in 8 bits, and for
//! scales that are quantised themselves.

/// Bits of the exponent at most.
const MOST_EXPONENT_BITS: u32 = 7;

/// The values that the codes stand for, ascending: a dynamic exponent, and a fraction with the bits that it leaves. The signed map has one
/// bit less for the fraction.
pub fn dynamic_map(signed: bool) -> Vec<f32> {
    let mut values = vec![0.0, 1.0];
    for exponent in 0..MOST_EXPONENT_BITS {
        let steps = 1u32 << (exponent + u32::from(!signed));
        let scale = 10f64.powi(exponent as i32 + 1 - MOST_EXPONENT_BITS as i32) as f32;
        // The middles of so many equal parts of 0.1 to 1.
        let boundary = |i: u32| boundary(i, steps);
        for i in 0..steps {
            let value = scale * ((boundary(i) + boundary(i + 1)) / 2.0);
            values.push(value);
            if signed {
                values.push(-value);
            }
        }
    }
    values.sort_by(f32::total_cmp);
    values
}

/// The boundary `i` of `steps` equal parts of 0.1 to 1, with the roundings of `torch.linspace`: the upper half is counted from the end.
fn boundary(i: u32, steps: u32) -> f32 {
    let step = (1.0f32 - 0.1f32) / steps as f32;
    if i < steps.div_ceil(2) { step.mul_add(i as f32, 0.1) } else { (-step).mul_add((steps - i) as f32, 1.0) }
}
