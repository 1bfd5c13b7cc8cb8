//! Uploads parameters to the GPU piece by piece.

use crate::checkpoint::{Dtype, ModelSource, ParamSource};
use crate::error::{Error, Result};
use crate::graph::{ParamId, WeightType};
use crate::model::ParamDecl;
use crate::plan::{Part, Runner};
use crate::quant::Packer;

/// Rows of parameters that are read from a file and uploaded in one piece, in bytes: few enough that the same memory is taken again for the next ones.
const UPLOAD_BYTES: usize = 8 << 20;

/// The same of those that are quantised on the way.
const PACK_BYTES: usize = 8 << 20;

/// Streams numbers of parameters to the GPU: weights that are kept in half precision as the bits that are
/// stored, those that are kept in blocks quantised, all else as f32.
/// The parameters stand in the store from `first_param` on; `source` counts them from 0.
///
/// # Errors
/// What the source fails with.
pub async fn upload(runner: &Runner, declarations: &[ParamDecl], first_param: usize, part: Part, source: &dyn ParamSource) -> Result<()> {
    let (store, gpu) = (&runner.store, &runner.gpu);
    for (index, d) in declarations.iter().enumerate() {
        let id = ParamId((first_param + index) as u32);
        let kept = store.params[first_param + index].weight_type;
        if kept.is_packed() {
            if !upload_blocks(runner, id, kept, index, d, source).await? {
                store.upload_packed(gpu, id, 0, &pack(kept, index, d, source).await?);
                runner.flush();
            }
            continue;
        }
        let rows = (UPLOAD_BYTES / kept.row_bytes(d.cols)).clamp(1, d.rows);
        for first in (0..d.rows).step_by(rows) {
            let range = first..(first + rows).min(d.rows);
            match kept {
                WeightType::F32 => store.upload(gpu, part, id, first, &source.read_rows(index, range).await?),
                _ => store.upload_half(gpu, id, first, &source.read_rows_half(index, range).await?),
            }
            // Uploads wait in staging memory until the next submission: hand them over piece by piece.
            runner.flush();
        }
    }
    gpu.check()
}

/// Uploads a parameter that is stored in the blocks in which it is kept; false where it is not.
async fn upload_blocks(
    runner: &Runner,
    id: ParamId,
    kept: WeightType,
    index: usize,
    d: &ParamDecl,
    source: &dyn ParamSource,
) -> Result<bool> {
    let rows = (UPLOAD_BYTES / kept.row_bytes(d.cols)).clamp(1, d.rows);
    for first in (0..d.rows).step_by(rows) {
        let Some(bytes) = source.read_blocks(index, kept, first..(first + rows).min(d.rows)).await? else { return Ok(false) };
        runner.store.upload_packed(&runner.gpu, id, first, &bytes);
        runner.flush();
    }
    Ok(true)
}

/// Quantises a parameter while it is read. Packed it is in memory as a whole: its scales may depend on all of it.
async fn pack(kept: WeightType, index: usize, d: &ParamDecl, source: &dyn ParamSource) -> Result<Vec<u8>> {
    if let WeightType::Ggml(blocks) = kept {
        return Err(Error::tensor("", &d.name, format!("is not stored in the blocks that it is to be kept in ({})", blocks.name())));
    }
    let mut packer = Packer::new(kept, d.rows, d.cols);
    let rows = (PACK_BYTES / (4 * d.cols)).clamp(1, d.rows);
    for first in (0..d.rows).step_by(rows) {
        packer.push(&source.read_rows(index, first..(first + rows).min(d.rows)).await?);
    }
    Ok(packer.finish())
}

/// How a frozen parameter of a model is kept on the GPU: in the blocks that the source asks for; in the half precision
/// that it is stored in, so that it takes no more memory than the file; or as f32.
pub fn stored_type(model: &dyn ModelSource, declaration: &ParamDecl) -> WeightType {
    if let Some(kept) = model.kept(declaration) {
        return kept;
    }
    match model.dtype(declaration) {
        Dtype::BF16 => WeightType::Bf16,
        Dtype::F16 => WeightType::F16,
        _ => WeightType::F32,
    }
}
