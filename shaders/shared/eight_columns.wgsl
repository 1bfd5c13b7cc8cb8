// use: shared/runs.wgsl
/// Columns of a workgroup, in vec4 units: neighbours, so that a row's reads lie together.
const COLUMNS: u32 = 8u;
/// Threads that share a column.
const THREADS: u32 = 32u;

alias Number = vec4<f32>;

var<workgroup> column_sums: array<vec4<f32>, 256>;

/// What `number(row, column)` of the rows from `first` on, below `end`, add up to, in the threads that come first in their column. To be called by all
/// threads of a workgroup alike.
fn column_total(thread: vec2<u32>, first: u32, end: u32, column: u32) -> vec4<f32> {
    let own = thread.y * COLUMNS + thread.x;
    column_sums[own] = sum_in_runs(first + thread.y, end, THREADS, column);
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (thread.y < half) {
            column_sums[own] += column_sums[own + half * COLUMNS];
        }
    }
    return column_sums[own];
}
