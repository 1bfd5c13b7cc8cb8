//! Checkpoints of `torch.distributed.checkpoint`, which FSDP leaves when nothing was gathered: `.metadata`, a pickle that says which rows of which
//! parameter lie where, and a file `__RANK_NUMBER.distcp` for each process, in which every piece is an archive of `torch.save`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use super::TensorFile;
use super::header::{Header, TensorEntry};
use super::pickle::{Node, Saved};
use super::zero::{Gathered, Piece};
use crate::error::{Error, Result};
use crate::platform::{Directory, Entry};

const METADATA: &str = ".metadata";
const SHARD: &str = ".distcp";
/// The most pieces of all parameters together: a thousand parameters of a hundred processes. Each is an archive that is opened.
const MAX_PIECES: usize = 100_000;

/// The parameters of such a checkpoint.
pub struct DistributedShards {
    /// The directory of its files within the given one, with a slash at its end; empty when it is the given one itself.
    pub folder: String,
    /// The number of files, one for each process that wrote something.
    pub processes: usize,
    /// The files that the pieces lie in.
    pub files: Vec<TensorFile>,
    /// All parameters that were saved.
    pub parameters: Vec<Gathered>,
}

/// Where a piece lies: its file, and its bytes there.
struct Stored<'a> {
    path: &'a str,
    bytes: Range<u64>,
}

/// A piece's first element in each dimension; none for what has no dimensions.
type Offsets = Vec<u64>;

impl DistributedShards {
    /// Reads the model's newest checkpoint in a directory: where each parameter lies, not the numbers.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Tensor`] when files are missing, damaged, or cut in a way that is not put together here.
    pub async fn open(dir: &Rc<dyn Directory>, entries: &[Entry]) -> Result<DistributedShards> {
        let folder = newest(entries).ok_or_else(|| {
            Error::file(
                dir.label(),
                format!("there is no file {METADATA} beside the files …{SHARD}, which says where each weight lies; copy it too"),
            )
        })?;
        let name = format!("{folder}{METADATA}");
        let metadata = Saved::bare(dir, &name).await?;
        let damaged =
            |what: &str| Error::file(&name, format!("{what}; the file is damaged, or torch.distributed.checkpoint did not write it"));
        let root = metadata.root();
        let tensors = root.get("state_dict_metadata").and_then(Node::entries).ok_or_else(|| damaged("it lists no tensors"))?;
        let stored = places(root).ok_or_else(|| damaged("it does not say where its tensors lie"))?;
        let paths = root.get("planner_data");
        let there: HashSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let mut shards = Shards { dir, folder: &folder, there, entries: BTreeMap::new(), opened: HashMap::new() };
        let (mut found, mut pieces) = (Vec::new(), 0);
        for (key, tensor) in tensors {
            let (Some(shape), Some(chunks)) = (tensor.get("size").and_then(Node::shape), tensor.get("chunks").and_then(Node::items)) else {
                continue; // no tensor, or one of no model's weights
            };
            pieces += chunks.len();
            if pieces > MAX_PIECES {
                return Err(Error::file(&name, "it has more than 100,000 pieces, which is more than is put together here"));
            }
            let mut rows = Vec::with_capacity(chunks.len());
            for chunk in chunks {
                let offsets = chunk.get("offsets").and_then(Node::shape);
                let sizes = chunk.get("sizes").and_then(Node::shape);
                let (Some(offsets), Some(sizes)) = (offsets, sizes) else { return Err(damaged("a piece has no place")) };
                let range = elements(&shape, &offsets, &sizes).map_err(|reason| Error::tensor(&name, key, reason))?;
                if range.is_empty() {
                    continue;
                }
                let stored = stored.get(key).and_then(|pieces| pieces.get(&offsets));
                let stored =
                    stored.ok_or_else(|| Error::tensor(&name, key, "has a piece that lies in no file; the checkpoint is not whole"))?;
                rows.push((range, shards.open(key, stored).await?));
            }
            rows.sort_by_key(|(range, _)| range.start);
            let mut end = 0;
            for (range, _) in &rows {
                if range.start != end {
                    return Err(Error::tensor(&name, key, "is not whole: the pieces leave gaps or overlap"));
                }
                end = range.end;
            }
            if Some(end) != shape.iter().try_fold(1u64, |product, n| product.checked_mul(*n)) {
                return Err(Error::tensor(&name, key, "is not whole: pieces are missing at its end"));
            }
            found.push((called(key, paths), shape, rows));
        }
        let (files, index) = shards.files();
        let parameters = found.into_iter().map(|(name, shape, rows)| {
            let piece = |(range, (path, tensor)): (Range<u64>, (String, String))| Piece {
                file: index[&path],
                tensor,
                elements: 0..range.end - range.start,
            };
            Gathered { name, shape, pieces: rows.into_iter().map(piece).collect() }
        });
        let parameters: Vec<Gathered> = parameters.collect();
        if parameters.is_empty() {
            return Err(damaged("it lists no tensors"));
        }
        Ok(DistributedShards { processes: files.len(), folder, files, parameters })
    }
}

/// The folder of the newest checkpoint of a model, not of an optimiser.
fn newest(entries: &[Entry]) -> Option<String> {
    let folders = entries.iter().filter_map(|entry| {
        let folder = entry.name.strip_suffix(METADATA).filter(|folder| folder.is_empty() || folder.ends_with('/'))?;
        let is_optimizer = folder.split('/').any(|part| part.starts_with("optimizer"));
        let has_shards = entries.iter().any(|entry| entry.name.strip_prefix(folder).is_some_and(|name| name.ends_with(SHARD)));
        let step = folder.split('/').filter_map(|part| part.strip_prefix("checkpoint-")?.parse::<u64>().ok()).max();
        (!is_optimizer && has_shards).then_some((step, folder))
    });
    folders.max().map(|(_, folder)| folder.to_string())
}

