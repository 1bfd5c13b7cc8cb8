/// Four consecutive weights in one storage element.
alias Weight4 = vec4<f32>;

/// The four weights of one element, as f32.
fn weight4(w: Weight4) -> vec4<f32> {
    return w;
}
