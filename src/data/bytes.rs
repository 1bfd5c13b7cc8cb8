//! The bytes of a dataset file, a piece at a time, unpacked where the file is packed.

use std::io::Write;

use flate2::write::MultiGzDecoder;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::formats::lfs_pointer;
use crate::error::{Cause, Error, Result};
use crate::platform::{Directory, is_lfs_pointer, without_byte_order_mark};

/// How much of a file is read at once: little enough that a page which gives the reading up is heard soon.
const CHUNK: u64 = 256 << 10;
/// The same of a packed file, whose pieces may become a thousand times as large.
const PACKED_CHUNK: u64 = 32 << 10;

/// How a file is packed.
enum Packing {
    None,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstandard(Box<Zstandard>),
}

/// A file that is read from its beginning to its end.
pub(super) struct Bytes<'a> {
    dir: &'a dyn Directory,
    name: &'a str,
    shown: &'a str,
    size: u64,
    at: u64,
    packing: Packing,
    begun: bool,
    ended: bool,
}

impl<'a> Bytes<'a> {
    /// Opens a file; `shown` is what messages call it.
    ///
    /// # Errors
    /// [`Error::File`] when there is none.
    pub(super) async fn open(dir: &'a dyn Directory, name: &'a str, shown: &'a str) -> Result<Bytes<'a>> {
        let size = dir.size(name).await?.ok_or_else(|| Error::file(shown, "there is no such file").because(Cause::NotFound))?;
        let packing = match name.rsplit('.').next().map(str::to_lowercase).as_deref() {
            Some("gz") => Packing::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Some("zst") => Packing::Zstandard(Box::default()),
            _ => Packing::None,
        };
        Ok(Bytes { dir, name, shown, size, at: 0, packing, begun: false, ended: false })
    }

    /// How much of the file was read, from 0 to 1.
    pub(super) fn share(&self) -> f64 {
        if self.size == 0 { 1.0 } else { self.at as f64 / self.size as f64 }
    }

    /// The next bytes, never empty; None at the end.
    ///
    /// # Errors
    /// When the file cannot be read or unpacked.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let mut bytes = if self.at < self.size {
                let chunk = if matches!(self.packing, Packing::None) { CHUNK } else { PACKED_CHUNK };
                let end = (self.at + chunk).min(self.size);
                let raw = self.dir.read_range(self.name, self.at..end).await?;
                self.at = end;
                self.unpack(&raw)?
            } else if self.ended {
                return Ok(None);
            } else {
                self.ended = true;
                self.rest()?
            };
            if bytes.is_empty() {
                continue;
            }
            if !self.begun {
                self.begun = true;
                if is_lfs_pointer(&bytes) {
                    return Err(lfs_pointer(self.shown));
                }
                bytes = without_byte_order_mark(&bytes).to_vec();
            }
            return Ok(Some(bytes));
        }
    }

    fn unpack(&mut self, raw: &[u8]) -> Result<Vec<u8>> {
        let unpacked = match &mut self.packing {
            Packing::None => return Ok(raw.to_vec()),
            Packing::Gzip(decoder) => decoder.write_all(raw).map(|()| std::mem::take(decoder.get_mut())).map_err(|e| e.to_string()),
            Packing::Zstandard(decoder) => decoder.push(raw),
        };
        unpacked.map_err(|reason| self.fault(&reason))
    }

    fn rest(&mut self) -> Result<Vec<u8>> {
        let rest = match &mut self.packing {
            Packing::None => return Ok(Vec::new()),
            // A file without a byte holds no record, as any other file of that size; it is not a member that is cut off.
            Packing::Gzip(_) if self.size == 0 => return Ok(Vec::new()),
            Packing::Gzip(decoder) => decoder.try_finish().map(|()| std::mem::take(decoder.get_mut())).map_err(|e| e.to_string()),
            Packing::Zstandard(decoder) => decoder.finish(),
        };
        rest.map_err(|reason| self.fault(&reason))
    }

    fn fault(&self, reason: &str) -> Error {
        Error::dataset(self.shown, format!("this file cannot be unpacked, it seems to be damaged or cut off: {reason}"))
    }
}

