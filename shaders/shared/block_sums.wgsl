/// The largest `score` of each head, for all threads of the workgroup, of which there are BLOCK. To be called by all of them alike.
fn block_max(thread: u32, score: vec4<f32>) -> vec4<f32> {
    parts[thread] = score;
    for (var half = BLOCK / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (thread < half) {
            parts[thread] = max(parts[thread], parts[thread + half]);
        }
    }
    workgroupBarrier();
    return parts[0];
}

/// The sum of `scores`, of which each thread just wrote its own: every thread adds all up, in the same order. To be called by all threads alike.
fn block_sum(thread: u32) -> vec4<f32> {
    workgroupBarrier();
    var sum = vec4<f32>(0.0);
    for (var n = 0u; n < BLOCK; n++) {
        sum += scores[n];
    }
    return sum;
}
