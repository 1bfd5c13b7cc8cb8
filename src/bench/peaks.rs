//! Measures the arithmetic and memory peaks of the device, since data sheets do not describe a browser or a software device.

use std::rc::Rc;

use crate::error::Result;
use crate::gpu::Gpu;
use crate::graph::{Place, Shape, ValueId, ValueInfo};
use crate::kernels::{Bind, Dispatch, Resource, StepValues, peak_bandwidth, peak_flops};
use crate::plan::{ParamStore, Program, Runner};

/// Measured peaks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peaks {
    /// Floating-point operations a second.
    pub flops: f64,
    /// Bytes a second, read and written ones counted.
    pub bandwidth: f64,
}

impl Peaks {
    /// The larger of each.
    pub fn max(self, other: Peaks) -> Peaks {
        Peaks { flops: self.flops.max(other.flops), bandwidth: self.bandwidth.max(other.bandwidth) }
    }
}

/// FMAs of a round of `peak_flops.wgsl`.
const FMAS: u64 = 192;
const THREADS: u64 = 64;
/// Bytes of each side of the copy: larger than any cache.
const COPY_BYTES: u64 = 64 << 20;
/// Workgroups of the copy in a row of them; divides their number.
const COPY_ROW: u32 = 1024;
/// Measurements of each kind; the best counts.
const REPEATS: usize = 5;
/// Seconds that the FMA chains should run for, so that starting them does not count.
const CHAIN_SECONDS: f64 = 0.04;

/// Measures both peaks.
///
/// # Errors
/// [`crate::Error::Gpu`] when the device fails.
pub async fn measure(gpu: &Rc<Gpu>) -> Result<Peaks> {
    let store = Rc::new(ParamStore::allocate(gpu, Rc::new(Vec::new()), false).await?);
    let mut runner = Runner::new(gpu.clone(), store).await?;
    let groups = 1024u64;
    let mut rounds = 200u64;
    let mut flops: f64 = 0.0;
    for _ in 0..=REPEATS {
        let seconds = time(&mut runner, chains(groups, rounds)).await?;
        flops = flops.max((groups * THREADS * rounds * FMAS * 2) as f64 / seconds);
        rounds = ((CHAIN_SECONDS / seconds * rounds as f64) as u64).clamp(50, 1 << 22);
    }
    let mut bandwidth: f64 = 0.0;
    for _ in 0..REPEATS {
        bandwidth = bandwidth.max(2.0 * COPY_BYTES as f64 / time(&mut runner, copy()).await?);
    }
    Ok(Peaks { flops, bandwidth })
}

fn chains(groups: u64, rounds: u64) -> Dispatch {
    let params = peak_flops::Params { repeats: rounds as u32, factor: 0.999, summand: 0.001 };
    let sums = Bind { resource: Resource::Logits, offset: 0, size: groups * THREADS * 4 };
    let constants = peak_flops::Constants { THREADS: THREADS as u32 };
    peak_flops::dispatch(params, constants, peak_flops::Bindings { sums }, [groups as u32, 1, 1])
}

fn copy() -> Dispatch {
    let groups = (COPY_BYTES / 16 / THREADS) as u32;
    let params = peak_bandwidth::Params { row: COPY_ROW };
    let x = Bind { resource: Resource::Value(ValueId(0)), offset: 0, size: COPY_BYTES };
    let y = Bind { resource: Resource::Logits, offset: 0, size: COPY_BYTES };
    let constants = peak_bandwidth::Constants { THREADS: THREADS as u32 };
    peak_bandwidth::dispatch(params, constants, peak_bandwidth::Bindings { x, y }, [COPY_ROW, groups / COPY_ROW, 1])
}

/// Seconds of one dispatch, the shorter of two runs.
async fn time(runner: &mut Runner, dispatch: Dispatch) -> Result<f64> {
    let shape = Shape { rows: 1, cols: COPY_BYTES as usize / 4 };
    let value = ValueInfo { bytes: COPY_BYTES, shape: Some(shape), place: Some(Place { slot: 0, offset: 0 }), part_of: None };
    let program = Program { dispatches: vec![dispatch], values: vec![value], slots: vec![COPY_BYTES], ..Program::default() };
    let bound = runner.bind(&program).await?;
    let step = StepValues::default();
    let mut best = f64::INFINITY;
    for _ in 0..2 {
        let timings = runner.profile(&bound, &step, &[]).await?;
        best = best.min(timings.iter().map(|t| t.seconds).sum());
    }
    Ok(best.max(1e-9))
}
