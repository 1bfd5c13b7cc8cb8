//! Uploads parameters to the GPU piece by piece.

use crate::checkpoint::{Dtype, ModelSource, ParamSource};
use crate::error::Result;
use crate::graph::{ParamId, WeightType};
use crate::model::ParamDecl;
use crate::plan::{Part, Runner};

/// Rows of parameters that are read from a file and uploaded in one piece, in bytes.
const UPLOAD_BYTES: usize = 32 << 20;

/// Streams numbers of parameters to the GPU: weights that are kept in half precision as the bits that are stored, all else as f32.
/// The parameters stand in the store from `first_param` on; `source` counts them from 0.
///
/// # Errors
/// What the source fails with.
pub async fn upload(runner: &Runner, declarations: &[ParamDecl], first_param: usize, part: Part, source: &dyn ParamSource) -> Result<()> {
    let (store, gpu) = (&runner.store, &runner.gpu);
    for (index, d) in declarations.iter().enumerate() {
        let id = ParamId((first_param + index) as u32);
        let kept = store.params[first_param + index].weight_type;
        let rows = (UPLOAD_BYTES / (d.cols * kept.bytes())).clamp(1, d.rows);
        for first in (0..d.rows).step_by(rows) {
            let range = first..(first + rows).min(d.rows);
            match kept {
                WeightType::F32 => store.upload(gpu, part, id, first, &source.read_rows(index, range).await?),
                WeightType::Bf16 | WeightType::F16 => store.upload_half(gpu, id, first, &source.read_rows_half(index, range).await?),
            }
            // Uploads wait in staging memory until the next submission: hand them over piece by piece.
            runner.flush();
        }
    }
    gpu.check()
}

/// How a frozen parameter of a model is kept on the GPU: in the half precision that it is stored in, so that it takes no more
/// memory than the file, or as f32.
pub fn stored_type(model: &dyn ModelSource, declaration: &ParamDecl) -> WeightType {
    match model.dtype(declaration) {
        Dtype::BF16 => WeightType::Bf16,
        Dtype::F16 => WeightType::F16,
        _ => WeightType::F32,
    }
}
