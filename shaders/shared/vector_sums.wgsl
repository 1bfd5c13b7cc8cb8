/// What a thread found: the first four numbers, and the others, of which there may be none (RANK4, which the kernel says, is 1).
struct Vectors {
    low: vec4<f32>,
    high: vec4<f32>,
}

/// For each thread its first four numbers, then its others.
var<workgroup> lane_vectors: array<vec4<f32>, 512>;

/// The sums over the lanes of a row, for its first lane, as a tree in a fixed order. `own` is the thread's index. To be called once, by all threads of the
/// workgroup alike.
fn vector_sums(own: u32, lane: u32, of_lane: Vectors) -> Vectors {
    lane_vectors[own] = of_lane.low;
    lane_vectors[own + 256u] = of_lane.high;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            lane_vectors[own] += lane_vectors[own + half];
            if (RANK4 > 1u) {
                lane_vectors[own + 256u] += lane_vectors[own + 256u + half];
            }
        }
    }
    return Vectors(lane_vectors[own], lane_vectors[own + 256u]);
}
