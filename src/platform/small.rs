//! Small files of a directory (configurations, indexes, templates): read whole, with a size limit for each kind of file, so that an
//! untrusted file never takes more memory than its kind needs.

use super::Directory;
use crate::error::{Cause, Error, Result};

const MIB: u64 = 1 << 20;

/// Size limits in bytes, by file name or its ending. Each is several times the size in the largest published models; JSON takes up
/// to a hundred times its size in memory, so no limit is higher than necessary.
const LIMITS: [(&str, u64); 13] = [
    ("tokenizer.json", 64 * MIB), // gemma 3 has 33 MB
    ("tokenizer_config.json", 8 * MIB),
    ("generation_config.json", MIB),
    ("adapter_config.json", 4 * MIB),
    ("config.json", 2 * MIB),
    ("special_tokens_map.json", MIB),
    ("added_tokens.json", 4 * MIB),
    (".index.json", 8 * MIB), // one line for each tensor: room for 80,000
    ("chat_template.json", 2 * MIB),
    (".jinja", MIB),
    ("dataset_info.json", 16 * MIB),
    (".yaml", MIB),
    (".yml", MIB),
];
/// The limit for all other small files.
const OTHERS: u64 = 64 * MIB;

/// The size limit for a small file of this name, in bytes.
pub fn size_limit(name: &str) -> u64 {
    LIMITS.iter().find(|(end, _)| name.ends_with(end)).map_or(OTHERS, |(_, limit)| *limit)
}

/// Reads a small file whole.
///
/// # Errors
/// [`Error::File`] when it is missing, cannot be read, or exceeds the size limit of its kind.
pub async fn read_small(dir: &dyn Directory, name: &str) -> Result<Vec<u8>> {
    if let Some(size) = dir.size(name).await? {
        check_size(name, size).map_err(|reason| Error::file(format!("{}/{name}", dir.label()), reason).because(Cause::TooLarge))?;
    }
    dir.read(name).await
}

/// Checks the size of a small file against its limit; the error is a message without the path.
///
/// # Errors
/// A message that says what is wrong and what to do.
pub fn check_size(name: &str, size: u64) -> std::result::Result<(), String> {
    let limit = size_limit(name);
    if size <= limit {
        return Ok(());
    }
    let kind = name.rsplit('/').next().unwrap_or(name);
    Err(format!(
        "this file has {size} bytes, and a {kind} of more than {} MiB is not read: it cannot be what its name says; get it again from where it came from",
        limit / MIB
    ))
}

/// Whether these are the first bytes of a git-lfs pointer: the text in place of a file after a clone without git-lfs.
pub fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"version https://git-lfs")
}

/// The bytes without a leading UTF-8 byte order mark.
pub fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// [`without_byte_order_mark`] of a text.
pub fn text_without_byte_order_mark(text: &str) -> &str {
    // A whole character is removed from the front of UTF-8, so what is left is UTF-8.
    std::str::from_utf8(without_byte_order_mark(text.as_bytes())).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{MemoryDirectory, block_on};

    #[test]
    fn each_kind_has_its_limit() {
        assert_eq!(size_limit("config.json"), 2 * MIB);
        assert_eq!(size_limit("generation_config.json"), MIB);
        assert_eq!(size_limit("checkpoint-5/adapter_config.json"), 4 * MIB);
        assert_eq!(size_limit("model.safetensors.index.json"), 8 * MIB);
        assert_eq!(size_limit("additional_chat_templates/rag.jinja"), MIB);
        assert_eq!(size_limit("tokenizer.model"), OTHERS);
    }

    #[test]
    fn a_file_above_its_limit_is_refused_before_it_is_read() {
        let dir =
            MemoryDirectory::new("m").with("config.json", vec![b' '; 2 << 20]).with("generation_config.json", vec![b' '; (1 << 20) + 1]);
        assert_eq!(block_on(read_small(&dir, "config.json")).map(|bytes| bytes.len()), Ok(2 << 20));
        let error = block_on(read_small(&dir, "generation_config.json")).expect_err("too large").to_string();
        assert!(error.starts_with("m/generation_config.json: this file has 1048577 bytes"), "{error}");
    }
}
