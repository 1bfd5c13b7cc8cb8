//! Base and adapters as one model on disk.

use crate::adapter::{Adapter, Merged};
use crate::checkpoint::{Carry, Checkpoint, Dtype, ModelSource, ValueHead, WriteOptions, write_checkpoint, write_value_head};
use crate::error::Result;
use crate::model::value_head_params;
use crate::platform::OutputDirectory;

/// Writes a complete model whose weights are the base's with the adapters' changes added, in f32 with one rounding at the end. Tokenizer
/// and chat template are those of the last adapter that has any, else the base's. `dtype` is the type of the numbers, the base's when
/// absent. Returns the type that was written.
///
/// # Errors
/// [`crate::Error::Config`] when the adapters do not go together; what reading and writing fail with.
pub async fn write_merged(base: &Checkpoint, adapters: &[Adapter], dtype: Option<Dtype>, out: &dyn OutputDirectory) -> Result<Dtype> {
    let dtype = dtype.map_or_else(|| Merged::new(base, adapters).map(|merged| merged.base_dtype()), Ok)?;
    write_merged_as(base, adapters, WriteOptions { dtype, ..WriteOptions::default() }, out).await?;
    Ok(dtype)
}

/// The same with the sizes of files chosen too.
///
/// # Errors
/// As [`write_merged`].
pub async fn write_merged_as(base: &Checkpoint, adapters: &[Adapter], options: WriteOptions, out: &dyn OutputDirectory) -> Result<()> {
    let merged = Merged::new(base, adapters)?;
    let mut carry = Carry::load(&**base.directory()).await?;
    for adapter in adapters {
        carry.replace_by(Carry::load(&**adapter.directory()).await?);
    }
    write_checkpoint(out, &options, merged.config(), merged.params(), &merged, &carry).await?;
    // A reward model's value head goes along: the last adapter's that has one, else the base's.
    let directories = adapters.iter().rev().map(Adapter::directory).chain([base.directory()]);
    for directory in directories {
        if let Some(head) = ValueHead::find(directory, base.config().hidden_size).await? {
            return write_value_head(out, &value_head_params(base.config().hidden_size), &head).await;
        }
    }
    Ok(())
}
