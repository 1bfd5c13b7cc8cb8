//! Reading and writing model directories: a Hugging Face checkpoint is opened by reading its headers, checked against its architecture's
//! declaration, read in pieces, and written so that transformers 4 and 5 compute the same from it.

mod carry;
mod composed;
mod convert;
mod distributed;
mod header;
mod made;
mod new_directory;
mod open;
mod pickle;
mod tensor_file;
mod value_head;
mod write;
mod zero;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
pub use carry::Carry;
pub(crate) use carry::SAMPLING_SETTINGS;
pub use composed::{ComposedDirectory, TensorSource};
pub use convert::dtype_name;
pub use distributed::DistributedShards;
pub use header::{Header, MAX_HEADER, TensorEntry};
pub use made::{MadeBlocks, MadeDirectory, MadeTensor, MadeWeights};
pub use new_directory::NewDirectory;
pub(crate) use open::{HEAD, INDEX, WEIGHTS, is_buffer, is_other_head, open_files};
pub use pickle::{TorchFile, is_pickle_name};
pub use safetensors::Dtype;
pub use tensor_file::{TensorFile, TensorFileWriter, TensorInfo};
pub use value_head::{VALUE_HEAD, ValueHead, write_value_head};
pub(crate) use write::write_params;
pub use write::{ParamSource, WriteOptions, write_checkpoint};
pub use zero::{Gathered, Piece, ZeroShards};

use crate::error::{Error, Result};
use crate::kernels::WeightType;
use crate::model::{Layout, ModelConfig, ParamDecl, ParamKind, params};
use crate::platform::Directory;

/// Bytes read from a file at once.
const READ_PIECE: u64 = 16 << 20;

/// The location of a declared tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index of the file.
    pub(crate) file: usize,
    /// The tensor's name in that file, which may lack the declared name's prefix.
    pub(crate) tensor: String,
}

/// An open model directory: its configuration is resolved, and every declared tensor was found in the right shape. Weights are read on
/// demand.
#[derive(Clone)]
pub struct Checkpoint {
    directory: Rc<dyn Directory>,
    config: ModelConfig,
    params: Vec<ParamDecl>,
    files: Vec<TensorFile>,
    places: HashMap<String, Place>,
    /// How linear maps are kept on the GPU, where not as they are stored.
    quantised: Option<WeightType>,
    /// The matrices that are stored in blocks and kept in them.
    blocks: Option<StoredBlocks>,
    /// [`READ_PIECE`]; tests make it small.
    piece: u64,
}

/// Matrices that a directory holds in blocks as well as decoded.
#[derive(Clone)]
pub struct StoredBlocks {
    file: TensorFile,
    /// Their types, by the tensors' names.
    types: Rc<HashMap<String, WeightType>>,
}

/// How many matrices a directory holds in blocks as well as decoded, by their types' names; none for most directories.
///
/// # Errors
/// What reading the header of their file fails with.
pub async fn block_types(directory: &Rc<dyn Directory>) -> Result<BTreeMap<&'static str, usize>> {
    let mut count = BTreeMap::new();
    for weight_type in StoredBlocks::of(directory).await?.iter().flat_map(|blocks| blocks.types.values()) {
        *count.entry(weight_type.name()).or_default() += 1;
    }
    Ok(count)
}

impl StoredBlocks {
    /// Those of a directory, if it has any.
    ///
    /// # Errors
    /// What reading the header of their file fails with.
    pub async fn of(directory: &Rc<dyn Directory>) -> Result<Option<StoredBlocks>> {
        let Some(name) = directory.blocks() else { return Ok(None) };
        let file = TensorFile::open(directory.clone(), name).await?;
        let of = |tensor: &TensorEntry| Some((tensor.name.clone(), WeightType::of_name(file.metadata(&tensor.name)?)?));
        let types = Rc::new(file.tensors().iter().filter_map(of).collect());
        Ok(Some(StoredBlocks { file, types }))
    }

    /// The type of the blocks of this tensor, if it has some.
    pub fn weight_type(&self, tensor: &str) -> Option<WeightType> {
        self.types.get(tensor).copied()
    }

