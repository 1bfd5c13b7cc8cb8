//! One op between numbers of the test's own: what it makes of them, and every gradient.

use std::rc::Rc;

use pollster::block_on;
use rootstock::gpu::{Gpu, Profile};
use rootstock::graph::{Adapted, Change, Emit, Graph, LowRank, Magnitude, Op, Param, ParamId, Purpose, Shape, ValueId, WeightType};
use rootstock::kernels::{Half, StepValues, elementwise};
use rootstock::ops::dora;
use rootstock::plan::{Options, ParamStore, Part, Runner, compile};
use rootstock::quant::Packer;

use super::{Ends, error, param};

/// A matrix of the test, numbers exact in f32.
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    pub(crate) cols: usize,
    pub(crate) data: Vec<f64>,
    /// What it is packed, where it is frozen in blocks that nothing here packs.
    pub(crate) packed: Option<Vec<u8>>,
}

impl Matrix {
    pub(crate) fn new(cols: usize, data: Vec<f64>) -> Matrix {
        assert!(data.len().is_multiple_of(cols));
        Matrix { cols, data, packed: None }
    }

    fn rows(&self) -> usize {
        self.data.len() / self.cols
    }
}

/// What goes in.
#[derive(Debug, Default)]
pub(crate) struct Case {
    pub(crate) tokens: usize,
    /// Activations, (tokens, cols).
    pub(crate) inputs: Vec<Matrix>,
    pub(crate) weights: Vec<Matrix>,
    /// Keeps the weights frozen in this type; their numbers must be exact in it. With `low_rank` only the first of them.
    pub(crate) frozen: Option<WeightType>,
    /// An adapter on the first weights, as many as it says, of which the next ones are A and B of each and, with DoRA, the magnitudes and room for the
    /// lengths of the one.
    pub(crate) low_rank: Option<LowRankCase>,
    /// Gradients of the outputs; also says their columns.
    pub(crate) gradients: Vec<Matrix>,
    /// As [`rootstock::kernels::InputLayout`] lays it out; zeros where empty.
    pub(crate) batch: Vec<u8>,
    pub(crate) step: StepValues,
    /// The type of 16 bits in which activations wait for the backward pass, and on some devices lie in tiles.
    pub(crate) kept: Option<Half>,
    /// How often the step is run: the first writes gradients of parameters, the others add.
    pub(crate) micro_steps: usize,
}

/// How the first weights are adapted, as a factor and as a table alike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LowRankCase {
    /// For each of the first weights whether it is adapted at all.
    pub(crate) adapted: &'static [bool],
    pub(crate) scale: f32,
    pub(crate) dropout: f32,
    pub(crate) dora: bool,
}

/// What comes out.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) outputs: Vec<Vec<f32>>,
    /// Gradients of the inputs.
    pub(crate) inputs: Vec<Vec<f32>>,
    /// Gradients of the weights that are not frozen.
    pub(crate) weights: Vec<Vec<f32>>,
    /// The names of the kernels that were run.
    pub(crate) kernels: Vec<&'static str>,
}

/// Copies a whole activation, padding included, to a parameter's gradient.
#[derive(Debug)]
struct KeepPadded(ParamId);

impl Op for KeepPadded {
    fn name(&self) -> &'static str {
        "keep_padded"
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], _y: &[ValueId]) -> Vec<ValueId> {
        let Shape { rows, cols } = e.shape(x[0]);
        let to = e.piece(self.0).gradient.expect("kept in a trainable parameter");
        let copy = elementwise::copy(Shape { rows, cols: cols.next_multiple_of(4) }, e.bind(x[0]), to);
        e.run(copy);
        Vec::new()
    }

    fn backward(&self, _e: &mut Emit<'_>, _x: &[ValueId], _y: &[ValueId], _saved: &[ValueId]) {}
}

