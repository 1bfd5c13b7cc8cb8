//! All three versions of the attention kernels, in training and with caches.

use std::ops::Range;
use std::rc::Rc;

use pollster::block_on;
use rootstock::gpu::{Gpu, Profile};
use rootstock::graph::{Graph, Param, ParamId, Purpose};
use rootstock::kernels::{Family, Input, InputLayout, StepValues};
use rootstock::ops::attention::AttentionParams;
use rootstock::plan::{Options, ParamStore, Part, Runner, compile};

use super::{Ends, batch, error, gpu, param, profiles, profiles_by_lanes};
use crate::reference::Random;
use crate::reference::attention::Attention;
use crate::reference::rope;

/// In units of the tensor's root mean square; lavapipe's exp is good to 1e-7 and the longest sums here have 500 terms. Measured: 2e-6 to 2e-5.
const TOLERANCE: f64 = 5e-5;
/// Gradients that cancel (one key: the softmax is constant) are compared with this instead of their own size.
const FLOOR: f64 = 0.1;

const Q: ParamId = ParamId(0);
const K: ParamId = ParamId(1);
const V: ParamId = ParamId(2);
const D_O: ParamId = ParamId(3);
const O: ParamId = ParamId(4);

#[derive(Debug, Clone, Copy)]
struct Layer {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    window: Option<u32>,
    softcap: Option<f32>,
    /// Largest number, about: scores grow with its square.
    size: f64,
}

const fn layer(heads: usize, kv_heads: usize, head_dim: usize) -> Layer {
    Layer { heads, kv_heads, head_dim, window: None, softcap: None, size: 1.0 }
}

impl Layer {
    fn params(self) -> AttentionParams {
        let scale = (self.head_dim as f32).powf(-0.5);
        AttentionParams {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            scale,
            window: self.window,
            softcap: self.softcap,
            layer: 0,
        }
    }

    fn twin(self, starts: Vec<usize>, position: usize) -> Attention {
        Attention {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            scale: f64::from(self.params().scale),
            softcap: self.softcap.map(f64::from),
            window: self.window.map(|w| w as usize),
            starts,
            position,
        }
    }

    fn q_cols(self) -> usize {
        self.heads * self.head_dim
    }

    fn kv_cols(self) -> usize {
        self.kv_heads * self.head_dim
    }

    fn random(self, random: &mut Random, rows: usize, cols: usize) -> Vec<f64> {
        random.vector(rows * cols).iter().map(|x| f64::from((x * self.size) as f32)).collect()
    }
}

/// Every version, and every form of the tiled one that a family of GPUs gets: rows of a thread, sums in registers or not, keys' sums split by heads or not.
fn all_profiles(gpu: &Gpu, layer: Layer) -> Vec<Profile> {
    // Each of them takes seconds to compile: without softcaps, and with one.
    if layer.softcap.is_some() && layer.head_dim != 80 {
        return profiles(gpu);
    }
    let real = gpu.profile().clone();
    let eight_rows = real.clone().as_if(Family::NvidiaLike, real.subgroups);
    let mut four_rows = real.clone().as_if(Family::Apple, real.subgroups);
    four_rows.tuning.attention_key_workgroups = 0;
    profiles(gpu).into_iter().chain([eight_rows, four_rows]).collect()
}

fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|x| *x as f32).collect()
}

fn upload(gpu: &Gpu, store: &ParamStore, to: ParamId, numbers: &[f64]) {
    store.upload(gpu, Part::Weights, to, 0, &narrow(numbers));
}

