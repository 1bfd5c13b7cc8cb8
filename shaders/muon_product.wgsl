// C = f P Q + g D for matrices in one scratch memory, P and Q perhaps transposed: the steps of Muon's Newton-Schulz iteration.
// Saves memory: all that the iteration needs is one buffer that the matrices of the model use in turn, as many at a time as fill a GPU.
// A workgroup makes 64 x 64 of C from workgroup memory, a thread 4 x 4 in registers; sums run in one order, so the same bits every run.

/// Threads of a workgroup in each direction.
const THREADS: u32 = 16u;
/// Rows and columns of C of a workgroup.
const TILE: u32 = 64u;
/// Steps of the contraction that lie in workgroup memory at a time.
const STEPS: u32 = 16u;

/// P is stored as (k, m) rather than (m, k).
override LEFT_TRANSPOSED: bool = false;
/// Q is stored as (n, k) rather than (k, n).
override RIGHT_TRANSPOSED: bool = false;

struct Params {
    /// Rows of C.
    m: u32,
    /// Columns of C, of which each row has no padding.
    n: u32,
    /// Length of the contraction.
    k: u32,
    /// Where P begins in the scratch memory.
    left: u32,
    /// Where Q begins.
    right: u32,
    /// Where D begins, (m, n).
    added: u32,
    /// Where C begins, (m, n).
    to: u32,
    /// f.
    factor: f32,
    /// g; D is not read where it is 0.
    added_factor: f32,
    /// From the scratch memory of one product to the next's.
    scratch_apart: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> scratch: array<f32>;

/// (STEPS, TILE) of P and of Q.
var<workgroup> left_tile: array<f32, 1024>;
var<workgroup> right_tile: array<f32, 1024>;

/// Where the scratch memory of this product begins.
var<private> own: u32;

fn left(row: u32, step: u32) -> f32 {
    let inside = row < params.m && step < params.k;
    let at = select(row * params.k + step, step * params.m + row, LEFT_TRANSPOSED);
    return select(0.0, scratch[own + params.left + select(0u, at, inside)], inside);
}

fn right(step: u32, column: u32) -> f32 {
    let inside = column < params.n && step < params.k;
    let at = select(step * params.n + column, column * params.k + step, RIGHT_TRANSPOSED);
    return select(0.0, scratch[own + params.right + select(0u, at, inside)], inside);
}

fn put(row: u32, column: u32, sums: vec4<f32>) {
    for (var i = 0u; i < 4u; i++) {
        if (row < params.m && column + i < params.n) {
            let at = row * params.n + column + i;
            var value = params.factor * sums[i];
            if (params.added_factor != 0.0) {
                value += params.added_factor * scratch[own + params.added + at];
            }
            scratch[own + params.to + at] = value;
        }
    }
}

// Workgroups: x over the columns, y over the rows, z over the products.
@compute @workgroup_size(THREADS, THREADS)
fn main(
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(local_invocation_id) thread: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    own = tile.z * params.scratch_apart;
    let row = tile.y * TILE;
    let column = tile.x * TILE;
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    for (var start = 0u; start < params.k; start += STEPS) {
        for (var i = index; i < STEPS * TILE; i += THREADS * THREADS) {
            // Neighbouring threads read neighbouring numbers, whichever way the matrix is stored.
            let along = i % TILE;
            let step = i / TILE;
            if (LEFT_TRANSPOSED) {
                left_tile[i] = left(row + along, start + step);
            } else {
                left_tile[(i % STEPS) * TILE + i / STEPS] = left(row + i / STEPS, start + i % STEPS);
            }
            if (RIGHT_TRANSPOSED) {
                right_tile[(i % STEPS) * TILE + i / STEPS] = right(start + i % STEPS, column + i / STEPS);
            } else {
                right_tile[i] = right(start + step, column + along);
            }
        }
        workgroupBarrier();
        for (var step = 0u; step < STEPS; step++) {
            let p = step * TILE + thread.y * 4u;
            let q = step * TILE + thread.x * 4u;
            let b = vec4<f32>(right_tile[q], right_tile[q + 1u], right_tile[q + 2u], right_tile[q + 3u]);
            s0 = fma(vec4<f32>(left_tile[p]), b, s0);
            s1 = fma(vec4<f32>(left_tile[p + 1u]), b, s1);
            s2 = fma(vec4<f32>(left_tile[p + 2u]), b, s2);
            s3 = fma(vec4<f32>(left_tile[p + 3u]), b, s3);
        }
        workgroupBarrier();
    }
    let r = row + thread.y * 4u;
    let c = column + thread.x * 4u;
    put(r, c, s0);
    put(r + 1u, c, s1);
    put(r + 2u, c, s2);
    put(r + 3u, c, s3);
}