/// Where the pieces of each tensor lie, by its name and their offsets.
fn places(root: Node<'_>) -> Option<HashMap<&str, HashMap<Offsets, Stored<'_>>>> {
    let mut places: HashMap<&str, HashMap<Offsets, Stored<'_>>> = HashMap::new();
    for (index, info) in root.get("storage_data")?.pairs()? {
        let name = index.get("fqn")?.text()?;
        let offsets = index.get("offset").and_then(Node::shape).unwrap_or_default();
        let (path, offset, length) = (info.get("relative_path")?.text()?, info.get("offset")?.count()?, info.get("length")?.count()?);
        places.entry(name).or_default().insert(offsets, Stored { path, bytes: offset..offset.checked_add(length)? });
    }
    Some(places)
}

/// The elements of a tensor that a piece holds, which must be whole rows (of its first dimension).
fn elements(shape: &[u64], offsets: &[u64], sizes: &[u64]) -> std::result::Result<Range<u64>, &'static str> {
    if shape.len() != offsets.len() || shape.len() != sizes.len() {
        return Err("has a piece of other dimensions; the file is damaged");
    }
    let Some((first, rest)) = shape.split_first() else { return Ok(0..1) };
    if offsets[1..].iter().any(|offset| *offset != 0) || sizes[1..] != *rest {
        return Err("was cut in more than its rows (tensor parallelism); gather it where it was trained");
    }
    let width = rest.iter().try_fold(1u64, |product, n| product.checked_mul(*n));
    let end = offsets[0].checked_add(sizes[0]).filter(|end| end <= first);
    let range = width.zip(end).and_then(|(width, end)| Some(offsets[0].checked_mul(width)?..end.checked_mul(width)?));
    range.ok_or("has a piece that does not lie within it; the file is damaged")
}

/// A tensor's name in the model: of nested dictionaries (`{"model": {…}}`) the last key, which the planner noted.
fn called(key: &str, paths: Option<Node<'_>>) -> String {
    let path = paths.and_then(|paths| paths.get(key)).and_then(Node::items);
    path.and_then(|path| path.last()?.text()).unwrap_or(key).to_string()
}

/// The pieces that were opened, by the files that they lie in.
struct Shards<'a> {
    dir: &'a Rc<dyn Directory>,
    folder: &'a str,
    there: HashSet<&'a str>,
    entries: BTreeMap<String, Vec<TensorEntry>>,
    /// Bytes of each file that pieces lie in so far: they do not overlap, so that opening all takes no longer than the files are.
    opened: HashMap<String, u64>,
}

impl Shards<'_> {
    /// Opens a piece: finds its numbers within its archive. Returns its file and its name there.
    async fn open(&mut self, key: &str, stored: &Stored<'_>) -> Result<(String, String)> {
        let path = format!("{}{}", self.folder, stored.path);
        if !self.there.contains(path.as_str()) {
            return Err(Error::file(
                format!("{}/{path}", self.dir.label()),
                "this piece of the weights is missing; copy the files of all hosts",
            ));
        }
        let size = self.dir.size(&path).await?.unwrap_or(0);
        if stored.bytes.end > size {
            return Err(Error::tensor(&path, key, "lies beyond the end of this file; it is cut short, get it again"));
        }
        let opened = self.opened.entry(path.clone()).or_default();
        *opened += stored.bytes.end - stored.bytes.start;
        if *opened > size {
            return Err(Error::tensor(&path, key, "lies where other pieces lie; the file .metadata is damaged"));
        }
        let window: Rc<dyn Directory> = Rc::new(Window { dir: self.dir.clone(), path: path.clone(), bytes: stored.bytes.clone() });
        let saved = Saved::open(&window, &path).await?;
        let name = format!("{key}, from byte {}", stored.bytes.start);
        let file = saved.tensors(&window, &[(name.clone(), saved.root())])?;
        let entry = file.tensors().first().cloned();
        let mut entry = entry.ok_or_else(|| Error::tensor(&path, key, "is not a tensor; the file is damaged"))?;
        entry.offset += stored.bytes.start;
        self.entries.entry(path.clone()).or_default().push(entry);
        Ok((path, name))
    }

    /// The files, and the place of each among them.
    fn files(self) -> (Vec<TensorFile>, HashMap<String, usize>) {
        let (mut files, mut index) = (Vec::new(), HashMap::new());
        for (path, mut tensors) in self.entries {
            tensors.sort_by_key(|entry| entry.offset);
            index.insert(path.clone(), files.len());
            files.push(TensorFile::from_header(self.dir.clone(), &path, Header { tensors, metadata: Default::default() }));
        }
        (files, index)
    }
}

/// Some bytes of a file, as that file.
struct Window {
    dir: Rc<dyn Directory>,
    path: String,
    bytes: Range<u64>,
}

#[async_trait(?Send)]
impl Directory for Window {
    fn label(&self) -> String {
        self.dir.label()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        Ok(vec![Entry { name: self.path.clone(), size: self.bytes.end - self.bytes.start }])
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        Ok((name == self.path).then_some(self.bytes.end - self.bytes.start))
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let first = self.bytes.start;
        let end = first.checked_add(range.end).filter(|end| *end <= self.bytes.end && range.start <= range.end);
        let end = end.ok_or_else(|| Error::file(name, "a piece of this file is cut short; get it again"))?;
        self.dir.read_range(name, first + range.start..end).await
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        self.read_range(name, 0..self.bytes.end - self.bytes.start).await
    }
}
