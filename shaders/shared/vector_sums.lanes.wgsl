// use: shared/across.wgsl
/// What a thread found: the first four numbers, and the others, of which there may be none (RANK4, which the kernel says, is 1).
struct Vectors {
    low: vec4<f32>,
    high: vec4<f32>,
}

/// For each subgroup its first four numbers, then its others, where its first lane stands.
var<workgroup> lane_vectors: array<vec4<f32>, 512>;

/// The sums over the lanes of a row, for its first lane, in an order that the device fixes. `own` is the thread's index. To be called once, by all threads
/// of the workgroup alike.
fn vector_sums(own: u32, lane: u32, of_lane: Vectors) -> Vectors {
    var sums = Vectors(sums_together(of_lane.low), of_lane.high);
    if (RANK4 > 1u) {
        sums.high = sums_together(of_lane.high);
    }
    if (LANES <= LEAST) {
        return sums;
    }
    let step = together();
    if ((lane & (step - 1u)) == 0u) {
        lane_vectors[own] = sums.low;
        lane_vectors[own + 256u] = sums.high;
    }
    workgroupBarrier();
    if (lane == 0u) {
        for (var next = step; next < LANES; next += step) {
            sums.low += lane_vectors[own + next];
            sums.high += lane_vectors[own + next + 256u];
        }
    }
    return sums;
}
