/// Adds the sums of a row's lanes up, as a tree in a fixed order, and leaves them where the first lane's were. How many lanes are together in one of the
/// sums that it leaves: all.
fn add_lanes(index: u32, lane: u32, s: Sums) -> u32 {
    leave(index, s);
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            for (var i = index; i < SUMS_MEMORY; i += THREADS) {
                lane_sums[i] += lane_sums[i + half];
            }
        }
    }
    workgroupBarrier();
    return LANES;
}
