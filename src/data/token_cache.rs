//! Tokens of datasets, kept between runs in the directory that `tokenized_path` names. A file of it is found by a hash of all that the
//! tokens depend on: the datasets' bytes, how they are read, tokenizer and template. What depends on other keys (packing, held-out
//! samples, order) is made anew, so that runs that differ in them share a file.

use sha2::{Digest, Sha256};

use super::sample::Feedback;
use super::samples::RecordTokens;
use crate::error::{Cause, Error, Result};
use crate::platform::{Directory, OutputDirectory};

const MAGIC: &[u8] = b"RSTOKEN3";
/// Records are written together until there are so many bytes of them.
const BLOCK: usize = 1 << 22;

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CachedTokens {
    pub(super) records: Vec<RecordTokens>,
    /// What the user was told about the datasets.
    pub(super) notices: Vec<String>,
}

/// The name of a file by its key, which is a hash in hexadecimal digits.
fn file_name(key: &str) -> String {
    format!("tokens-{}.bin", &key[..key.len().min(32)])
}

/// Reads the tokens of that key; None where there are none, or what there is is damaged.
///
/// # Errors
/// When the directory cannot be read.
pub(super) async fn load(dir: &dyn Directory, key: &str) -> Result<Option<CachedTokens>> {
    let name = file_name(key);
    match read(dir, &name).await {
        Ok(found) => Ok(found),
        Err(error) if error.cause() == Cause::Truncated => Ok(None),
        Err(error) => Err(error),
    }
}

async fn read(dir: &dyn Directory, name: &str) -> Result<Option<CachedTokens>> {
    let Some(size) = dir.size(name).await? else { return Ok(None) };
    let mut hash = Sha256::new();
    let mut at = MAGIC.len() as u64;
    if size < at || dir.read_range(name, 0..at).await? != MAGIC {
        return Ok(None);
    }
    let mut blocks = Vec::new();
    let mut cached = CachedTokens::default();
    loop {
        if at + 4 > size {
            return Ok(None);
        }
        let length = dir.read_range(name, at..at + 4).await?;
        hash.update(&length);
        let length = u64::from(u32::from_le_bytes([length[0], length[1], length[2], length[3]]));
        at += 4;
        if length == 0 {
            break;
        }
        if at + length > size {
            return Ok(None);
        }
        let block = dir.read_range(name, at..at + length).await?;
        hash.update(&block);
        at += length;
        if blocks.is_empty() {
            let Ok(notices) = serde_json::from_slice(&block) else { return Ok(None) };
            cached.notices = notices;
            blocks.push(());
        } else if !unpack(&block, &mut cached.records) {
            return Ok(None);
        }
    }
    let whole = at + 32 == size && dir.read_range(name, at..size).await? == hash.finalize()[..];
    Ok(whole.then_some(cached))
}

/// Writes the tokens of a key; the file appears when it is whole.
///
/// # Errors
/// [`Error::NoSpace`] or [`Error::File`].
pub(super) async fn save(dir: &dyn OutputDirectory, key: &str, records: &[RecordTokens], notices: &[String]) -> Result<()> {
    let name = file_name(key);
    let mut file = dir.create(&name).await?;
    let mut hash = Sha256::new();
    let first = serde_json::to_vec(notices).map_err(|e| Error::file(&name, format!("it cannot be written as JSON: {e}")))?;
    file.write(MAGIC).await?;
    let mut block = first;
    for record in records.iter().map(Some).chain([None]) {
        let full = record.is_none_or(|_| block.len() >= BLOCK) || block.first() == Some(&b'[');
        if full && !block.is_empty() {
            let length = u32::try_from(block.len()).unwrap_or(u32::MAX).to_le_bytes();
            hash.update(length);
            hash.update(&block);
            file.write(&length).await?;
            file.write(&block).await?;
            block.clear();
        }
        if let Some(record) = record {
            pack(record, &mut block);
        }
    }
    let end = 0u32.to_le_bytes();
    hash.update(end);
    file.write(&end).await?;
    file.write(&hash.finalize()).await?;
    file.finish().await
}

/// What is known of a record's answers, by the number that is packed for it.
const FEEDBACK: [Option<Feedback>; 5] = [None, Some(Feedback::Pair), Some(Feedback::Good), Some(Feedback::Bad), Some(Feedback::Judged)];

