// u = scale · x·Aᵀ for the low-rank parts of up to three linear maps of one x, on GPUs.
// Saves idle threads: A has a handful of rows, of which tiles would use an eighth. The lanes of a row share its contraction instead, with all of A's rows each.
// x is read from neighbouring addresses; A stays in the cache. z counts the maps, y eight rows of A.
// also lanes: LANES, vectors
// use: shared/low_rank.wgsl
// unchecked: every index into lane_sums is below 128 x ROWS, its size

struct Params {
    /// Rows of x and u.
    m: u32,
    /// Columns of x and A in vec4 units (their padding is zero).
    k4: u32,
    /// Row stride of x in vec4 units.
    x_stride: u32,
    /// First column of x to read, in vec4 units.
    x_column: u32,
    /// Factor of the first u.
    scale: f32,
    /// Rows of the first A, columns of its u.
    rank: u32,
    /// Where the first A begins, in vec4 units; its row stride is k4.
    a_first: u32,
    /// Where the first u begins, in vec4 units; its row stride follows from the rank.
    u_first: u32,
    /// The same for the second.
    scale_1: f32,
    /// The same for the second; 0 without one.
    rank_1: u32,
    /// The same for the second.
    a_first_1: u32,
    /// The same for the second.
    u_first_1: u32,
    /// The same for the third.
    scale_2: f32,
    /// The same for the third; 0 without one.
    rank_2: u32,
    /// The same for the third.
    a_first_2: u32,
    /// The same for the third.
    u_first_2: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
/// (m, k) input.
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
/// (rank, k) each.
@group(0) @binding(2) var<storage, read> a: array<vec4<f32>>;
/// (m, rank) each.
@group(0) @binding(3) var<storage, read_write> u: array<vec4<f32>>;

struct Map {
    scale: f32,
    rank: u32,
    a: u32,
    u: u32,
}

fn map_at(number: u32) -> Map {
    if (number == 2u) {
        return Map(params.scale_2, params.rank_2, params.a_first_2, params.u_first_2);
    }
    if (number == 1u) {
        return Map(params.scale_1, params.rank_1, params.a_first_1, params.u_first_1);
    }
    return Map(params.scale, params.rank, params.a_first, params.u_first);
}

/// Four columns of a row of x.
fn input(row: u32, k: u32) -> vec4<f32> {
    return x[min(row, params.m - 1u) * params.x_stride + params.x_column + k];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let map = map_at(group.z);
    let column = group.y * COLUMNS;
    if (column >= map.rank) {
        return;
    }
    let lane = index % LANES;
    let row = (group.x * (THREADS / LANES) + index / LANES) * ROWS;
    let last = map.rank - 1u;
    var s: Sums;
    for (var k = lane; k < params.k4; k += LANES) {
        let b0 = mat4x4<f32>(
            a[map.a + column * params.k4 + k], a[map.a + min(column + 1u, last) * params.k4 + k],
            a[map.a + min(column + 2u, last) * params.k4 + k], a[map.a + min(column + 3u, last) * params.k4 + k]);
        let b1 = mat4x4<f32>(
            a[map.a + min(column + 4u, last) * params.k4 + k], a[map.a + min(column + 5u, last) * params.k4 + k],
            a[map.a + min(column + 6u, last) * params.k4 + k], a[map.a + min(column + 7u, last) * params.k4 + k]);
        let x0 = input(row, k);
        s.r0[0] += x0 * b0;
        s.r0[1] += x0 * b1;
        if (ROWS > 1u) {
            let x1 = input(row + 1u, k);
            let x2 = input(row + 2u, k);
            let x3 = input(row + 3u, k);
            s.r1[0] += x1 * b0;
            s.r1[1] += x1 * b1;
            s.r2[0] += x2 * b0;
            s.r2[1] += x2 * b1;
            s.r3[0] += x3 * b0;
            s.r3[1] += x3 * b1;
        }
    }
    let step = add_lanes(index, lane, s);
    // Each of the first lanes writes one vec4: of row lane / 2 the first or the second four columns.
    let own_row = row + lane / 2u;
    let own_column = column + lane % 2u * 4u;
    if (lane >= 2u * ROWS || own_row >= params.m || own_column >= map.rank) {
        return;
    }
    let sum = map.scale * added(index, lane, step);
    let left = map.rank - own_column;
    let stride = (map.rank + 3u) / 4u;
    u[map.u + own_row * stride + own_column / 4u] = select(vec4<f32>(0.0), sum, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(left));
}
