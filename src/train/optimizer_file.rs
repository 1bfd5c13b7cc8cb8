//! `optimizer.safetensors` of a checkpoint: of every trained parameter what the optimiser keeps, as `<state>.<name>` (AdamW: `exp_avg` and
//! `exp_avg_sq`), and `master.<name>`, its weights, where the model is written in less than f32 (an adapter is always written in f32).
//! States of 8 bits are written as the GPU keeps them, codes and scales.

use std::ops::Range;
use std::rc::Rc;

use safetensors::Dtype;

use super::names::OPTIMIZER_FILE;
use crate::checkpoint::{ParamSource, TensorFile, TensorFileWriter, TensorInfo};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::graph::{State, StateEncoding};
use crate::model::ParamDecl;
use crate::plan::Part;
use crate::platform::{Directory, OutputDirectory};

/// Rows of a parameter that are copied in one piece, in bytes.
const PIECE_BYTES: usize = 16 << 20;

const MASTER: &str = "master";

/// The trained parameters and their states, state by state: the order of the file.
fn states(engine: &Engine) -> Vec<(usize, u8, State)> {
    let trained = engine.trained();
    let most = trained.iter().map(|&index| engine.states(index).len()).max().unwrap_or(0);
    let of = |state: usize| trained.iter().filter_map(move |&index| Some((index, state as u8, *engine.states(index).get(state)?)));
    (0..most).flat_map(of).collect()
}

/// Writes the file; `master` says whether the weights are part of it.
pub(super) async fn write(master: bool, engine: &Engine, dir: &dyn OutputDirectory) -> Result<()> {
    let states = states(engine);
    let trained = if master { engine.trained() } else { Vec::new() };
    let mut infos = Vec::new();
    let numbers = |d: &ParamDecl| vec![d.rows as u64, d.cols as u64];
    for (index, state, State { name, encoding }) in &states {
        let d = &engine.declarations[*index];
        let (dtype, shape) = match encoding {
            StateEncoding::F32 => (Dtype::F32, numbers(d)),
            StateEncoding::Codes => (Dtype::U8, vec![engine.state_bytes(*index, *state)]),
            StateEncoding::Scales | StateEncoding::Rows | StateEncoding::Columns => {
                (Dtype::F32, vec![engine.state_bytes(*index, *state) / 4])
            }
        };
        infos.push(TensorInfo::new(format!("{name}.{}", d.name), dtype, shape));
    }
    for d in trained.iter().map(|&index| &engine.declarations[index]) {
        infos.push(TensorInfo::new(format!("{MASTER}.{}", d.name), Dtype::F32, numbers(d)));
    }
    let mut file = TensorFileWriter::create(dir, OPTIMIZER_FILE, &infos, &[]).await?;
    for (index, state, State { name, encoding }) in states {
        let name = format!("{name}.{}", engine.declarations[index].name);
        match encoding {
            StateEncoding::F32 => write_rows(&mut file, &name, engine, index, Part::State(state)).await?,
            _ => file.write(&name, &engine.read_state(index, state).await?).await?,
        }
    }
    for index in trained {
        write_rows(&mut file, &format!("{MASTER}.{}", engine.declarations[index].name), engine, index, Part::Weights).await?;
    }
    file.finish().await
}

async fn write_rows(file: &mut TensorFileWriter, name: &str, engine: &Engine, index: usize, part: Part) -> Result<()> {
    let (d, source) = (&engine.declarations[index], engine.part(part));
    let rows = (PIECE_BYTES / (d.cols * 4)).clamp(1, d.rows);
    for first in (0..d.rows).step_by(rows) {
        let data = source.read_rows(index, first..(first + rows).min(d.rows)).await?;
        file.write(name, bytemuck::cast_slice(&data)).await?;
    }
    Ok(())
}

/// Brings the weights back where the file has them at full precision; false where it does not.
pub(super) async fn restore_master(engine: &Engine, dir: Rc<dyn Directory>) -> Result<bool> {
    if dir.size(OPTIMIZER_FILE).await?.is_none() {
        return Ok(false);
    }
    let file = TensorFile::open(dir, OPTIMIZER_FILE).await?;
    if !file.tensors().iter().any(|t| t.name.starts_with(MASTER)) {
        return Ok(false);
    }
    let master = SavedPart { file: &file, prefix: MASTER, declarations: &engine.declarations };
    engine.load_trained(Part::Weights, &master).await?;
    Ok(true)
}

/// Brings back what the optimiser keeps.
///
/// # Errors
/// [`Error::Tensor`] when a state is missing or of another size.
pub(super) async fn restore(engine: &Engine, dir: Rc<dyn Directory>) -> Result<()> {
    let file = TensorFile::open(dir, OPTIMIZER_FILE).await?;
    for (index, state, State { name, encoding }) in states(engine) {
        if encoding == StateEncoding::F32 {
            let saved = SavedPart { file: &file, prefix: name, declarations: &engine.declarations };
            engine.load_one(index, Part::State(state), &saved).await?;
            continue;
        }
        let tensor = format!("{name}.{}", engine.declarations[index].name);
        let elements = file.get(&tensor).map_or(0, |entry| entry.elements());
        let bytes = file.read_bytes(&tensor, 0..elements).await?;
        let wanted = engine.state_bytes(index, state);
        if bytes.len() as u64 != wanted {
            let reason = format!("has {} bytes, this run keeps {wanted}; resume from another checkpoint", bytes.len());
            return Err(Error::tensor(file.name(), tensor, reason));
        }
        engine.write_state(index, state, &bytes);
    }
    Ok(())
}

/// One of the parts in the file, as a source of parameters.
struct SavedPart<'a> {
    file: &'a TensorFile,
    prefix: &'static str,
    declarations: &'a [ParamDecl],
}

#[async_trait::async_trait(?Send)]
impl ParamSource for SavedPart<'_> {
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        let d = &self.declarations[param];
        let range = (rows.start * d.cols) as u64..(rows.end * d.cols) as u64;
        self.file.read_f32(&format!("{}.{}", self.prefix, d.name), range).await
    }
}
