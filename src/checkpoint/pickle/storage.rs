//! The two file layouts of `torch.save`: locates the pickle and each storage.

use std::collections::HashMap;

use super::machine::Machine;
use super::value::Value;
use super::{Found, MAX_PICKLE, Place, run, width, zip};
use crate::error::{Cause, Error, Result};
use crate::platform::Directory;

/// A zip archive: `<name>/data.pkl`, `<name>/data/<key>`, `<name>/byteorder`.
pub(super) async fn read_zip(dir: &dyn Directory, file: &str, size: u64) -> Result<Found> {
    let entries = zip::entries(dir, file, size).await?;
    let Some((pickle, prefix)) = entries.iter().find_map(|entry| Some((entry, entry.name.strip_suffix("data.pkl")?))) else {
        return Err(Error::file(file, "this archive holds no data.pkl, so torch.save did not write it"));
    };
    if pickle.bytes > MAX_PICKLE {
        return Err(too_long(file));
    }
    if let Some(order) = entries.iter().find(|entry| entry.name.strip_prefix(prefix) == Some("byteorder")) {
        let offset = order.offset(dir, file, size).await?;
        if dir.read_range(file, offset..offset + order.bytes.min(3)).await? == b"big" {
            return Err(Error::file(file, "it was written on a big-endian machine; save it as safetensors there"));
        }
    }
    let offset = pickle.offset(dir, file, size).await?;
    let bytes = dir.read_range(file, offset..offset + pickle.bytes).await?;
    let mut machine = Machine::default();
    let Some((root, _)) = run(file, &mut machine, &bytes)? else {
        return Err(Error::file(file, "its data.pkl is cut short; get the file again").because(Cause::Truncated));
    };
    let data: HashMap<&str, &zip::Entry> =
        entries.iter().filter_map(|entry| Some((entry.name.strip_prefix(prefix)?.strip_prefix("data/")?, entry))).collect();
    let mut places = HashMap::new();
    for storage in machine.storages() {
        if places.contains_key(&storage.key) {
            continue;
        }
        let Some(entry) = data.get(storage.key.as_str()) else { continue };
        let offset = entry.offset(dir, file, size).await?;
        places.insert(storage.key.clone(), Place { offset, bytes: entry.bytes });
    }
    Ok(Found { machine, root, places })
}

/// The format before torch 1.6: magic number, version, a description of the system, the object, the keys of its storages (each of these
/// five is a pickle), then the number of elements and the bytes of each storage.
pub(super) async fn read_legacy(dir: &dyn Directory, file: &str, size: u64) -> Result<Found> {
    let cut_short = || Error::file(file, "the file is cut short; get it again").because(Cause::Truncated);
    let mut wanted = 1 << 16;
    let (machine, root, keys, mut at) = loop {
        let bytes = dir.read_range(file, 0..size.min(wanted)).await?;
        match legacy_pickles(file, &bytes)? {
            Some(found) => break found,
            None if wanted >= size => return Err(cut_short()),
            None if wanted >= MAX_PICKLE => return Err(too_long(file)),
            None => wanted *= 8,
        }
    };
    let widths: HashMap<&str, u64> = machine.storages().iter().map(|storage| (storage.key.as_str(), width(storage.dtype))).collect();
    let mut places = HashMap::new();
    for key in keys {
        let start = at + 8;
        if start > size {
            return Err(cut_short());
        }
        let count = dir.read_range(file, at..start).await?;
        let count = count.first_chunk().map_or(0, |count| u64::from_le_bytes(*count));
        let Some(width) = widths.get(key.as_str()) else {
            return Err(Error::file(file, format!("its storage {key} belongs to no tensor; the file is damaged")));
        };
        let bytes = count.checked_mul(*width).ok_or_else(cut_short)?;
        at = start.checked_add(bytes).filter(|end| *end <= size).ok_or_else(cut_short)?;
        places.insert(key, Place { offset: start, bytes });
    }
    Ok(Found { machine, root, places })
}

type Pickles = (Machine, Value, Vec<String>, u64);

/// Reads the five pickles; `None` when `bytes` is too short to hold them.
fn legacy_pickles(file: &str, bytes: &[u8]) -> Result<Option<Pickles>> {
    let mut machine = Machine::default();
    let mut at = 0;
    let mut values = [Value::None; 5];
    for value in &mut values {
        let Some((found, length)) = run(file, &mut machine, &bytes[at..])? else { return Ok(None) };
        (*value, at) = (found, at + length);
    }
    let [_, _, system, root, keys] = values;
    let little = machine.dict(system).and_then(|entries| entries.iter().find(|(key, _)| machine.text(*key) == Some("little_endian")));
    if little.is_some_and(|(_, little)| *little == Value::Bool(false)) {
        return Err(Error::file(file, "it was written on a big-endian machine; save it as safetensors there"));
    }
    let keys = machine.items(keys).unwrap_or_default().iter().filter_map(|key| machine.text(*key)).map(str::to_string).collect();
    Ok(Some((machine, root, keys, at as u64)))
}

fn too_long(file: &str) -> Error {
    Error::file(file, format!("its pickle has more than {} MB beside the tensors; this is not a model's weights", MAX_PICKLE >> 20))
}
