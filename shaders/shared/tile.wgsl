/// Rows, and columns, that a thread owns.
const SIDE: u32 = 8u;
/// Threads of a workgroup across the columns.
override THREADS_X: u32 = 8u;
/// Threads of a workgroup across the rows.
override THREADS_Y: u32 = 8u;
/// 32 x THREADS_Y: elements of row_tile.
override ROW_MEMORY: u32 = 256u;
/// 32 x THREADS_X: elements of column_tile.
override COLUMN_MEMORY: u32 = 256u;

/// Sixteen steps of the contraction, for each the rows of the tile, four an element.
var<workgroup> row_tile: array<vec4<f32>, ROW_MEMORY>;
/// Sixteen steps of the contraction, for each the columns of the tile, four an element.
var<workgroup> column_tile: array<vec4<f32>, COLUMN_MEMORY>;

/// The 8 x 8 sums of a thread: four rows x four columns a matrix. The second four rows and columns lie half a tile on,
/// so that neighbouring threads read neighbouring elements.
struct Sums {
    c00: mat4x4<f32>, c01: mat4x4<f32>, c10: mat4x4<f32>, c11: mat4x4<f32>,
}

fn outer_product(c: mat4x4<f32>, a: vec4<f32>, b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        fma(a, vec4<f32>(b.x), c[0]), fma(a, vec4<f32>(b.y), c[1]),
        fma(a, vec4<f32>(b.z), c[2]), fma(a, vec4<f32>(b.w), c[3]));
}

/// Adds the sixteen steps that lie in workgroup memory.
fn multiply(sums: Sums, thread: vec3<u32>) -> Sums {
    var s = sums;
    for (var step = 0u; step < 16u; step++) {
        let row = step * 2u * THREADS_Y + thread.y;
        let column = step * 2u * THREADS_X + thread.x;
        let a0 = row_tile[row];
        let a1 = row_tile[row + THREADS_Y];
        let b0 = column_tile[column];
        let b1 = column_tile[column + THREADS_X];
        s.c00 = outer_product(s.c00, a0, b0);
        s.c01 = outer_product(s.c01, a0, b1);
        s.c10 = outer_product(s.c10, a1, b0);
        s.c11 = outer_product(s.c11, a1, b1);
    }
    return s;
}
