//! The end of Parquet files, where their metadata lie.

use super::Directory;
use crate::error::{Cause, Error, Result};

/// What ends a file: the length of the metadata before it, and `PAR1`.
const TAIL: u64 = 8;
/// The most metadata that is read.
const MAX_METADATA: u64 = 64 << 20;

/// A file's size, and its bytes from the metadata to its end.
///
/// # Errors
/// [`Error::File`] when there is none, [`Error::Dataset`] when it does not end as a Parquet file.
pub(super) async fn read(dir: &dyn Directory, name: &str, shown: &str) -> Result<(u64, Vec<u8>)> {
    let size = dir.size(name).await?.ok_or_else(|| Error::file(shown, "there is no such file").because(Cause::NotFound))?;
    let tail = if size < TAIL { Vec::new() } else { dir.read_range(name, size - TAIL..size).await? };
    let length = match tail.split_first_chunk::<4>() {
        Some((length, b"PAR1")) => u64::from(u32::from_le_bytes(*length)),
        Some((_, b"PARE")) => return Err(Error::dataset(shown, "this Parquet file is encrypted; save it without encryption")),
        _ => return Err(damaged(shown, "it does not end as a Parquet file does")),
    };
    if length > MAX_METADATA || length > size - TAIL {
        return Err(damaged(shown, &format!("its metadata are said to take {length} bytes")));
    }
    Ok((size, dir.read_range(name, size - TAIL - length..size).await?))
}

/// A file that cannot be read, and why.
pub(super) fn damaged(shown: &str, reason: &str) -> Error {
    let end = if reason.contains("brotli") { "write it with compression=\"zstd\"" } else { "the file seems to be damaged or cut off" };
    Error::dataset(shown, format!("this Parquet file cannot be read ({reason}); {end}"))
}
