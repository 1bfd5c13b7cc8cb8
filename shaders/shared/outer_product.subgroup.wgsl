/// Lanes of a subgroup, which is a workgroup: 8 or 16.
override LANES: u32 = 8u;

/// The sums of a lane: its 4 rows x 32 columns; one matrix holds four columns, a column of the output in each of its columns.
struct Sums {
    c0: mat4x4<f32>, c1: mat4x4<f32>, c2: mat4x4<f32>, c3: mat4x4<f32>,
    c4: mat4x4<f32>, c5: mat4x4<f32>, c6: mat4x4<f32>, c7: mat4x4<f32>,
}

/// Adds four steps of the contraction: `a` has the four rows of this lane for each step, b0 to b3 have for one step each four columns a lane.
fn outer_products(s: Sums, a: mat4x4<f32>, b0: vec4<f32>, b1: vec4<f32>, b2: vec4<f32>, b3: vec4<f32>) -> Sums {
    return Sums(
        s.c0 + a * transpose(mat4x4<f32>(subgroupBroadcast(b0, 0u), subgroupBroadcast(b1, 0u), subgroupBroadcast(b2, 0u), subgroupBroadcast(b3, 0u))),
        s.c1 + a * transpose(mat4x4<f32>(subgroupBroadcast(b0, 1u), subgroupBroadcast(b1, 1u), subgroupBroadcast(b2, 1u), subgroupBroadcast(b3, 1u))),
        s.c2 + a * transpose(mat4x4<f32>(subgroupBroadcast(b0, 2u), subgroupBroadcast(b1, 2u), subgroupBroadcast(b2, 2u), subgroupBroadcast(b3, 2u))),
        s.c3 + a * transpose(mat4x4<f32>(subgroupBroadcast(b0, 3u), subgroupBroadcast(b1, 3u), subgroupBroadcast(b2, 3u), subgroupBroadcast(b3, 3u))),
        s.c4 + a * transpose(mat4x4<f32>(subgroupBroadcast(b0, 4u), subgroupBroadcast(b1, 4u), subgroupBroadcast(b2, 4u), subgroupBroadcast(b3, 4u))),
        s.c5 + a * transpose(mat4x4<f32>(subgroupBroadcast(b0, 5u), subgroupBroadcast(b1, 5u), subgroupBroadcast(b2, 5u), subgroupBroadcast(b3, 5u))),
        s.c6 + a * transpose(mat4x4<f32>(subgroupBroadcast(b0, 6u), subgroupBroadcast(b1, 6u), subgroupBroadcast(b2, 6u), subgroupBroadcast(b3, 6u))),
        s.c7 + a * transpose(mat4x4<f32>(subgroupBroadcast(b0, 7u), subgroupBroadcast(b1, 7u), subgroupBroadcast(b2, 7u), subgroupBroadcast(b3, 7u))));
}

/// The same with the columns of the lanes 8 to 15.
fn outer_products8(s: Sums, a: mat4x4<f32>, b0: vec4<f32>, b1: vec4<f32>, b2: vec4<f32>, b3: vec4<f32>) -> Sums {
    return Sums(
        s.c0 + a * transpose(mat4x4<f32>(subgroupBroadcast(b0, 8u), subgroupBroadcast(b1, 8u), subgroupBroadcast(b2, 8u), subgroupBroadcast(b3, 8u))),
        s.c1 + a * transpose(mat4x4<f32>(subgroupBroadcast(b0, 9u), subgroupBroadcast(b1, 9u), subgroupBroadcast(b2, 9u), subgroupBroadcast(b3, 9u))),
        s.c2 + a * transpose(mat4x4<f32>(subgroupBroadcast(b0, 10u), subgroupBroadcast(b1, 10u), subgroupBroadcast(b2, 10u), subgroupBroadcast(b3, 10u))),
        s.c3 + a * transpose(mat4x4<f32>(subgroupBroadcast(b0, 11u), subgroupBroadcast(b1, 11u), subgroupBroadcast(b2, 11u), subgroupBroadcast(b3, 11u))),
        s.c4 + a * transpose(mat4x4<f32>(subgroupBroadcast(b0, 12u), subgroupBroadcast(b1, 12u), subgroupBroadcast(b2, 12u), subgroupBroadcast(b3, 12u))),
        s.c5 + a * transpose(mat4x4<f32>(subgroupBroadcast(b0, 13u), subgroupBroadcast(b1, 13u), subgroupBroadcast(b2, 13u), subgroupBroadcast(b3, 13u))),
        s.c6 + a * transpose(mat4x4<f32>(subgroupBroadcast(b0, 14u), subgroupBroadcast(b1, 14u), subgroupBroadcast(b2, 14u), subgroupBroadcast(b3, 14u))),
        s.c7 + a * transpose(mat4x4<f32>(subgroupBroadcast(b0, 15u), subgroupBroadcast(b1, 15u), subgroupBroadcast(b2, 15u), subgroupBroadcast(b3, 15u))));
}

/// The same for at most 8 columns, of which one load fetches all four steps: lane 2 s has the first four columns of step s, lane 2 s + 1 the others.
fn narrow_products(s: Sums, a: mat4x4<f32>, b: vec4<f32>) -> Sums {
    var sums = s;
    sums.c0 += a * transpose(mat4x4<f32>(subgroupBroadcast(b, 0u), subgroupBroadcast(b, 2u), subgroupBroadcast(b, 4u), subgroupBroadcast(b, 6u)));
    sums.c1 += a * transpose(mat4x4<f32>(subgroupBroadcast(b, 1u), subgroupBroadcast(b, 3u), subgroupBroadcast(b, 5u), subgroupBroadcast(b, 7u)));
    return sums;
}
