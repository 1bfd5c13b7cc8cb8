// t = scale · dy·B for the low-rank parts of up to three linear maps, on GPUs: the gradient of x·Aᵀ.
// Saves idle threads: B has a handful of columns, of which tiles would use an eighth. The lanes of a row share its contraction instead, with all of B's columns each.
// dy is read from neighbouring addresses; B stays in the cache. z counts the maps, y eight columns of B.
// also lanes: LANES, vectors
// use: shared/low_rank.wgsl
// unchecked: every index into lane_sums is below 128 x ROWS, its size

struct Params {
    /// Rows of dy and t.
    m: u32,
    /// Factor of the first t.
    scale: f32,
    /// Columns of the first B, and of its t; 0 without one.
    rank: u32,
    /// Columns of the first dy, rows of its B.
    n: u32,
    /// Where the first dy begins, in vec4 units. The columns after the last one, up to a multiple of four, must be zero.
    dy_first: u32,
    /// Row stride of the first dy in vec4 units.
    dy_stride: u32,
    /// Where the first B begins, in vec4 units; its row stride follows from the rank.
    b_first: u32,
    /// Where the first t begins, in vec4 units; its row stride follows from the rank.
    t_first: u32,
    /// The same for the second.
    scale_1: f32,
    /// The same for the second; 0 without one.
    rank_1: u32,
    /// The same for the second.
    n_1: u32,
    /// The same for the second.
    dy_first_1: u32,
    /// The same for the second.
    dy_stride_1: u32,
    /// The same for the second.
    b_first_1: u32,
    /// The same for the second.
    t_first_1: u32,
    /// The same for the third.
    scale_2: f32,
    /// The same for the third; 0 without one.
    rank_2: u32,
    /// The same for the third.
    n_2: u32,
    /// The same for the third.
    dy_first_2: u32,
    /// The same for the third.
    dy_stride_2: u32,
    /// The same for the third.
    b_first_2: u32,
    /// The same for the third.
    t_first_2: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
/// (m, n) each.
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
/// (n, rank) each.
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
/// (m, rank) each.
@group(0) @binding(3) var<storage, read_write> t: array<vec4<f32>>;

struct Map {
    scale: f32,
    rank: u32,
    n: u32,
    dy: u32,
    dy_stride: u32,
    b: u32,
    t: u32,
}

fn map_at(number: u32) -> Map {
    if (number == 2u) {
        return Map(params.scale_2, params.rank_2, params.n_2, params.dy_first_2, params.dy_stride_2, params.b_first_2, params.t_first_2);
    }
    if (number == 1u) {
        return Map(params.scale_1, params.rank_1, params.n_1, params.dy_first_1, params.dy_stride_1, params.b_first_1, params.t_first_1);
    }
    return Map(params.scale, params.rank, params.n, params.dy_first, params.dy_stride, params.b_first, params.t_first);
}

/// Four columns of a row of dy.
fn gradient(map: Map, row: u32, n: u32) -> vec4<f32> {
    return dy[map.dy + min(row, params.m - 1u) * map.dy_stride + n];
}

/// Four rows of B, of each the four columns from `column` on.
fn factors(map: Map, n: u32, column: u32) -> mat4x4<f32> {
    let stride = (map.rank + 3u) / 4u;
    let at = map.b + min(column / 4u, stride - 1u);
    let last = map.n - 1u;
    return mat4x4<f32>(
        b[at + min(4u * n, last) * stride], b[at + min(4u * n + 1u, last) * stride],
        b[at + min(4u * n + 2u, last) * stride], b[at + min(4u * n + 3u, last) * stride]);
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
    let n4 = (map.n + 3u) / 4u;
    var s: Sums;
    for (var n = lane; n < n4; n += LANES) {
        let b0 = factors(map, n, column);
        let b1 = factors(map, n, column + 4u);
        let d0 = gradient(map, row, n);
        s.r0[0] += b0 * d0;
        s.r0[1] += b1 * d0;
        if (ROWS > 1u) {
            let d1 = gradient(map, row + 1u, n);
            let d2 = gradient(map, row + 2u, n);
            let d3 = gradient(map, row + 3u, n);
            s.r1[0] += b0 * d1;
            s.r1[1] += b1 * d1;
            s.r2[0] += b0 * d2;
            s.r2[1] += b1 * d2;
            s.r3[0] += b0 * d3;
            s.r3[1] += b1 * d3;
        }
    }
    let step = add_lanes(index, lane, s);
    // Each of the first lanes writes one vec4: of row lane / 2 the first or the second four columns. B's padding is zero, and so is t's.
    let own_row = row + lane / 2u;
    let own_column = column + lane % 2u * 4u;
    if (lane >= 2u * ROWS || own_row >= params.m || own_column >= map.rank) {
        return;
    }
    t[map.t + own_row * ((map.rank + 3u) / 4u) + own_column / 4u] = map.scale * added(index, lane, step);
}
