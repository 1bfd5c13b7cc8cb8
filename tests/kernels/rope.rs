//! Rotation of whole and partly rotated heads, on vec4 borders and off them.

use std::rc::Rc;

use rootstock::kernels::{Input, InputLayout};

use super::single::{Case, Matrix, assert_close};
use super::{gpu, profiles};
use crate::reference::{Random, rope};

/// Products and one sum; the table is rounded to f32. Measured on lavapipe: 1.3e-7.
const TOLERANCE: f64 = 1e-6;

#[test]
fn rotates_forwards_and_back() {
    let gpu = gpu();
    let mut random = Random::new(21);
    const POSITIONS: usize = 300;
    for profile in profiles(&gpu) {
        for (tokens, heads, kv_heads, head_dim, rotary_dim) in
            [(7, 3, 1, 64, 64), (255, 2, 2, 16, 8), (7, 2, 1, 12, 12), (5, 3, 3, 7, 6), (3, 1, 1, 2, 2), (9, 4, 2, 20, 10)]
        {
            let half = rotary_dim / 2;
            // A scaled table, as YaRN's: the gradient is scaled alike.
            let pair = |p: usize, i: usize| {
                let angle = p as f64 * 100f64.powf(-(i as f64) / half as f64);
                [(1.25 * angle.cos()) as f32, (1.25 * angle.sin()) as f32]
            };
            let table: Rc<Vec<f32>> = Rc::new((0..POSITIONS).flat_map(|p| (0..half).flat_map(move |i| pair(p, i))).collect());
            let positions: Vec<usize> = (0..tokens).map(|i| (i * 37 + 11) % POSITIONS).collect();
            let layout = InputLayout::new(tokens);
            let mut batch = vec![0u8; layout.bytes() as usize];
            for (i, p) in positions.iter().enumerate() {
                let at = layout.offset(Input::Positions) as usize + 4 * i;
                batch[at..at + 4].copy_from_slice(&(*p as u32).to_le_bytes());
            }
            let matrices = |random: &mut Random| {
                [heads, kv_heads].map(|heads| Matrix::new(heads * head_dim, random.vector(tokens * heads * head_dim))).to_vec()
            };
            let (inputs, gradients) = (matrices(&mut random), matrices(&mut random));
            let case = Case { tokens, inputs: inputs.clone(), gradients: gradients.clone(), batch, ..Case::default() };
            let out = case.run(&gpu, &profile, |g, x, _| {
                let table = g.table("angles", table.clone());
                g.rope(x[0], x[1], table, head_dim, rotary_dim);
                x.to_vec()
            });
            let turn = |x: &Matrix, direction: f64| {
                let table = table.clone();
                let positions = positions.clone();
                rope::forward(&x.data, x.cols / head_dim, head_dim, rotary_dim, move |row, i| {
                    let at = (positions[row] * half + i) * 2;
                    (f64::from(table[at]), direction * f64::from(table[at + 1]))
                })
            };
            let what = format!("({tokens}, {heads} and {kv_heads} x {head_dim}), {rotary_dim} rotated");
            for i in 0..2 {
                assert_close(&format!("y{i} {what}"), &out.outputs[i], &turn(&inputs[i], 1.0), TOLERANCE);
                assert_close(&format!("dx{i} {what}"), &out.inputs[i], &turn(&gradients[i], -1.0), TOLERANCE);
            }
        }
    }
}
