// use: shared/across.wgsl
/// Hands over what the thread's subgroup found. To be called by all threads alike.
fn tell(thread: u32, step: u32, value: vec4<f32>) {
    if ((thread & (step - 1u)) == 0u) {
        parts[thread] = value;
    }
    workgroupBarrier();
}

/// The largest `score` of each head, for all threads of the workgroup, of which there are BLOCK. To be called by all of them alike.
fn block_max(thread: u32, score: vec4<f32>) -> vec4<f32> {
    var largest = all_largest_together(score);
    if (LANES <= LEAST) {
        return largest;
    }
    let step = together();
    tell(thread, step, largest);
    for (var next = 0u; next < LANES; next += step) {
        largest = max(largest, parts[next]);
    }
    workgroupBarrier(); // read by all, before block_sum writes
    return largest;
}

/// The sum of `scores`, of which each thread just wrote its own, in an order that the device fixes. To be called by all threads alike.
fn block_sum(thread: u32) -> vec4<f32> {
    var sum = sums_together(scores[thread]);
    let step = together();
    tell(thread, step, sum);
    if (LANES <= LEAST) {
        return sum;
    }
    sum = vec4<f32>(0.0);
    for (var next = 0u; next < LANES; next += step) {
        sum += parts[next];
    }
    workgroupBarrier(); // read by all, before parts are written again
    return sum;
}
