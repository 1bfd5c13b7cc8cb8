// use: shared/across.wgsl
/// What each subgroup found, where its first lane stands. The kernel says how many neighbouring threads share a sum, LANES, and how much workgroup memory
/// there is, PARTS.
var<workgroup> parts: array<vec4<f32>, PARTS>;

/// The sum of `part` over the lanes that share it, for all of them, in an order that the device fixes. To be called by all threads of the workgroup alike.
fn total(thread: u32, part: vec4<f32>) -> vec4<f32> {
    var sum = sums_together(part);
    if (LANES <= LEAST) {
        return sum;
    }
    let step = together();
    let lane = thread % LANES;
    workgroupBarrier(); // what an earlier call left has been read
    if ((lane & (step - 1u)) == 0u) {
        parts[thread] = sum;
    }
    workgroupBarrier();
    sum = vec4<f32>();
    for (var next = 0u; next < LANES; next += step) {
        sum += parts[thread - lane + next];
    }
    return sum;
}
