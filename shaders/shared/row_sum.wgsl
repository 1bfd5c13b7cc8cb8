/// Lanes that share one row, a power of two. 1 suits CPU adapters, where a barrier costs more than it saves; GPUs want about
/// a quarter of the row's vec4 count. LANES * ROWS <= 256.
override LANES: u32 = 64u;
/// Rows of a workgroup.
override ROWS: u32 = 4u;

// Sized for the most threads there may be: an array sized by a product of overrides trips naga 30 (it names them all).
var<workgroup> lane_values: array<f32, 256>;

/// Sum of `value` over the lanes of row slot `slot`, for every lane: a tree, so the same bits every run.
/// To be called by all threads of the workgroup alike.
fn row_sum(slot: u32, lane: u32, value: f32) -> f32 {
    if (LANES == 1u) {
        return value;
    }
    let own = slot * LANES + lane;
    workgroupBarrier(); // what an earlier call left has been read
    lane_values[own] = value;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            lane_values[own] += lane_values[own + half];
        }
    }
    workgroupBarrier();
    return lane_values[slot * LANES];
}
