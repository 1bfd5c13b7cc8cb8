/// Lanes that share one row, a power of two. CPU devices want one subgroup and one row a workgroup, GPUs about a quarter of
/// the row's vec4 count. LANES * ROWS <= 256.
override LANES: u32 = 64u;
/// Rows of a workgroup.
override ROWS: u32 = 4u;

// Sized for the most threads there may be: an array sized by a product of overrides trips naga 30 (it names them all).
var<workgroup> lane_values: array<f32, 256>;

/// Sum of `value` over the lanes of row slot `slot`, for every lane, in a fixed order: the same bits every run.
/// To be called by all threads of the workgroup alike.
fn row_sum(slot: u32, lane: u32, value: f32) -> f32 {
    if (LANES == 1u) {
        return value;
    }
    let own = slot * LANES + lane;
    workgroupBarrier(); // what an earlier call left has been read
    lane_values[own] = value;
    if (LANES <= 16u) {
        // On CPU devices a barrier costs more than the additions that a tree would spare.
        workgroupBarrier();
        var sum = 0.0;
        for (var i = 0u; i < LANES; i++) {
            sum += lane_values[slot * LANES + i];
        }
        return sum;
    }
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            lane_values[own] += lane_values[own + half];
        }
    }
    workgroupBarrier();
    return lane_values[slot * LANES];
}

/// Largest `value` of the lanes of row slot `slot`, for every lane. To be called by all threads of the workgroup alike.
fn row_max(slot: u32, lane: u32, value: f32) -> f32 {
    if (LANES == 1u) {
        return value;
    }
    let own = slot * LANES + lane;
    workgroupBarrier();
    lane_values[own] = value;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            lane_values[own] = max(lane_values[own], lane_values[own + half]);
        }
    }
    workgroupBarrier();
    return lane_values[slot * LANES];
}