/// Zstandard, a block at a time.
#[derive(Default)]
struct Zstandard {
    decoder: FrameDecoder,
    /// Bytes that are no whole block yet.
    waiting: Vec<u8>,
    begun: bool,
}

impl Zstandard {
    fn push(&mut self, raw: &[u8]) -> Result<Vec<u8>, String> {
        self.waiting.extend_from_slice(raw);
        self.decode(false)
    }

    fn finish(&mut self) -> Result<Vec<u8>, String> {
        let rest = self.decode(true)?;
        if self.begun || !self.waiting.is_empty() { Err("it ends within a block".into()) } else { Ok(rest) }
    }

    /// Decodes the blocks that are whole. The library reads from a source that blocks; here bytes come when they come, so each block
    /// is given to it only once all of it is there.
    fn decode(&mut self, at_end: bool) -> Result<Vec<u8>, String> {
        const HEADER: usize = 18;
        let (mut at, mut out) = (0, Vec::new());
        loop {
            let rest = &self.waiting[at..];
            let mut source = rest;
            if !self.begun {
                if rest.is_empty() || rest.len() < HEADER && !at_end {
                    break;
                }
                self.decoder.reset(&mut source).map_err(|e| e.to_string())?;
                self.begun = true;
            } else {
                let Some(&[a, b, c]) = rest.first_chunk::<3>() else { break };
                let header = u32::from_le_bytes([a, b, c, 0]);
                let (last, kind, size) = (header & 1 == 1, header >> 1 & 3, (header >> 3) as usize);
                // A repeated byte stands once; behind the last block there may be a checksum.
                let block = 3 + if kind == 1 { 1 } else { size };
                let checksum = if last && !at_end { 4 } else { 0 };
                if rest.len() < block + checksum {
                    break;
                }
                let finished = self.decoder.decode_blocks(&mut source, BlockDecodingStrategy::UptoBlocks(1)).map_err(|e| e.to_string())?;
                out.extend(self.decoder.collect().unwrap_or_default());
                self.begun = !finished;
            }
            at += rest.len() - source.len();
        }
        self.waiting.drain(..at);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{MemoryDirectory, block_on};

    fn all(name: &str, bytes: &[u8]) -> Result<Vec<u8>> {
        let dir = MemoryDirectory::new("d").with(name, bytes);
        block_on(async {
            let mut file = Bytes::open(&dir, name, name).await?;
            let mut all = Vec::new();
            while let Some(bytes) = file.next().await? {
                all.extend(bytes);
            }
            Ok(all)
        })
    }

    /// Text that compresses to more than one block and more than one chunk.
    fn text() -> Vec<u8> {
        let random = &mut crate::random::Random::new(3, 0);
        (0..4 << 20).map(|_| b"etaoin shrdlu\n0123456789"[random.below(24) as usize]).collect()
    }

    #[test]
    fn packed_files_are_unpacked_in_pieces() {
        let text = text();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).expect("memory");
        let gzip = gzip.finish().expect("memory");
        assert!(all("a.jsonl.gz", &gzip).expect("it is whole") == text);
        assert!(all("a.jsonl.gz", &[&gzip[..], &gzip].concat()).expect("two members") == [&text[..], &text].concat());
        let zstandard = ruzstd::encoding::compress_to_vec(&text[..], ruzstd::encoding::CompressionLevel::Fastest);
        assert!(all("a.jsonl.zst", &zstandard).expect("it is whole") == text);
        assert!(all("a.jsonl.zst", &[&zstandard[..], &zstandard].concat()).expect("two frames") == [&text[..], &text].concat());
        for (name, bytes) in [("a.gz", &gzip), ("a.zst", &zstandard)] {
            let fault = all(name, &bytes[..bytes.len() / 2]).expect_err("cut off").to_string();
            assert!(fault.contains("damaged or cut off"), "{fault}");
            assert!(all(name, b"no such thing").is_err() && all(name, b"").expect("nothing").is_empty());
        }
        assert_eq!(all("a.txt", b"\xef\xbb\xbfone\n"), Ok(b"one\n".to_vec()));
    }
}
