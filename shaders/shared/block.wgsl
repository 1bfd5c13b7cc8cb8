/// Threads of a workgroup across the columns.
override THREADS_X: u32 = 8u;
/// Threads of a workgroup across the rows.
override THREADS_Y: u32 = 1u;
/// Rows that a thread makes.
const THREAD_ROWS: u32 = 16u;
/// Columns that a thread makes: 16, 8 or 4.
override COLUMNS: u32 = 16u;

/// Up to 16 columns x 4 rows or 4 steps: four columns a matrix; a column of a matrix is a row (or a step) of the four columns.
struct Columns {
    c0: mat4x4<f32>, c1: mat4x4<f32>, c2: mat4x4<f32>, c3: mat4x4<f32>,
}

/// Adds four steps: `b` has the columns for each step, `a` the steps for each of the four rows.
fn products(sums: Columns, b: Columns, a: mat4x4<f32>) -> Columns {
    var s = sums;
    s.c0 += b.c0 * a;
    if (COLUMNS > 4u) {
        s.c1 += b.c1 * a;
    }
    if (COLUMNS > 8u) {
        s.c2 += b.c2 * a;
        s.c3 += b.c3 * a;
    }
    return s;
}
