/// There is nothing to prepare where a value is chosen by the bits of its code.
fn begin_values(thread: u32) {
}

/// What four codes of 4 bits stand for; higher bits are ignored.
fn values(codes: vec4<u32>) -> vec4<f32> {
    return decoded(codes);
}
