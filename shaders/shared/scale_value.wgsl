// use: shared/dynamic_map.wgsl

/// There is nothing to prepare where a scale is computed from its code.
fn begin_magnitudes(thread: u32) {
}

/// What the code of a scale stands for.
fn scale_value(code: u32) -> f32 {
    return coded(code, magnitude(code & 127u));
}
