/// What the codes stand for: a look-up in workgroup memory takes fewer registers than choosing between the values does.
var<workgroup> table: array<f32, 16>;

/// To be called by every thread first.
fn begin_values(thread: u32) {
    if (thread < 4u) {
        let four = decoded(4u * thread + vec4<u32>(0u, 1u, 2u, 3u));
        table[4u * thread] = four.x;
        table[4u * thread + 1u] = four.y;
        table[4u * thread + 2u] = four.z;
        table[4u * thread + 3u] = four.w;
    }
    workgroupBarrier();
}

/// What four codes of 4 bits stand for; higher bits are ignored.
fn values(codes: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(table[codes.x & 15u], table[codes.y & 15u], table[codes.z & 15u], table[codes.w & 15u]);
}
