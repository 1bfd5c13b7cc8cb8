// dA = tᵀ·x and dB = dyᵀ·u for the low-rank parts of up to three linear maps, on GPUs, all in one dispatch.
// Saves idle threads: one side of each result has a handful of rows or columns, of which tiles would use an eighth. Here the threads of a workgroup share the
// tokens: 32 lanes each sum up every 32nd for four columns of x (or dy) and eight of t (or u); then the lanes are added in a fixed order.
// x counts sixteen columns of x or dy, y eight of the rank, z the results: dA of each map, then dB of each.
// use: shared/step.wgsl
// use: shared/accumulate.wgsl
// unchecked: every index into lane_sums is below 4 x THREADS, its size

/// Columns of x or dy that a workgroup takes.
const WIDTH: u32 = 16u;
/// Columns of t or u that a workgroup takes.
const COLUMNS: u32 = 8u;
/// Threads of a workgroup.
const THREADS: u32 = 128u;
/// Lanes that share the tokens.
const LANES: u32 = 32u;

struct Params {
    /// Rows of all matrices that are summed over.
    m: u32,
    /// Columns of x.
    k: u32,
    /// Row stride of x in vec4 units.
    x_stride: u32,
    /// First column of x in vec4 units.
    x_column: u32,
    /// 0: the results are written, 1: they are added to, 2: as the step says, see shared/accumulate.wgsl.
    accumulate: u32,
    /// z of the first result: 0, or 3 where only dB is made.
    first: u32,
    /// Columns of the first t and u; 0 without them.
    rank: u32,
    /// Columns of the first dy.
    n: u32,
    /// Where the first dy begins, in vec4 units.
    dy_first: u32,
    /// Row stride of the first dy in vec4 units.
    dy_stride: u32,
    /// Where the first t begins, in vec4 units; its row stride follows from the rank.
    t_first: u32,
    /// Where the first u begins, in vec4 units; its row stride follows from the rank.
    u_first: u32,
    /// Where the first dA (rank, k) begins, in vec4 units.
    a_first: u32,
    /// Where the first dB (n, rank) begins, in vec4 units.
    b_first: u32,
    /// The same for the second.
    rank_1: u32,
    /// The same for the second.
    n_1: u32,
    /// The same for the second.
    dy_first_1: u32,
    /// The same for the second.
    dy_stride_1: u32,
    /// The same for the second.
    t_first_1: u32,
    /// The same for the second.
    u_first_1: u32,
    /// The same for the second.
    a_first_1: u32,
    /// The same for the second.
    b_first_1: u32,
    /// The same for the third.
    rank_2: u32,
    /// The same for the third.
    n_2: u32,
    /// The same for the third.
    dy_first_2: u32,
    /// The same for the third.
    dy_stride_2: u32,
    /// The same for the third.
    t_first_2: u32,
    /// The same for the third.
    u_first_2: u32,
    /// The same for the third.
    a_first_2: u32,
    /// The same for the third.
    b_first_2: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// (m, k) input.
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
/// (m, n) each.
@group(0) @binding(3) var<storage, read> dy: array<vec4<f32>>;
/// (m, rank) each.
@group(0) @binding(4) var<storage, read> t: array<vec4<f32>>;
/// (m, rank) each.
@group(0) @binding(5) var<storage, read> u: array<vec4<f32>>;
/// dA (rank, k) and dB (n, rank) of each map.
@group(0) @binding(6) var<storage, read_write> gradient: array<vec4<f32>>;

/// For each lane and thread of it four columns: see add_lanes.
var<workgroup> lane_sums: array<vec4<f32>, 512>;

struct Map {
    rank: u32,
    n: u32,
    dy: u32,
    dy_stride: u32,
    t: u32,
    u: u32,
    a: u32,
    b: u32,
}

fn map_at(number: u32) -> Map {
    if (number == 2u) {
        return Map(params.rank_2, params.n_2, params.dy_first_2, params.dy_stride_2, params.t_first_2, params.u_first_2, params.a_first_2, params.b_first_2);
    }
    if (number == 1u) {
        return Map(params.rank_1, params.n_1, params.dy_first_1, params.dy_stride_1, params.t_first_1, params.u_first_1, params.a_first_1, params.b_first_1);
    }
    return Map(params.rank, params.n, params.dy_first, params.dy_stride, params.t_first, params.u_first, params.a_first, params.b_first);
}

fn outer_product(c: mat4x4<f32>, a: vec4<f32>, b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        fma(a, vec4<f32>(b.x), c[0]), fma(a, vec4<f32>(b.y), c[1]),
        fma(a, vec4<f32>(b.z), c[2]), fma(a, vec4<f32>(b.w), c[3]));
}

