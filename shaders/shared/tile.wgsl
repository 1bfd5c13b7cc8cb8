// use: shared/tile_{TILE}.wgsl

/// Threads of a workgroup across the columns, a multiple of 8.
override THREADS_X: u32 = 8u;
/// Threads of a workgroup across the rows, a multiple of 8.
override THREADS_Y: u32 = 8u;
/// Blocks of four rows that a thread makes: 1 or 2.
override ROW_BLOCKS: u32 = 2u;
/// Blocks of four columns that a thread makes: 1 or 2.
override COLUMN_BLOCKS: u32 = 2u;
/// Steps of the contraction that lie in workgroup memory at a time: 8 or 16.
override STEPS: u32 = 16u;
/// Whether the inner loop's four steps are written out.
override UNROLL: bool = false;
/// Whether the next steps are loaded into registers while these are multiplied: 32 registers more.
override PREFETCH: bool = false;
/// STEPS x ROW_BLOCKS x THREADS_Y: elements of row_tile.
override ROW_MEMORY: u32 = 256u;
/// STEPS x COLUMN_BLOCKS x THREADS_X: elements of column_tile.
override COLUMN_MEMORY: u32 = 256u;

/// For each step the rows of the tile, four an element.
var<workgroup> row_tile: array<Tile, ROW_MEMORY>;
/// For each step the columns of the tile, four an element.
var<workgroup> column_tile: array<Tile, COLUMN_MEMORY>;

/// Elements that are transposed on their way in are stored four steps apart by neighbouring threads. In the steps 4 q to 4 q + 3 the lowest
/// bits of their place are turned over by SWIZZLE q, so that eight neighbours meet eight different banks.
const SWIZZLE: u32 = 2u;
/// For what is not transposed.
const STRAIGHT: u32 = 0u;

/// The up to 8 x 8 sums of a thread: four rows x four columns a matrix. The second four rows and columns lie half a tile on,
/// so that neighbouring threads read neighbouring elements.
struct Sums {
    c00: mat4x4<f32>, c01: mat4x4<f32>, c10: mat4x4<f32>, c11: mat4x4<f32>,
}

/// Rows of a workgroup's tile.
fn tile_rows() -> u32 {
    return 4u * ROW_BLOCKS * THREADS_Y;
}

/// Columns of a workgroup's tile.
fn tile_columns() -> u32 {
    return 4u * COLUMN_BLOCKS * THREADS_X;
}

/// Stores four rows x four steps. The thread's number says which: four rows each, then four steps each fastest.
fn put_rows(index: u32, block: mat4x4<f32>) {
    let pitch = ROW_BLOCKS * THREADS_Y;
    let step = index % (STEPS / 4u);
    let group = index / (STEPS / 4u);
    if (group < pitch) {
        let t = transpose(block);
        let at = step * 4u * pitch + (group ^ (SWIZZLE * step));
        row_tile[at] = to_tile(t[0]);
        row_tile[at + pitch] = to_tile(t[1]);
        row_tile[at + 2u * pitch] = to_tile(t[2]);
        row_tile[at + 3u * pitch] = to_tile(t[3]);
    }
}

/// Stores four columns x four steps alike.
fn put_columns(index: u32, block: mat4x4<f32>) {
    let pitch = COLUMN_BLOCKS * THREADS_X;
    let step = index % (STEPS / 4u);
    let group = index / (STEPS / 4u);
    if (group < pitch) {
        let t = transpose(block);
        let at = step * 4u * pitch + (group ^ (SWIZZLE * step));
        column_tile[at] = to_tile(t[0]);
        column_tile[at + pitch] = to_tile(t[1]);
        column_tile[at + 2u * pitch] = to_tile(t[2]);
        column_tile[at + 3u * pitch] = to_tile(t[3]);
    }
}

/// Stores up to four elements of rows that lie as the inner loop wants them, a workgroup's width apart.
fn put_straight_rows(index: u32, block: mat4x4<f32>) {
    let threads = THREADS_X * THREADS_Y;
    row_tile[min(index, ROW_MEMORY - 1u)] = to_tile(block[0]);
    if (ROW_MEMORY > threads) {
        row_tile[index + threads] = to_tile(block[1]);
    }
    if (ROW_MEMORY > 2u * threads) {
        row_tile[index + 2u * threads] = to_tile(block[2]);
        row_tile[index + 3u * threads] = to_tile(block[3]);
    }
}

/// Stores up to four elements of columns alike.
fn put_straight_columns(index: u32, block: mat4x4<f32>) {
    let threads = THREADS_X * THREADS_Y;
    column_tile[min(index, COLUMN_MEMORY - 1u)] = to_tile(block[0]);
    if (COLUMN_MEMORY > threads) {
        column_tile[index + threads] = to_tile(block[1]);
    }
    if (COLUMN_MEMORY > 2u * threads) {
        column_tile[index + 2u * threads] = to_tile(block[2]);
        column_tile[index + 3u * threads] = to_tile(block[3]);
    }
}

fn outer_product(c: mat4x4<f32>, a: vec4<f32>, b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        fma(a, vec4<f32>(b.x), c[0]), fma(a, vec4<f32>(b.y), c[1]),
        fma(a, vec4<f32>(b.z), c[2]), fma(a, vec4<f32>(b.w), c[3]));
}

/// Adds one step.
fn add_step(sums: Sums, row: u32, column: u32) -> Sums {
    var s = sums;
    let a0 = of_tile(row_tile[row]);
    let b0 = of_tile(column_tile[column]);
    s.c00 = outer_product(s.c00, a0, b0);
    if (COLUMN_BLOCKS > 1u) {
        s.c01 = outer_product(s.c01, a0, of_tile(column_tile[column + THREADS_X]));
    }
    if (ROW_BLOCKS > 1u) {
        let a1 = of_tile(row_tile[row + THREADS_Y]);
        s.c10 = outer_product(s.c10, a1, b0);
        if (COLUMN_BLOCKS > 1u) {
            s.c11 = outer_product(s.c11, a1, of_tile(column_tile[column + THREADS_X]));
        }
    }
    return s;
}

/// Adds the steps that lie in workgroup memory, rows and columns swizzled or straight.
fn multiply(sums: Sums, thread: vec3<u32>, row_swizzle: u32, column_swizzle: u32) -> Sums {
    var s = sums;
    let row_pitch = ROW_BLOCKS * THREADS_Y;
    let column_pitch = COLUMN_BLOCKS * THREADS_X;
    if (UNROLL) {
        for (var step = 0u; step < STEPS; step += 4u) {
            let row = step * row_pitch + (thread.y ^ (row_swizzle * (step / 4u)));
            let column = step * column_pitch + (thread.x ^ (column_swizzle * (step / 4u)));
            s = add_step(s, row, column);
            s = add_step(s, row + row_pitch, column + column_pitch);
            s = add_step(s, row + 2u * row_pitch, column + 2u * column_pitch);
            s = add_step(s, row + 3u * row_pitch, column + 3u * column_pitch);
        }
        return s;
    }
    for (var step = 0u; step < STEPS; step++) {
        let row = step * row_pitch + (thread.y ^ (row_swizzle * (step / 4u)));
        let column = step * column_pitch + (thread.x ^ (column_swizzle * (step / 4u)));
        s = add_step(s, row, column);
    }
    return s;
}