/// Runs `uses` attentions over the same q, k and v (each adds to the gradients) and compares o and the gradients, for all kernel versions. The first `rotary`
/// columns of each head are rotated before.
fn check_training(gpu: &Rc<Gpu>, layer: Layer, rotary: usize, sequences: &[usize], filling: usize, uses: usize) {
    let tokens = sequences.iter().sum::<usize>() + filling;
    let mut starts = Vec::new();
    for length in sequences.iter().copied().chain(std::iter::repeat_n(1, filling)) {
        starts.extend(std::iter::repeat_n(starts.len(), length));
    }
    let mut random = Random::new(tokens as u64);
    let [q, d_o] = [(); 2].map(|()| layer.random(&mut random, tokens, layer.q_cols()));
    let [k, v] = [(); 2].map(|()| layer.random(&mut random, tokens, layer.kv_cols()));
    let positions: Vec<usize> = starts.iter().enumerate().map(|(i, start)| i - start).collect();
    let rotated = |x: &[f64], heads, direction: f64| {
        let of = |row: usize, i| turn(positions[row], i).map(f64::from);
        rope::forward(x, heads, layer.head_dim, rotary, |row, i| (of(row, i)[0], direction * of(row, i)[1]))
    };
    let twin = layer.twin(starts, 0);
    let (turned_q, turned_k) = (rotated(&q, layer.heads, 1.0), rotated(&k, layer.kv_heads, 1.0));
    let o = twin.forward(&turned_q, &turned_k, &v);
    let gradients = twin.backward(&d_o, &turned_q, &turned_k, &v).map(|g| g.iter().map(|x| x * uses as f64).collect::<Vec<_>>());
    let gradients = [rotated(&gradients[0], layer.heads, -1.0), rotated(&gradients[1], layer.kv_heads, -1.0), gradients[2].clone()];
    let table: Rc<Vec<f32>> = Rc::new((0..tokens).flat_map(|p| (0..rotary / 2).flat_map(move |i| turn(p, i))).collect());
    let mut input = batch(tokens, sequences);
    let at = InputLayout::new(tokens).offset(Input::Positions) as usize;
    for (i, position) in positions.iter().enumerate() {
        input[at + 4 * i..at + 4 * i + 4].copy_from_slice(&(*position as u32).to_le_bytes());
    }

    let like_q = |name| param(name, tokens, layer.q_cols(), true);
    let like_k = |name| param(name, tokens, layer.kv_cols(), true);
    let params: Rc<Vec<Param>> = Rc::new(vec![like_q("q"), like_k("k"), like_k("v"), like_q("d_o"), like_q("o")]);
    let mut graph = Graph::new(tokens, Purpose::Train, params.clone());
    let inputs = [Q, K, V].map(|p| graph.feed(p));
    if rotary > 0 {
        let table = graph.table("angles", table);
        graph.rope(inputs[0], inputs[1], table, layer.head_dim, rotary);
    }
    for _ in 0..uses {
        let o = graph.attention(inputs[0], inputs[1], inputs[2], layer.params());
        graph.keep(o, Some(O));
        graph.seed(o, D_O);
    }
    let store = Rc::new(block_on(ParamStore::allocate(gpu, params, true)).expect("memory"));
    for (to, numbers) in [(Q, &q), (K, &k), (V, &v), (D_O, &d_o)] {
        upload(gpu, &store, to, numbers);
    }
    for profile in all_profiles(gpu, layer) {
        let program = compile(&graph, &store.layout, &profile, Options::default());
        let mut runner = block_on(Runner::new(gpu.clone(), store.clone())).expect("a runner");
        let prepared = block_on(runner.bind(&program)).expect("pipelines");
        let step = StepValues { tokens: (tokens - filling) as u32, ..Default::default() };
        runner.run(&prepared, &step, &input).expect("a run");
        for (name, at, want, floor) in
            [("o", O, &o, 0.0), ("dq", Q, &gradients[0], FLOOR), ("dk", K, &gradients[1], FLOOR), ("dv", V, &gradients[2], FLOOR)]
        {
            let got = block_on(store.download(gpu, Part::Gradients, at, 0..tokens)).expect("a readback");
            let error = error(&got, want, floor);
            let version = (profile.family, profile.subgroups);
            assert!(error < TOLERANCE, "{name} is off by {error:.1e}: {layer:?}, sequences {sequences:?} + {filling}, {version:?}");
        }
    }
}

