//! The part of the zip format that torch's files need: the central directory at the end of the file, with its 64-bit form, and uncompressed
//! entries.

use crate::error::{Cause, Error, Result};
use crate::platform::Directory;

/// The largest accepted central directory, in bytes.
const MAX_DIRECTORY: u64 = 64 << 20;
const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const END64: &[u8] = b"PK\x06\x06";
const END64_BYTES: u64 = 56;
const LOCATOR: &[u8] = b"PK\x06\x07";
const LOCATOR_BYTES: usize = 20;
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_BYTES: u64 = 30;
/// The longest comment after the central directory, in bytes.
const MAX_COMMENT: u64 = 65_535;

/// An entry of the archive.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// Offset of its local header.
    header: u64,
    stored: bool,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Reads the archive's entries.
pub(super) async fn entries(dir: &dyn Directory, file: &str, size: u64) -> Result<Vec<Entry>> {
    let damaged = || Error::file(file, "the archive is cut short or damaged; get the file again").because(Cause::Truncated);
    let tail_start = size.saturating_sub(END_BYTES as u64 + MAX_COMMENT + LOCATOR_BYTES as u64);
    let tail = dir.read_range(file, tail_start..size).await?;
    let end = tail.windows(END.len()).rposition(|window| window == END).ok_or_else(damaged)?;
    let record = tail.get(end..end + END_BYTES).ok_or_else(damaged)?;
    let (mut length, mut start) = u32_at(record, 12).zip(u32_at(record, 16)).ok_or_else(damaged)?;
    let locator = end.checked_sub(LOCATOR_BYTES).and_then(|at| tail.get(at..end)).filter(|locator| locator.starts_with(LOCATOR));
    if let Some(at) = locator.and_then(|locator| u64_at(locator, 8)) {
        let record_end = at.checked_add(END64_BYTES).filter(|end| *end <= size).ok_or_else(damaged)?;
        let record = dir.read_range(file, at..record_end).await?;
        if !record.starts_with(END64) {
            return Err(damaged());
        }
        (length, start) = u64_at(&record, 40).zip(u64_at(&record, 48)).ok_or_else(damaged)?;
    }
    let end = start.checked_add(length).filter(|end| *end <= size && length <= MAX_DIRECTORY).ok_or_else(damaged)?;
    let directory = dir.read_range(file, start..end).await?;
    let mut rest = directory.as_slice();
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (entry, used) = entry(rest).ok_or_else(damaged)?;
        entries.push(entry);
        rest = &rest[used..];
    }
    Ok(entries)
}

/// Parses one entry of the central directory; also returns its length in bytes.
fn entry(bytes: &[u8]) -> Option<(Entry, usize)> {
    if !bytes.starts_with(ENTRY) {
        return None;
    }
    let (flags, method) = (u16_at(bytes, 8)?, u16_at(bytes, 10)?);
    let (compressed, mut size) = (u32_at(bytes, 20)?, u32_at(bytes, 24)?);
    let mut header = u32_at(bytes, 42)?;
    let name_end = ENTRY_BYTES + u16_at(bytes, 28)? as usize;
    let extra_end = name_end + u16_at(bytes, 30)? as usize;
    let used = extra_end + u16_at(bytes, 32)? as usize;
    let name = String::from_utf8(bytes.get(ENTRY_BYTES..name_end)?.to_vec()).ok()?;
    let mut extra = bytes.get(name_end..extra_end)?;
    bytes.get(..used)?;
    while extra.len() >= 4 {
        let (id, length) = (u16_at(extra, 0)?, u16_at(extra, 2)? as usize);
        let field = extra.get(4..4 + length)?;
        if id == 1 {
            // The 64-bit values of the fields that do not fit above, in this order.
            let mut at = 0;
            let mut take = |small: u64| {
                if small != u64::from(u32::MAX) {
                    return Some(small);
                }
                at += 8;
                u64_at(field, at - 8)
            };
            size = take(size)?;
            take(compressed)?;
            header = take(header)?;
        }
        extra = &extra[4 + length..];
    }
    const ENCRYPTED: u64 = 1;
    Some((Entry { name, bytes: size, header, stored: method == 0 && flags & ENCRYPTED == 0 }, used))
}

impl Entry {
    /// The offset of its first byte in the file; all of its bytes are checked to lie within the file.
    pub(super) async fn offset(&self, dir: &dyn Directory, file: &str, size: u64) -> Result<u64> {
        let damaged = || Error::file(file, format!("{} is cut short; get the file again", self.name)).because(Cause::Truncated);
        if !self.stored {
            return Err(Error::file(file, format!("{} is compressed, which torch.save never does", self.name)));
        }
        let end = self.header.checked_add(LOCAL_BYTES).filter(|end| *end <= size).ok_or_else(damaged)?;
        let local = dir.read_range(file, self.header..end).await?;
        let (name, extra) = u16_at(&local, 26).zip(u16_at(&local, 28)).ok_or_else(damaged)?;
        let begin = end + name + extra;
        if !local.starts_with(LOCAL) || begin.checked_add(self.bytes).is_none_or(|end| end > size) {
            return Err(damaged());
        }
        Ok(begin)
    }
}