    /// Rows of a tensor, which is a matrix of so many rows and columns in blocks of this type, as `quant` packs them.
    ///
    /// # Errors
    /// [`Error::Tensor`] when it has other sizes, [`Error::File`] when reading fails.
    pub async fn read(&self, tensor: &str, sizes: [usize; 2], weight_type: WeightType, rows: Range<usize>) -> Result<Vec<u8>> {
        let row_bytes = weight_type.row_bytes(sizes[1]) as u64;
        self.file.expect(tensor, Dtype::U8, &[sizes[0] as u64, row_bytes])?;
        self.file.read_bytes(tensor, rows.start as u64 * row_bytes..rows.end as u64 * row_bytes).await
    }
}

impl Checkpoint {
    /// Creates a checkpoint from open files that have been checked to hold every parameter of this configuration in the right shape, as
    /// [`Checkpoint::open`] does.
    ///
    /// # Errors
    /// What opening the matrices in blocks fails with, where the directory has some.
    pub(crate) async fn assemble(
        directory: Rc<dyn Directory>,
        config: ModelConfig,
        files: Vec<TensorFile>,
        places: HashMap<String, Place>,
    ) -> Result<Checkpoint> {
        let (params, blocks) = (params(&config), StoredBlocks::of(&directory).await?);
        Ok(Checkpoint { directory, config, params, files, places, quantised: None, blocks, piece: READ_PIECE })
    }

    /// The same model, to be kept on the GPU decoded where it is stored in blocks. What it reads is what they decode to in any case.
    pub fn dequantised(mut self) -> Checkpoint {
        self.blocks = None;
        self
    }

    /// How a parameter that something was added to is kept: packed anew where the model is quantised while it is loaded, but not in the blocks
    /// that it was stored in.
    pub fn kept_changed(&self, param: &ParamDecl) -> Option<WeightType> {
        self.quantised.filter(|kept| param.kind == ParamKind::Linear && param.cols.is_multiple_of(kept.block()))
    }

    /// The same model, to be kept on the GPU with its linear maps in this type of blocks. What it reads stays what is stored.
    pub fn quantised(mut self, quantised: Option<WeightType>) -> Checkpoint {
        self.quantised = quantised;
        self
    }

    /// The directory from which it was opened.
    pub fn directory(&self) -> &Rc<dyn Directory> {
        &self.directory
    }

    /// The resolved configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// All parameters, in the order of [`params()`].
    pub fn params(&self) -> &[ParamDecl] {
        &self.params
    }

    /// The dtype in which a parameter is stored.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the parameter does not belong to this model.
    pub fn stored_dtype(&self, param: &ParamDecl) -> Result<Dtype> {
        self.place(param).map(|place| self.dtype_of(place))
    }

    /// Rows of a parameter in compute layout, row after row without padding, as f32.
    ///
    /// # Errors
    /// [`Error::Tensor`] for rows that do not exist, [`Error::File`] when reading fails.
    pub async fn read_rows(&self, param: &ParamDecl, rows: Range<usize>) -> Result<Vec<f32>> {
        if param.layout == Layout::AsStored && self.stored_dtype(param)? == Dtype::F32 {
            let mut numbers: Vec<f32> = self.read_as_stored(param, rows).await?;
            convert::from_little_endian(bytemuck::cast_slice_mut(&mut numbers));
            return Ok(numbers);
        }
        self.read_elements(param, rows, convert::to_f32).await
    }

    /// Rows of a parameter in compute layout, as the stored bits: for frozen weights that stay in half precision.
    ///
    /// # Errors
    /// As [`Checkpoint::read_rows`]; [`Error::Tensor`] also when the parameter is not stored in BF16 or F16.
    pub async fn read_rows_half(&self, param: &ParamDecl, rows: Range<usize>) -> Result<Vec<u16>> {
        let dtype = self.stored_dtype(param)?;
        if !matches!(dtype, Dtype::BF16 | Dtype::F16) {
            return Err(self.fail(param, format!("is stored in {dtype}, not in half precision")));
        }
        if param.layout == Layout::AsStored {
            let mut numbers: Vec<u16> = self.read_as_stored(param, rows).await?;
            numbers.iter_mut().for_each(|number| *number = u16::from_le(*number));
            return Ok(numbers);
        }
        self.read_elements(param, rows, |_, bytes| convert::to_u16(bytes)).await
    }