impl Case {
    /// Builds the graph with `build` (inputs and weights to outputs), plans it for `profile`, runs it forwards and backwards.
    pub(crate) fn run(
        &self,
        gpu: &Rc<Gpu>,
        profile: &Profile,
        build: impl Fn(&mut Graph, &[ValueId], &[ParamId]) -> Vec<ValueId>,
    ) -> Outcome {
        let mut params: Vec<Param> = Vec::new();
        let mut add = |name: &str, list: &[Matrix], trainable: bool| -> Vec<ParamId> {
            let first = params.len();
            params.extend(list.iter().map(|m| param(name, m.rows(), m.cols, trainable)));
            (first..params.len()).map(|i| ParamId(i as u32)).collect()
        };
        let (inputs, weights) = (add("input", &self.inputs, true), add("weight", &self.weights, true));
        let gradients = add("gradient", &self.gradients, false);
        let padded: Vec<Matrix> = self
            .gradients
            .iter()
            .map(|m| Matrix::new(m.cols.next_multiple_of(4), vec![0.0; m.rows() * m.cols.next_multiple_of(4)]))
            .collect();
        let kept = add("output", &padded, true);
        let frozen = self.low_rank.map_or(&weights[..], |l| &weights[..l.adapted.len()]);
        for p in frozen.iter().filter_map(|w| Some((w, self.frozen?))) {
            let to = &mut params[p.0.0 as usize];
            (to.trainable, to.weight_type) = (false, p.1);
        }
        if let Some(LowRankCase { adapted, scale, dropout, dora }) = self.low_rank {
            let magnitude = dora.then(|| Magnitude { magnitude: weights[3], inverse_norm: weights[4] });
            let mut factors = weights[adapted.len()..].chunks(2);
            for (weight, adapted) in weights.iter().zip(adapted) {
                let param = &mut params[weight.0 as usize];
                param.trainable = false;
                param.decays = true; // not in one buffer with the lengths that are computed from it
                if *adapted {
                    let pair = factors.next().expect("A and B of each adapted weight");
                    let change = Some(Change::LowRank(LowRank { a: pair[0], b: pair[1], scale, magnitude, dropout }));
                    param.adapted = Adapted { matrix: change.clone(), table: change };
                }
            }
            if dora {
                params[weights[4].0 as usize].trainable = false;
            }
        }
        let params = Rc::new(params);

        let mut graph = Graph::new(self.tokens, Purpose::Train, params.clone());
        let fed: Vec<ValueId> = inputs.iter().map(|p| graph.feed(*p)).collect();
        let outputs = build(&mut graph, &fed, &weights);
        assert_eq!(outputs.len(), kept.len());
        for ((output, kept), gradient) in outputs.iter().zip(&kept).zip(&gradients) {
            graph.push(KeepPadded(*kept), &[*output], &[]);
            graph.seed(*output, *gradient);
        }

        let store = Rc::new(block_on(ParamStore::allocate(gpu, params.clone(), true)).expect("memory for a small test"));
        for (ids, list) in [(&inputs, &self.inputs), (&weights, &self.weights), (&gradients, &self.gradients)] {
            for (id, m) in ids.iter().zip(list) {
                let data: Vec<f32> = m.data.iter().map(|v| *v as f32).collect();
                match params[id.0 as usize].weight_type {
                    WeightType::F32 => store.upload(gpu, Part::Weights, *id, 0, &data),
                    WeightType::Bf16 => {
                        store.upload_half(gpu, *id, 0, &data.iter().map(|v| half::bf16::from_f32(*v).to_bits()).collect::<Vec<_>>())
                    }
                    WeightType::F16 => {
                        store.upload_half(gpu, *id, 0, &data.iter().map(|v| half::f16::from_f32(*v).to_bits()).collect::<Vec<_>>())
                    }
                    _ if m.packed.is_some() => store.upload_packed(gpu, *id, 0, m.packed.as_ref().expect("packed")),
                    packed => {
                        let mut packer = Packer::new(packed, m.rows(), m.cols);
                        packer.push(&data);
                        store.upload_packed(gpu, *id, 0, &packer.finish());
                    }
                }
            }
        }
        let program = compile(&graph, &store.layout, profile, Options { kept: self.kept, ..Options::default() });
        let mut runner = block_on(Runner::new(gpu.clone(), store.clone())).expect("memory for a small test");
        let prepared = block_on(runner.bind(&program)).expect("the device takes the kernels");
        let norms = dora::norm_program(&params, &store.layout, &profile.tuning);
        if !norms.dispatches.is_empty() {
            let norms = block_on(runner.bind(&norms)).expect("the device takes the kernels");
            runner.run(&norms, &StepValues::default(), &[]).expect("the program runs");
        }
        let empty = vec![0; rootstock::kernels::InputLayout::new(self.tokens).bytes() as usize];
        for micro_step in 0..self.micro_steps.max(1) {
            let step = StepValues { accumulate: u32::from(micro_step > 0), ..self.step };
            runner.run(&prepared, &step, if self.batch.is_empty() { &empty } else { &self.batch }).expect("the program runs");
        }
        let read = |id: &ParamId| {
            let rows = params[id.0 as usize].shape.rows;
            block_on(store.download(gpu, Part::Gradients, *id, 0..rows)).expect("a gradient can be read")
        };
        let outputs = kept.iter().zip(&self.gradients).map(|(id, m)| unpad(&read(id), m.cols)).collect();
        Outcome {
            outputs,
            inputs: inputs.iter().map(read).collect(),
            weights: weights.iter().filter(|w| params[w.0 as usize].trainable).map(read).collect(),
            kernels: program.dispatches.iter().map(|d| d.shader.name).collect(),
        }
    }
}

fn unpad(padded: &[f32], cols: usize) -> Vec<f32> {
    let mut out = Vec::new();
    for row in padded.chunks(cols.next_multiple_of(4)) {
        assert!(row[cols..].iter().all(|v| *v == 0.0), "the padding is {:?}", &row[cols..]);
        out.extend(&row[..cols]);
    }
    out
}

/// Compares with the twin; the error is in units of what was expected (its root mean square).
pub(crate) fn assert_close(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    let error = error(got, want, 1e-30);
    assert!(error < tolerance, "{what}: off by {error:.2e} of the root mean square, {tolerance:.0e} is allowed");
}
