// use: shared/add_lanes.wgsl
/// Lanes that share a row's contraction: 16, 32 or 64 of a workgroup's 64 threads.
override LANES: u32 = 16u;
/// Rows that a thread makes: 1 or 4.
override ROWS: u32 = 4u;
/// 128 x ROWS: elements of lane_sums.
override SUMS_MEMORY: u32 = 512u;

/// Threads of a workgroup.
const THREADS: u32 = 64u;
/// Columns of the result that a workgroup makes.
const COLUMNS: u32 = 8u;

/// What the threads hold: for each of a thread's rows two elements of four columns.
var<workgroup> lane_sums: array<vec4<f32>, SUMS_MEMORY>;

/// The sums of a thread: its up to four rows x eight columns.
struct Sums {
    r0: array<vec4<f32>, 2>,
    r1: array<vec4<f32>, 2>,
    r2: array<vec4<f32>, 2>,
    r3: array<vec4<f32>, 2>,
}

/// Leaves the sums of a thread where it stands.
fn leave(index: u32, s: Sums) {
    lane_sums[index] = s.r0[0];
    lane_sums[index + THREADS] = s.r0[1];
    if (ROWS > 1u) {
        lane_sums[index + 2u * THREADS] = s.r1[0];
        lane_sums[index + 3u * THREADS] = s.r1[1];
        lane_sums[index + 4u * THREADS] = s.r2[0];
        lane_sums[index + 5u * THREADS] = s.r2[1];
        lane_sums[index + 6u * THREADS] = s.r3[0];
        lane_sums[index + 7u * THREADS] = s.r3[1];
    }
}

/// Number `lane` of the sums of a row's lanes: of the row lane / 2 the first or the second four columns. `step` is what add_lanes answered.
fn added(index: u32, lane: u32, step: u32) -> vec4<f32> {
    let first = index - lane + lane * THREADS;
    var sum = lane_sums[first];
    for (var next = step; next < LANES; next += step) {
        sum += lane_sums[first + next];
    }
    return sum;
}
