// use: shared/across.wgsl
/// Adds the sums of those of a row's lanes up that are in one subgroup, in an order that the device fixes, and leaves them where the first lane's of the
/// subgroup were. How many lanes are together in one of the sums that it leaves.
fn add_lanes(index: u32, lane: u32, of_thread: Sums) -> u32 {
    var s = of_thread;
    s.r0[0] = sums_together(s.r0[0]);
    s.r0[1] = sums_together(s.r0[1]);
    if (ROWS > 1u) {
        s.r1[0] = sums_together(s.r1[0]);
        s.r1[1] = sums_together(s.r1[1]);
        s.r2[0] = sums_together(s.r2[0]);
        s.r2[1] = sums_together(s.r2[1]);
        s.r3[0] = sums_together(s.r3[0]);
        s.r3[1] = sums_together(s.r3[1]);
    }
    let step = together();
    if ((lane & (step - 1u)) == 0u) {
        leave(index, s);
    }
    workgroupBarrier();
    return step;
}
