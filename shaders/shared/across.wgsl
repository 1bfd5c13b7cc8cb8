/// Lanes that every subgroup of the device has at least, a power of two.
override LEAST: u32 = 32u;
/// Lanes that a subgroup of the device has at most, a power of two.
override MOST: u32 = 32u;
/// Whether subgroups that all have one size are added up by shuffles, as the better compilers for it do, and not by the device's own operation.
override SHUFFLES: bool = false;

// The kernel says how many neighbouring threads share a sum: LANES, a power of two. They are whole subgroups (LANES >= MOST) or lie within one
// (LANES <= LEAST); for other sizes of subgroups kernels::Across does not choose this. Subgroups are neighbours by their index in the workgroup.

/// How many of the threads that share a sum are in one subgroup.
fn together() -> u32 {
    if (LANES <= LEAST) {
        return LANES;
    }
    if (LEAST == MOST) {
        return MOST;
    }
    return subgroupAdd(1u);
}

/// Sum of `value` over those threads of a sum that are in one subgroup, for each of them. To be called by all threads of the workgroup alike.
fn sum_together(value: f32) -> f32 {
    if (LANES >= MOST && !(SHUFFLES && LEAST == MOST)) {
        return subgroupAdd(value);
    }
    var sum = value;
    for (var apart = 1u; apart < min(LANES, MOST); apart *= 2u) {
        sum += subgroupShuffleXor(sum, apart);
    }
    return sum;
}

/// The largest instead of the sum.
fn largest_together(value: f32) -> f32 {
    if (LANES >= MOST && !(SHUFFLES && LEAST == MOST)) {
        return subgroupMax(value);
    }
    var largest = value;
    for (var apart = 1u; apart < min(LANES, MOST); apart *= 2u) {
        largest = max(largest, subgroupShuffleXor(largest, apart));
    }
    return largest;
}

/// Sums of four numbers.
fn sums_together(value: vec4<f32>) -> vec4<f32> {
    if (LANES >= MOST && !(SHUFFLES && LEAST == MOST)) {
        return subgroupAdd(value);
    }
    var sum = value;
    for (var apart = 1u; apart < min(LANES, MOST); apart *= 2u) {
        sum += subgroupShuffleXor(sum, apart);
    }
    return sum;
}

/// The largest of each of four numbers.
fn all_largest_together(value: vec4<f32>) -> vec4<f32> {
    if (LANES >= MOST && !(SHUFFLES && LEAST == MOST)) {
        return subgroupMax(value);
    }
    var largest = value;
    for (var apart = 1u; apart < min(LANES, MOST); apart *= 2u) {
        largest = max(largest, subgroupShuffleXor(largest, apart));
    }
    return largest;
}