    /// Rows as they lie in the file, whose numbers are as wide as `T`: read into their place at once, since most of a model is.
    async fn read_as_stored<T: bytemuck::Pod>(&self, param: &ParamDecl, rows: Range<usize>) -> Result<Vec<T>> {
        let place = self.place(param)?;
        self.check_rows(param, &rows)?;
        let mut out = vec![T::zeroed(); rows.len() * param.cols];
        let per_piece = (self.piece as usize / size_of::<T>()).max(1);
        let first = (rows.start * param.cols) as u64;
        for (index, piece) in out.chunks_mut(per_piece).enumerate() {
            let at = first + (index * per_piece) as u64;
            let elements = at..at + piece.len() as u64;
            self.files[place.file].read_into(&place.tensor, elements, bytemuck::cast_slice_mut(piece)).await?;
        }
        Ok(out)
    }

    fn check_rows(&self, param: &ParamDecl, rows: &Range<usize>) -> Result<()> {
        if rows.start > rows.end || rows.end > param.rows {
            return Err(self.fail(param, format!("has {} rows, {rows:?} were requested", param.rows)));
        }
        Ok(())
    }

    /// The dtype at this place; F32 if the tensor is not there.
    fn dtype_of(&self, place: &Place) -> Dtype {
        self.files[place.file].get(&place.tensor).map_or(Dtype::F32, |entry| entry.dtype)
    }

    /// A range of a parameter's elements as f32, in the file's order.
    ///
    /// # Errors
    /// As [`Checkpoint::read_rows`].
    pub async fn read_stored(&self, param: &ParamDecl, elements: Range<u64>) -> Result<Vec<f32>> {
        let place = self.place(param)?;
        self.files[place.file].read_f32(&place.tensor, elements).await
    }

    fn place(&self, param: &ParamDecl) -> Result<&Place> {
        let place = self.places.get(&param.name);
        place.ok_or_else(|| Error::tensor(self.directory.label(), &param.name, "is not a parameter of this model"))
    }

    fn fail(&self, param: &ParamDecl, reason: String) -> Error {
        let file = self.places.get(&param.name).map(|place| self.files[place.file].name());
        Error::tensor(file.unwrap_or_default(), &param.name, reason)
    }

    async fn read_elements<T: Copy + Default>(
        &self,
        param: &ParamDecl,
        rows: Range<usize>,
        decode: impl Fn(Dtype, &[u8]) -> Vec<T>,
    ) -> Result<Vec<T>> {
        let place = self.place(param)?;
        let (file, dtype) = (&self.files[place.file], self.dtype_of(place));
        self.check_rows(param, &rows)?;
        let per_piece = (self.piece / (dtype.bitsize() as u64 / 8)).max(1);
        let cols = param.cols;
        let mut out = Vec::new();
        match param.layout {
            Layout::AsStored => {
                out.reserve_exact(rows.len() * cols);
                let end = rows.end as u64 * cols as u64;
                let mut at = rows.start as u64 * cols as u64;
                while at < end {
                    let next = (at + per_piece).min(end);
                    out.extend(decode(dtype, &file.read_bytes(&place.tensor, at..next).await?));
                    at = next;
                }
            }
            // The file's rows are our columns; they are read whole, since usually most of each is needed.
            Layout::Transposed => {
                out.resize(rows.len() * cols, T::default());
                let width = param.rows as u64;
                let step = (per_piece / width).max(1) as usize;
                for first in (0..cols).step_by(step) {
                    let last = (first + step).min(cols);
                    let range = first as u64 * width..last as u64 * width;
                    let piece = decode(dtype, &file.read_bytes(&place.tensor, range).await?);
                    for (col, stored) in (first..last).zip(piece.chunks_exact(param.rows)) {
                        for (row, value) in stored[rows.clone()].iter().enumerate() {
                            out[row * cols + col] = *value;
                        }
                    }
                }
            }
        }
        Ok(out)
    }
}

/// A model to load: a checkpoint, or one that is modified while it is read.
#[async_trait(?Send)]
pub trait ModelSource: ParamSource {
    /// The label used in messages: a directory, and what was added to it.
    fn label(&self) -> String;

    /// The resolved configuration.
    fn config(&self) -> &ModelConfig;

    /// All parameters; [`ParamSource`] reads them by index.
    fn params(&self) -> &[ParamDecl];

