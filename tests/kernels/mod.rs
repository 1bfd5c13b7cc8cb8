//! Each op on the GPU, compared with its twin in f64, at shapes that no tile divides.

mod attention;
mod embedding;
mod half_tiles;
mod kept;
mod lanes;
mod lm_head;
mod low_rank;
mod matmul;
mod mlp;
mod norms;
mod optimizers;
mod preference;
mod rope;
mod single;
mod sums;
mod update;
mod values;

use std::rc::Rc;

use rootstock::gpu::{DeviceChoice, Gpu, Profile};
use rootstock::graph::{Emit, Graph, Op, Param, ParamId, Shape, ValueId, WeightType};
use rootstock::kernels::{Bind, Input, InputLayout, Resource, elementwise};
use rootstock::kernels::{Family, Subgroups};

/// The device that the tests run on. Without one they fail: a kernel that was not run was not tested.
pub(crate) fn gpu() -> Rc<Gpu> {
    let gpu =
        pollster::block_on(Gpu::open(&DeviceChoice::default())).expect("a device; on a machine without a GPU install mesa-vulkan-drivers");
    Rc::new(gpu)
}

/// The device as it is, as it looks in a browser, and as if it were a GPU: every version of the kernels runs on it.
pub(crate) fn profiles(gpu: &Gpu) -> Vec<Profile> {
    let real = gpu.profile().clone();
    let subgroup = real.subgroups;
    let without_subgroups = real.clone().as_if(Family::OtherProcessor, None);
    let as_gpu = real.clone().as_if(Family::UnknownGpu, subgroup);
    let as_cpu = real.as_if(Family::Lavapipe, subgroup);
    vec![as_cpu, without_subgroups, as_gpu]
}

/// These, and the device as GPUs that make sums across lanes in other ways than an unknown one: as trees in workgroup memory, by shuffles and by the
/// device's own operations in subgroups of the size that they have, and by both in subgroups that may be smaller and larger for all that the kernel knows.
pub(crate) fn profiles_by_lanes(gpu: &Gpu) -> Vec<Profile> {
    let real = gpu.profile().clone();
    let mut list = profiles(gpu);
    list.push(real.clone().as_if(Family::UnknownGpu, None));
    if let Some(Subgroups { least, most }) = real.subgroups {
        let varying = Subgroups { least: (least / 2).max(1), most: most * 2 };
        for (sizes, shuffles) in [(real.subgroups, true), (real.subgroups, false), (Some(varying), false)] {
            let mut profile = real.clone().as_if(Family::UnknownGpu, sizes);
            profile.tuning.vectors_in_subgroups = true;
            profile.tuning.maxima_in_subgroups = true;
            profile.tuning.subgroup_shuffles = shuffles;
            list.push(profile);
        }
    }
    list
}

/// A parameter of f32.
pub(crate) fn param(name: &str, rows: usize, cols: usize, trainable: bool) -> Param {
    Param {
        name: name.into(),
        shape: Shape { rows, cols },
        trainable,
        weight_type: WeightType::F32,
        decays: false,
        lr_scale: 1.0,
        adapted: Default::default(),
    }
}

/// Largest error of any element, in units of the root mean square of what was expected (of `floor` where that is smaller).
pub(crate) fn error(got: &[f32], want: &[f64], floor: f64) -> f64 {
    assert_eq!(got.len(), want.len());
    let rms = (want.iter().map(|w| w * w).sum::<f64>() / want.len() as f64).sqrt().max(floor);
    got.iter().zip(want).map(|(g, w)| (f64::from(*g) - w).abs() / rms).fold(0.0, |a, b| if b.is_nan() { f64::INFINITY } else { a.max(b) })
}

/// The sequences' bounds as a batch holds them: sequences side by side, then `filling` tokens.
pub(crate) fn batch(tokens: usize, sequences: &[usize]) -> Vec<u8> {
    let layout = InputLayout::new(tokens);
    let mut bytes = vec![0; layout.bytes() as usize];
    let mut put = |input: Input, i: usize, value: usize| {
        let at = layout.offset(input) as usize + 4 * i;
        bytes[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
    };
    let mut first = 0;
    let filling = std::iter::repeat_n(1, tokens - sequences.iter().sum::<usize>());
    for length in sequences.iter().copied().chain(filling) {
        for i in first..first + length {
            put(Input::Starts, i, first);
            put(Input::Ends, i, first + length);
        }
        first += length;
    }
    bytes
}

/// A parameter's numbers as an activation; its gradient becomes the parameter's.
#[derive(Debug)]
struct Feed(ParamId);

/// Gives a parameter's numbers as the gradient of an activation.
#[derive(Debug)]
struct Seed(ParamId);

/// Copies an activation to where the tests can read it: a parameter's gradient when training, else the logits.
#[derive(Debug)]
struct Keep(Option<ParamId>);

/// Ops that connect what is tested to numbers of the test's own.
pub(crate) trait Ends {
    fn feed(&mut self, param: ParamId) -> ValueId;
    fn seed(&mut self, x: ValueId, gradient: ParamId);
    fn keep(&mut self, x: ValueId, param: Option<ParamId>);
}

impl Ends for Graph {
    fn feed(&mut self, param: ParamId) -> ValueId {
        let shape = self.param(param).shape;
        self.push_one(Feed(param), &[], shape)
    }

    fn seed(&mut self, x: ValueId, gradient: ParamId) {
        self.push(Seed(gradient), &[x], &[]);
    }

    fn keep(&mut self, x: ValueId, param: Option<ParamId>) {
        self.push(Keep(param), &[x], &[]);
    }
}

impl Op for Feed {
    fn name(&self) -> &'static str {
        "feed"
    }

    fn params(&self) -> Vec<ParamId> {
        vec![self.0]
    }

    fn forward(&self, e: &mut Emit<'_>, _x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        let copy = elementwise::copy(e.shape(y[0]), e.piece(self.0).weight, e.bind(y[0]));
        e.run(copy);
        Vec::new()
    }

    fn backward(&self, e: &mut Emit<'_>, _x: &[ValueId], y: &[ValueId], _saved: &[ValueId]) {
        if let (Some(dy), Some(gradient)) = (e.grad(y[0]), e.piece(self.0).gradient) {
            let copy = elementwise::copy(e.shape(dy), e.bind(dy), gradient);
            e.run(copy);
        }
    }
}

impl Op for Seed {
    fn name(&self) -> &'static str {
        "seed"
    }

    fn forward(&self, _e: &mut Emit<'_>, _x: &[ValueId], _y: &[ValueId]) -> Vec<ValueId> {
        Vec::new()
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], _y: &[ValueId], _saved: &[ValueId]) {
        let target = e.grad_target(x[0]).expect("what is tested has a trainable input");
        assert!(!target.accumulate, "a value is seeded once, before anything else");
        let copy = elementwise::copy(e.shape(x[0]), e.piece(self.0).weight, e.bind(target.value));
        e.run(copy);
    }
}

impl Op for Keep {
    fn name(&self) -> &'static str {
        "keep"
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], _y: &[ValueId]) -> Vec<ValueId> {
        let shape = e.shape(x[0]);
        let to = match self.0 {
            Some(param) => e.piece(param).gradient.expect("kept in a trainable parameter"),
            None => Bind { resource: Resource::Logits, offset: 0, size: shape.floats() as u64 * 4 },
        };
        let copy = elementwise::copy(shape, e.bind(x[0]), to);
        e.run(copy);
        Vec::new()
    }

    fn backward(&self, _e: &mut Emit<'_>, _x: &[ValueId], _y: &[ValueId], _saved: &[ValueId]) {}
}
