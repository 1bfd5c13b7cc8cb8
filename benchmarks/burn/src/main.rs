//! Burn on the device that Rootstock computes on: `burn-benchmark product KIND M N K` or `burn-benchmark step TOKENS`. Prints seconds;
//! benchmarks/burn/run.mjs runs it.

use std::time::Instant;

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, RmsNorm, RmsNormConfig, RotaryEncoding, RotaryEncodingConfig};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::activation::silu;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, DeviceKind, Distribution, Int, Tensor};

/// Rounds that are timed; their median counts.
const ROUNDS: usize = 3;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Seconds of a product: rounds that last half a second or more.
fn product(device: &Device, kind: &str, [m, n, k]: [usize; 3]) -> f64 {
    let random = |shape: [usize; 2]| Tensor::<2>::random(shape, Distribution::Uniform(-1.0, 1.0), device);
    let (x, y, transposed) = match kind {
        "forward" => (random([m, k]), random([n, k]), [false, true]),
        "input" => (random([m, k]), random([k, n]), [false, false]),
        _ => (random([k, m]), random([k, n]), [true, false]),
    };
    let of = |t: &Tensor<2>, transposed: bool| if transposed { t.clone().transpose() } else { t.clone() };
    let round = |count: usize| {
        let begun = Instant::now();
        for _ in 0..count {
            let z = of(&x, transposed[0]).matmul(of(&y, transposed[1]));
            drop(z);
        }
        device.sync().expect("the device works");
        begun.elapsed().as_secs_f64()
    };
    round(1); // tunes
    let count = (0.5 / round(1)).ceil().max(2.0) as usize;
    median((0..ROUNDS).map(|_| round(count) / count as f64).collect())
}

#[derive(Module, Debug)]
struct Layer {
    input_norm: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    mlp_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// SmolLM2-135M's shape, its head tied to the embedding.
#[derive(Module, Debug)]
struct Llama {
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    rope: RotaryEncoding,
}

const VOCABULARY: usize = 49_152;
const HIDDEN: usize = 576;
const MLP: usize = 1536;
const HEADS: usize = 9;
const KV_HEADS: usize = 3;
const HEAD: usize = 64;
const LAYERS: usize = 30;

impl Llama {
    fn new(device: &Device) -> Llama {
        let linear = |from: usize, to: usize| LinearConfig::new(from, to).with_bias(false).init(device);
        let norm = || RmsNormConfig::new(HIDDEN).init(device);
        let layer = |_| Layer {
            input_norm: norm(),
            q: linear(HIDDEN, HEADS * HEAD),
            k: linear(HIDDEN, KV_HEADS * HEAD),
            v: linear(HIDDEN, KV_HEADS * HEAD),
            o: linear(HEADS * HEAD, HIDDEN),
            mlp_norm: norm(),
            gate: linear(HIDDEN, MLP),
            up: linear(HIDDEN, MLP),
            down: linear(MLP, HIDDEN),
        };
        Llama {
            embedding: EmbeddingConfig::new(VOCABULARY, HIDDEN).init(device),
            layers: (0..LAYERS).map(layer).collect(),
            norm: norm(),
            rope: RotaryEncodingConfig::new(2048, HEAD).init(device),
        }
    }

    /// (1, tokens) ids to (tokens, vocabulary) logits.
    fn forward(&self, ids: Tensor<2, Int>) -> Tensor<2> {
        let tokens = ids.dims()[1];
        let heads = |x: Tensor<3>, count: usize| x.reshape([1, tokens, count, HEAD]).swap_dims(1, 2);
        // Each key and value head serves three query heads.
        let repeated = |x: Tensor<4>| {
            x.reshape([1, KV_HEADS, 1, tokens, HEAD]).expand([1, KV_HEADS, HEADS / KV_HEADS, tokens, HEAD]).reshape([1, HEADS, tokens, HEAD])
        };
        let mut x = self.embedding.forward(ids);
        for layer in &self.layers {
            let h = layer.input_norm.forward(x.clone());
            let q = self.rope.forward(heads(layer.q.forward(h.clone()), HEADS));
            let k = repeated(self.rope.forward(heads(layer.k.forward(h.clone()), KV_HEADS)));
            let v = repeated(heads(layer.v.forward(h), KV_HEADS));
            let options = AttentionModuleOptions { scale: None, softcap: None, is_causal: true };
            let o = attention(q, k, v, None, None, options).swap_dims(1, 2).reshape([1, tokens, HEADS * HEAD]);
            x = x + layer.o.forward(o);
            let h = layer.mlp_norm.forward(x.clone());
            x = x + layer.down.forward(silu(layer.gate.forward(h.clone())) * layer.up.forward(h));
        }
        let x = self.norm.forward(x).reshape([tokens, HIDDEN]);
        x.matmul(self.embedding.weight.val().transpose())
    }
}

/// Seconds of a full fine-tuning step: forward, cross-entropy, backward, AdamW.
fn step(device: &Device, tokens: usize) -> f64 {
    let device = device.clone().autodiff();
    let mut model = Llama::new(&device);
    let mut optimizer = AdamWConfig::new().init();
    let ids = Tensor::<1, Int>::arange(0..tokens as i64, &device).reshape([1, tokens]);
    let targets = Tensor::<1, Int>::arange(1..tokens as i64 + 1, &device);
    let loss = CrossEntropyLossConfig::new().init(&device);
    let mut times = Vec::new();
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        let l = loss.forward(model.forward(ids.clone()), targets.clone());
        let gradients = GradientsParams::from_grads(l.backward(), &model);
        model = optimizer.step(1e-5, model, gradients);
        let value: f32 = l.into_scalar();
        device.sync().expect("the device works");
        assert!(value.is_finite(), "the loss is {value}");
        // The first compiles and tunes.
        if round > 0 {
            times.push(begun.elapsed().as_secs_f64());
        }
    }
    median(times)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // CUBECL_WGPU_DEFAULT_DEVICE=Cpu chooses a software device.
    let kind = DeviceKind::DefaultDevice;
    #[cfg(feature = "vulkan")]
    let device = Device::vulkan(kind);
    #[cfg(not(feature = "vulkan"))]
    let device = Device::wgpu(kind);
    let number = |i: usize| args.get(i).and_then(|a| a.parse().ok()).expect("a number");
    let seconds = match args.first().map(String::as_str) {
        Some("product") => product(&device, &args[1], [number(2), number(3), number(4)]),
        Some("step") => step(&device, number(1)),
        _ => panic!("burn-benchmark product KIND M N K | step TOKENS"),
    };
    println!("{seconds}");
}