    /// The dtype in which a parameter is stored; F32 if it is computed.
    fn dtype(&self, param: &ParamDecl) -> Dtype;

    /// How a parameter is to be kept on the GPU while it is not trained, where not as it is stored.
    fn kept(&self, _param: &ParamDecl) -> Option<WeightType> {
        None
    }

    /// The dtype in which all parameters are stored, and in which a result is written by default: BF16 or F16; F32 where they differ. A value head,
    /// which is always written in F32, does not count.
    fn common_dtype(&self) -> Dtype {
        let mut dtypes = self.params().iter().filter(|param| !param.in_value_head()).map(|param| self.dtype(param));
        match dtypes.next() {
            Some(first @ (Dtype::BF16 | Dtype::F16)) if dtypes.all(|dtype| dtype == first) => first,
            _ => Dtype::F32,
        }
    }

    /// A range of a parameter's elements as f32, in the file's order.
    ///
    /// # Errors
    /// As [`ParamSource::read_rows`].
    async fn read_stored(&self, param: usize, elements: Range<u64>) -> Result<Vec<f32>> {
        let decl = &self.params()[param];
        let (rows, cols, elements) = (decl.rows, decl.cols, elements.start as usize..elements.end as usize);
        let place = |at: usize| match decl.layout {
            Layout::AsStored => (at / cols, at % cols),
            Layout::Transposed => (at % rows, at / rows),
        };
        let used = elements.clone().map(|at| place(at).0);
        let (Some(first), Some(last)) = (used.clone().min(), used.max()) else { return Ok(Vec::new()) };
        let values = self.read_rows(param, first..last + 1).await?;
        Ok(elements.map(place).map(|(row, col)| values[(row - first) * cols + col]).collect())
    }
}

#[async_trait(?Send)]
impl ModelSource for Checkpoint {
    fn label(&self) -> String {
        self.directory.label()
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn params(&self) -> &[ParamDecl] {
        &self.params
    }

    fn dtype(&self, param: &ParamDecl) -> Dtype {
        self.stored_dtype(param).unwrap_or(Dtype::F32)
    }

    /// Where the model is quantised, embeddings and the output head stay as they are stored, as bitsandbytes leaves them; so does a map whose rows
    /// are no whole blocks.
    fn kept(&self, param: &ParamDecl) -> Option<WeightType> {
        self.kept_changed(param).or_else(|| self.blocks.as_ref()?.weight_type(&param.name))
    }

    async fn read_stored(&self, param: usize, elements: Range<u64>) -> Result<Vec<f32>> {
        Checkpoint::read_stored(self, &self.params[param], elements).await
    }
}

/// An open checkpoint can be written again, in another dtype or with other shards.
#[async_trait(?Send)]
impl ParamSource for Checkpoint {
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        Checkpoint::read_rows(self, &self.params[param], rows).await
    }

    async fn read_rows_half(&self, param: usize, rows: Range<usize>) -> Result<Vec<u16>> {
        Checkpoint::read_rows_half(self, &self.params[param], rows).await
    }

    async fn read_blocks(&self, param: usize, kept: WeightType, rows: Range<usize>) -> Result<Option<Vec<u8>>> {
        let param = &self.params[param];
        match &self.blocks {
            Some(blocks) if blocks.weight_type(&param.name) == Some(kept) => {
                blocks.read(&param.name, [param.rows, param.cols], kept, rows).await.map(Some)
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{block_on, open_directory};

    #[test]
    fn pieces_of_any_size_give_the_same_rows() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden/gpt2");
        let dir = Rc::new(open_directory(&root).expect("the fixture is there"));
        block_on(async {
            let whole = Checkpoint::open(dir).await.expect("it opens");
            for piece in [4, 100, 1000] {
                let pieces = Checkpoint { piece, ..whole.clone() };
                for param in whole.params() {
                    for rows in [0..param.rows, param.rows / 3..param.rows / 2, 0..0] {
                        let expected = whole.read_rows(param, rows.clone()).await.expect("it reads");
                        assert_eq!(expected.len(), rows.len() * param.cols);
                        assert_eq!(pieces.read_rows(param, rows).await, Ok(expected), "{}, {piece}", param.name);
                    }
                }
            }
        });
    }
}