/// Appends a record: flags, line, the length that it needs, sequences, each with its ids and, where not every token is learned, its labels.
fn pack(record: &RecordTokens, out: &mut Vec<u8>) {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let feedback = FEEDBACK.iter().position(|known| *known == record.feedback).unwrap_or(0) as u8;
    out.push(u8::from(record.truncated) | u8::from(record.conversation) << 1 | feedback << 2);
    out.extend(number(record.line));
    out.extend(number(record.needs));
    out.extend(number(record.sequences.len()));
    for (ids, labels) in &record.sequences {
        out.extend(number(ids.len()));
        out.push(u8::from(!labels.is_empty()));
        out.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
        out.extend(labels.iter().flat_map(|label| label.to_le_bytes()));
    }
}

/// Reads the records of a block; false where it is none.
fn unpack(mut block: &[u8], records: &mut Vec<RecordTokens>) -> bool {
    fn number(block: &mut &[u8]) -> Option<usize> {
        let (head, tail) = block.split_first_chunk::<4>()?;
        *block = tail;
        Some(u32::from_le_bytes(*head) as usize)
    }
    fn byte(block: &mut &[u8]) -> Option<u8> {
        let (head, tail) = block.split_first()?;
        *block = tail;
        Some(*head)
    }
    fn numbers<T>(block: &mut &[u8], count: usize, read: impl Fn([u8; 4]) -> T) -> Option<Vec<T>> {
        let (head, tail) = block.split_at_checked(count.checked_mul(4)?)?;
        *block = tail;
        Some(head.chunks_exact(4).map(|four| read([four[0], four[1], four[2], four[3]])).collect())
    }
    fn record(block: &mut &[u8]) -> Option<RecordTokens> {
        let flags = byte(block)?;
        let (line, needs) = (number(block)?, number(block)?);
        let feedback = *FEEDBACK.get(usize::from(flags >> 2))?;
        let (truncated, conversation) = (flags & 1 != 0, flags & 2 != 0);
        let mut record = RecordTokens { line, truncated, needs, conversation, feedback, ..Default::default() };
        for _ in 0..number(block)? {
            let count = number(block)?;
            let labelled = byte(block)? != 0;
            let ids = numbers(block, count, u32::from_le_bytes)?;
            let labels = numbers(block, if labelled { count } else { 0 }, i32::from_le_bytes)?;
            record.sequences.push((ids, labels));
        }
        Some(record)
    }
    while !block.is_empty() {
        match record(&mut block) {
            Some(record) => records.push(record),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{MemoryDirectory, block_on};

    fn records() -> Vec<RecordTokens> {
        let record = |i: usize| RecordTokens {
            sequences: vec![(vec![i as u32, 7, 300], vec![-100, 7, 300]), (vec![5; i % 4], Vec::new())],
            line: i + 1,
            truncated: i.is_multiple_of(2),
            needs: i % 9,
            conversation: i.is_multiple_of(3),
            feedback: FEEDBACK[i % FEEDBACK.len()],
        };
        (0..200_000).map(record).collect()
    }

    #[test]
    fn tokens_come_back_as_they_were_and_damage_is_seen() {
        let dir = MemoryDirectory::new("cache");
        let (key, records, notices) = ("0123456789abcdef".repeat(4), records(), vec!["a \"remark\"".to_string()]);
        assert_eq!(block_on(load(&dir, &key)), Ok(None));
        block_on(save(&dir, &key, &records, &notices)).expect("memory");
        assert!(block_on(load(&dir, &key)).expect("readable") == Some(CachedTokens { records, notices }));
        assert_eq!(block_on(load(&dir, &"f".repeat(64))), Ok(None));
        let name = file_name(&key);
        let whole = block_on(dir.read(&name)).expect("it is there");
        for at in [3, 9, 40, whole.len() / 2, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert_eq!(block_on(load(&dir.clone().with(&name, bytes), &key)), Ok(None), "byte {at}");
            assert_eq!(block_on(load(&dir.clone().with(&name, whole[..at].to_vec()), &key)), Ok(None), "cut at {at}");
        }
        block_on(save(&dir, &key, &[], &[])).expect("memory");
        assert_eq!(block_on(load(&dir, &key)), Ok(Some(CachedTokens::default())));
    }
}
