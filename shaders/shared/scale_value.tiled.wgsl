// use: shared/dynamic_map.wgsl

/// The magnitudes that the codes of scales stand for.
var<workgroup> magnitudes: array<f32, 128>;

/// To be called by every thread first.
fn begin_magnitudes(thread: u32) {
    if (thread < 32u) {
        for (var i = thread; i < 128u; i += 32u) {
            magnitudes[i] = magnitude(i);
        }
    }
    workgroupBarrier();
}

/// What the code of a scale stands for.
fn scale_value(code: u32) -> f32 {
    return coded(code, magnitudes[code & 127u]);
}
