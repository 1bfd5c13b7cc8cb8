/// What one load brings (shared/linear_forward.wgsl has the name): four consecutive weights.
alias Weight4 = vec4<f32>;

/// Fours of weights in one load.
const WIDE: u32 = 1u;

/// The first four weights of a load.
fn first4(w: Weight4) -> vec4<f32> {
    return w;
}

/// The last four weights of a load.
fn last4(w: Weight4) -> vec4<f32> {
    return w;
}
