/// One number of each of the first four lanes, in every lane.
fn lanes0123(x: f32) -> vec4<f32> {
    return vec4<f32>(subgroupBroadcast(x, 0u), subgroupBroadcast(x, 1u), subgroupBroadcast(x, 2u), subgroupBroadcast(x, 3u));
}

/// One number of each of the lanes 4 to 7, in every lane.
fn lanes4567(x: f32) -> vec4<f32> {
    return vec4<f32>(subgroupBroadcast(x, 4u), subgroupBroadcast(x, 5u), subgroupBroadcast(x, 6u), subgroupBroadcast(x, 7u));
}

/// The same for u32.
fn lanes0123u(x: u32) -> vec4<u32> {
    return vec4<u32>(subgroupBroadcast(x, 0u), subgroupBroadcast(x, 1u), subgroupBroadcast(x, 2u), subgroupBroadcast(x, 3u));
}

/// The same for u32.
fn lanes4567u(x: u32) -> vec4<u32> {
    return vec4<u32>(subgroupBroadcast(x, 4u), subgroupBroadcast(x, 5u), subgroupBroadcast(x, 6u), subgroupBroadcast(x, 7u));
}
