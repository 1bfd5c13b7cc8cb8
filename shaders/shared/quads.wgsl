/// Blocks of 16 rows a workgroup: 2, or 1 where there are few rows.
override ROW_BLOCKS: u32 = 2u;
/// Columns a workgroup: 64, 32 or 16.
override COLUMNS: u32 = 64u;
/// Fours of steps of the contraction in an iteration: 2 or 1.
override STEPS: u32 = 2u;

/// Rows of a block: four of each of the four lanes.
const BLOCK_ROWS: u32 = 16u;
/// Lanes of a quad, which is a workgroup.
const LANES: u32 = 4u;

/// The sums of a lane's four rows: a matrix for the four columns of this lane, of the next in x, of the next in y and of the diagonal one; a row a column.
struct Sums {
    d0: mat4x4<f32>, d1: mat4x4<f32>, d2: mat4x4<f32>, d3: mat4x4<f32>,
}

/// Those of 16 columns in both blocks of rows.
struct Block {
    upper: Sums, lower: Sums,
}

/// Four steps of a lane's four rows in both blocks of rows: a row a column.
struct Steps {
    upper: mat4x4<f32>, lower: mat4x4<f32>,
}

fn times(s: Sums, b: Sums, a: mat4x4<f32>) -> Sums {
    return Sums(s.d0 + b.d0 * a, s.d1 + b.d1 * a, s.d2 + b.d2 * a, s.d3 + b.d3 * a);
}

/// Adds four steps: `b` has a lane's four columns for each step. What the other lanes have is swapped within the quad, which is one shuffle a number
/// for all rows, where a broadcast would be eight instructions.
fn add(s: Block, b: mat4x4<f32>, a: Steps) -> Block {
    let all = Sums(
        b,
        mat4x4<f32>(quadSwapX(b[0]), quadSwapX(b[1]), quadSwapX(b[2]), quadSwapX(b[3])),
        mat4x4<f32>(quadSwapY(b[0]), quadSwapY(b[1]), quadSwapY(b[2]), quadSwapY(b[3])),
        mat4x4<f32>(quadSwapDiagonal(b[0]), quadSwapDiagonal(b[1]), quadSwapDiagonal(b[2]), quadSwapDiagonal(b[3])));
    var sums = s;
    sums.upper = times(s.upper, all, a.upper);
    if (ROW_BLOCKS > 1u) {
        sums.lower = times(s.lower, all, a.lower);
    }
    return sums;
}

/// The sums of a lane as they are written: a matrix is four rows of four columns. In a loop, as the code of a write is long and runs seldom.
var<private> tile: array<mat4x4<f32>, 32>;

fn keep(first: u32, s: Block) {
    tile[first] = s.upper.d0;
    tile[first + 1u] = s.upper.d1;
    tile[first + 2u] = s.upper.d2;
    tile[first + 3u] = s.upper.d3;
    if (ROW_BLOCKS > 1u) {
        tile[first + 4u] = s.lower.d0;
        tile[first + 5u] = s.lower.d1;
        tile[first + 6u] = s.lower.d2;
        tile[first + 7u] = s.lower.d3;
    }
}

/// Writes the sums of a workgroup whose first row and column (in vec4 units) these are.
fn write_tile(first_row: u32, first_column: u32, lane: u32, b0: Block, b1: Block, b2: Block, b3: Block) {
    keep(0u, b0);
    if (COLUMNS > 16u) {
        keep(8u, b1);
    }
    if (COLUMNS > 32u) {
        keep(16u, b2);
        keep(24u, b3);
    }
    for (var i = 0u; i < COLUMNS * 2u; i++) {
        let row_block = i / 16u % 2u;
        if (row_block < ROW_BLOCKS) {
            let row = first_row + BLOCK_ROWS * row_block + 4u * lane + i % 4u;
            write(row, first_column + 4u * (i / 32u) + (lane ^ (i / 4u % 4u)), tile[i / 4u][i % 4u]);
        }
    }
}