/// Adds what the lanes hold; called by all threads alike.
fn add_lanes(index: u32, sums: mat4x4<f32>) -> mat4x4<f32> {
    workgroupBarrier(); // what an earlier call left has been read
    lane_sums[index] = sums[0];
    lane_sums[index + THREADS] = sums[1];
    lane_sums[index + 2u * THREADS] = sums[2];
    lane_sums[index + 3u * THREADS] = sums[3];
    for (var half = THREADS / 2u; half >= WIDTH / 4u; half /= 2u) {
        workgroupBarrier();
        if (index < half) {
            for (var i = index; i < 4u * THREADS; i += THREADS) {
                lane_sums[i] += lane_sums[i + half];
            }
        }
    }
    workgroupBarrier();
    let own = index % (WIDTH / 4u);
    return mat4x4<f32>(lane_sums[own], lane_sums[own + THREADS], lane_sums[own + 2u * THREADS], lane_sums[own + 3u * THREADS]);
}

fn write(at: u32, sum: vec4<f32>) {
    var value = sum;
    if (adds_to_output(params.accumulate)) {
        value += gradient[at];
    }
    gradient[at] = value;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let number = group.z + params.first;
    let of_a = number < 3u;
    let map = map_at(number % 3u);
    let column = group.y * COLUMNS;
    let width4 = select((map.n + 3u) / 4u, (params.k + 3u) / 4u, of_a);
    if (column >= map.rank || group.x * (WIDTH / 4u) >= width4) {
        return;
    }
    // Neighbouring threads read neighbouring columns of a row; then come the rows.
    let wide = group.x * (WIDTH / 4u) + index % (WIDTH / 4u);
    let rank4 = (map.rank + 3u) / 4u;
    let narrow0 = column / 4u;
    let narrow1 = min(narrow0 + 1u, rank4 - 1u);
    let read = min(wide, width4 - 1u);
    var low: mat4x4<f32>;
    var high: mat4x4<f32>;
    if (of_a) {
        for (var m = index / (WIDTH / 4u); m < params.m; m += LANES) {
            let a = x[m * params.x_stride + params.x_column + read];
            low = outer_product(low, a, t[map.t + m * rank4 + narrow0]);
            high = outer_product(high, a, t[map.t + m * rank4 + narrow1]);
        }
    } else {
        for (var m = index / (WIDTH / 4u); m < params.m; m += LANES) {
            let a = dy[map.dy + m * map.dy_stride + read];
            low = outer_product(low, a, u[map.u + m * rank4 + narrow0]);
            high = outer_product(high, a, u[map.u + m * rank4 + narrow1]);
        }
    }
    low = add_lanes(index, low);
    high = add_lanes(index, high);
    // The first threads of the first lane hold the sums: four columns of x or dy each.
    if (index >= WIDTH / 4u || wide >= width4) {
        return;
    }
    if (of_a) {
        for (var j = 0u; j < 4u; j++) {
            if (column + j < map.rank) {
                write(map.a + (column + j) * width4 + wide, low[j]);
            }
            if (column + 4u + j < map.rank) {
                write(map.a + (column + 4u + j) * width4 + wide, high[j]);
            }
        }
        return;
    }
    let rows0 = transpose(low);
    let rows1 = transpose(high);
    for (var i = 0u; i < 4u; i++) {
        let row = wide * 4u + i;
        if (row < map.n) {
            write(map.b + row * rank4 + narrow0, rows0[i]);
            if (column + 4u < map.rank) {
                write(map.b + row * rank4 + narrow0 + 1u, rows1[i]);
            }
        }
    }
}