#[test]
fn training_at_awkward_shapes() {
    let gpu = gpu();
    let window = |window, layer| Layer { window: Some(window), ..layer };
    let softcap = |cap, layer| Layer { softcap: Some(cap), ..layer };
    let cases: &[(Layer, &[usize], usize)] = &[
        (layer(1, 1, 4), &[1], 0),
        (layer(3, 1, 12), &[3], 0),
        (layer(6, 2, 20), &[17], 0),
        (layer(3, 1, 36), &[65], 0),
        (layer(6, 2, 64), &[5, 1, 40, 17, 33], 9),
        (window(5, layer(4, 4, 32)), &[50, 21], 3),
        (window(1, layer(8, 1, 40)), &[70], 0),
        (softcap(30.0, Layer { size: 2.5, ..layer(6, 2, 80) }), &[50, 21], 3),
        (softcap(2.0, window(33, layer(4, 2, 96))), &[30, 70], 0),
        (layer(5, 1, 128), &[9, 64, 40], 1),
        (window(30, layer(2, 1, 256)), &[80], 0),
        (layer(1, 1, 256), &[70, 2, 30], 2),
    ];
    for (layer, sequences, filling) in cases {
        check_training(&gpu, *layer, 0, sequences, *filling, 1);
    }
}

/// The rotation back is made along with the sum of what each query head gave, where there is one.
#[test]
fn training_with_rotated_heads() {
    let gpu = gpu();
    check_training(&gpu, layer(6, 2, 64), 64, &[5, 40, 17], 3, 1);
    check_training(&gpu, layer(3, 1, 32), 16, &[50], 0, 1);
    check_training(&gpu, layer(4, 2, 20), 20, &[21], 0, 1);
}

#[test]
fn two_uses_add_their_gradients() {
    check_training(&gpu(), layer(6, 2, 64), 0, &[33, 40], 0, 2);
    check_training(&gpu(), layer(6, 2, 64), 64, &[33, 40], 0, 2);
}

/// The angle of a pair of a rotation, as the tables hold it.
fn turn(position: usize, pair: usize) -> [f32; 2] {
    let angle = position as f64 * 0.3 / (pair + 1) as f64;
    [angle.cos() as f32, angle.sin() as f32]
}

