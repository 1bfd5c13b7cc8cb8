// The kernel says how many threads its workgroup has: WORKGROUP, a power of two.
var<workgroup> sums: array<f32, WORKGROUP>;

/// Sum of `value` over all threads, for every one of them, as a tree in a fixed order; called by all threads alike.
fn total(lane: u32, value: f32) -> f32 {
    workgroupBarrier(); // what an earlier call left has been read
    sums[lane] = value;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            sums[lane] += sums[lane + half];
        }
    }
    workgroupBarrier();
    return sums[0];
}
