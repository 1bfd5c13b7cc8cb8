/// What each thread found. The kernel says how many neighbouring threads share a sum, LANES, and how much workgroup memory there is, PARTS.
var<workgroup> parts: array<vec4<f32>, PARTS>;

/// The sum of `part` over the lanes that share it, for all of them, as a tree in a fixed order. To be called by all threads of the workgroup alike.
fn total(thread: u32, part: vec4<f32>) -> vec4<f32> {
    if (LANES == 1u) {
        return part;
    }
    let lane = thread % LANES;
    workgroupBarrier(); // what an earlier call left has been read
    parts[thread] = part;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            parts[thread] += parts[thread + half];
        }
    }
    workgroupBarrier();
    return parts[thread - lane];
}