/// A prompt and then single tokens through one cache, with the first plan's spare rows left as filling; the first `rotary` columns of each head
/// are rotated before.
fn check_generation(gpu: &Rc<Gpu>, profile: &Profile, layer: Layer, rotary: usize, prompt: usize, spare: usize, more: usize) {
    let total = prompt + more;
    let capacity = total + spare + 3;
    let mut random = Random::new(total as u64);
    let q = layer.random(&mut random, total, layer.q_cols());
    let [k, v] = [(); 2].map(|()| layer.random(&mut random, total, layer.kv_cols()));
    let rotated = |x: &[f64], heads| {
        rope::forward(x, heads, layer.head_dim, rotary, |row, i| (f64::from(turn(row, i)[0]), f64::from(turn(row, i)[1])))
    };
    let want = layer.twin(vec![0; total], 0).forward(&rotated(&q, layer.heads), &rotated(&k, layer.kv_heads), &v);
    let table: Rc<Vec<f32>> = Rc::new((0..capacity).flat_map(|p| (0..rotary / 2).flat_map(move |i| turn(p, i))).collect());

    let mut programs = Vec::new();
    // Plans of two sizes share the caches of one runner.
    let params = |tokens| {
        vec![
            param("q", tokens, layer.q_cols(), false),
            param("k", tokens, layer.kv_cols(), false),
            param("v", tokens, layer.kv_cols(), false),
        ]
    };
    let params: Rc<Vec<Param>> = Rc::new(params(prompt + spare).into_iter().chain(params(1)).collect());
    let store = Rc::new(block_on(ParamStore::allocate(gpu, params.clone(), false)).expect("memory"));
    let mut runner = block_on(Runner::new(gpu.clone(), store.clone())).expect("a runner");
    for (first, tokens) in [(0, prompt + spare), (3, 1)] {
        let mut graph = Graph::new(tokens, Purpose::Generate { cache_rows: capacity, logit_rows: 1 }, params.clone());
        let inputs = [0, 1, 2].map(|i| graph.feed(ParamId(first + i)));
        if rotary > 0 {
            let table = graph.table("angles", table.clone());
            graph.rope(inputs[0], inputs[1], table, layer.head_dim, rotary);
        }
        let o = graph.attention(inputs[0], inputs[1], inputs[2], layer.params());
        graph.keep(o, None);
        programs.push((first, tokens, compile(&graph, &store.layout, profile, Options::default())));
    }
    // Twice: the second program may need a larger buffer, which unbinds the first.
    let mut runners = Vec::new();
    for _ in 0..2 {
        let bound = programs.iter().map(|(first, tokens, p)| (*first, *tokens, block_on(runner.bind(p)).expect("pipelines")));
        runners = bound.collect();
    }
    let step = |plan: usize, rows: Range<usize>| {
        let (first, tokens, prepared) = &runners[plan];
        for (i, (numbers, cols)) in [(&q, layer.q_cols()), (&k, layer.kv_cols()), (&v, layer.kv_cols())].into_iter().enumerate() {
            let mut own = numbers[rows.start * cols..rows.end * cols].to_vec();
            own.resize(tokens * cols, 1e3);
            upload(gpu, &store, ParamId(first + i as u32), &own);
        }
        let values = StepValues { position: rows.start as u32, tokens: rows.len() as u32, ..Default::default() };
        let mut batch = batch(*tokens, &[]);
        let positions = InputLayout::new(*tokens).offset(Input::Positions) as usize;
        for (i, position) in rows.clone().enumerate() {
            batch[positions + 4 * i..positions + 4 * i + 4].copy_from_slice(&(position as u32).to_le_bytes());
        }
        runner.run(prepared, &values, &batch).expect("a run");
        let got = block_on(runner.read_logits(0, rows.len() * layer.q_cols())).expect("a readback");
        let error = error(&got, &want[rows.start * layer.q_cols()..rows.end * layer.q_cols()], 0.0);
        let version = (profile.family, profile.subgroups);
        assert!(error < TOLERANCE, "o of tokens {rows:?} is off by {error:.1e}: {layer:?}, {version:?}");
    };
    step(0, 0..prompt);
    for i in prompt..total {
        step(1, i..i + 1);
    }
}

#[test]
fn generation_from_caches() {
    let gpu = gpu();
    let window = |window, layer| Layer { window: Some(window), ..layer };
    for (layer, rotary, prompt, spare, more) in [
        (layer(6, 2, 64), 0, 37, 0, 3),
        (layer(4, 4, 12), 0, 1, 7, 2),
        (Layer { softcap: Some(5.0), ..window(20, layer(4, 1, 256)) }, 0, 70, 5, 2),
        (layer(8, 1, 36), 0, 130, 3, 1),
        // Rotated: whole heads, parts of them, and halves that fall on no vec4 border. Blocks of keys that the window leaves out.
        (layer(9, 3, 64), 64, 63, 0, 3),
        (window(70, layer(5, 1, 80)), 40, 200, 9, 2),
        (layer(2, 1, 128), 20, 128, 0, 1),
        (layer(4, 2, 96), 96, 5, 1, 2),
    ] {
        for profile in all_profiles(&gpu, layer).into_iter().chain(profiles_by_lanes(&gpu).split_off(profiles(&gpu).len())) {
            check_generation(&gpu, &profile, layer, rotary, prompt, spare, more);
        }
    }
}
