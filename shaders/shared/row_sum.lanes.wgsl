// use: shared/across.wgsl
/// Lanes that share one row, a power of two. LANES * ROWS <= 256.
override LANES: u32 = 64u;
/// Rows of a workgroup.
override ROWS: u32 = 4u;

/// What the subgroups of a row found, where the first lane of each stands.
var<workgroup> lane_values: array<f32, 256>;

/// Hands over what the thread's subgroup found. To be called by all threads of the workgroup alike.
fn tell(slot: u32, lane: u32, step: u32, value: f32) {
    workgroupBarrier(); // what an earlier call left has been read
    if ((lane & (step - 1u)) == 0u) {
        lane_values[slot * LANES + lane] = value;
    }
    workgroupBarrier();
}

/// Sum of `value` over the lanes of row slot `slot`, for every lane, in an order that the device fixes: the same bits every run.
/// To be called by all threads of the workgroup alike.
fn row_sum(slot: u32, lane: u32, value: f32) -> f32 {
    let part = sum_together(value);
    if (LANES <= LEAST) {
        return part;
    }
    let step = together();
    tell(slot, lane, step, part);
    var sum = 0.0;
    for (var first = 0u; first < LANES; first += step) {
        sum += lane_values[slot * LANES + first];
    }
    return sum;
}

/// Largest `value` of the lanes of row slot `slot`, for every lane. To be called by all threads of the workgroup alike.
fn row_max(slot: u32, lane: u32, value: f32) -> f32 {
    let part = largest_together(value);
    if (LANES <= LEAST) {
        return part;
    }
    let step = together();
    tell(slot, lane, step, part);
    var largest = part;
    for (var first = 0u; first < LANES; first += step) {
        largest = max(largest, lane_values[slot * LANES + first]);
    }
    return largest;
}
