//! The elements of a pickle of tensors: the values that the machine handles, and the few global names that it knows.

use safetensors::Dtype;

/// A value on the stack; compound values are indices into the machine's lists.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    /// `None` for an integer beyond 64 bits.
    Int(Option<i64>),
    Text(usize),
    Tuple(usize),
    List(usize),
    Dict(usize),
    /// An object of one of the known classes, with its attributes.
    Object(usize),
    Storage(usize),
    Tensor(usize),
    /// One of the names in [`CALLS`].
    Function(Call),
    /// The type of a storage or of a tensor's elements; `None` for an untyped storage of bytes.
    Type(Option<Dtype>),
    /// A harmless value that is not used: a float, bytes, a set, a device.
    Other,
}

/// A storage of which tensors are views.
#[derive(Debug, Clone)]
pub(super) struct StorageRef {
    pub(super) key: String,
    /// `None`: its length is counted in bytes.
    pub(super) dtype: Option<Dtype>,
}

/// The description of a tensor.
#[derive(Debug, Clone)]
pub(super) struct TensorRef {
    pub(super) storage: usize,
    /// Offset of its first element in the storage, in elements.
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    /// The strides, in elements.
    pub(super) stride: Vec<u64>,
    /// The element type, where the storage does not specify it.
    pub(super) dtype: Option<Dtype>,
}

/// The functions that a pickle may name or call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    OrderedDict,
    RebuildTensor,
    /// With the element type as the argument after the hooks.
    RebuildTensor3,
    RebuildParameter,
    /// A tensor with attributes of its own: what another of these functions makes of arguments.
    RebuildFromType,
    /// `torch.Size`, or an enum of numbers: returns its argument.
    Argument,
    /// A class of plain data, whose attributes are read.
    Object,
    /// Returns an unused value, whatever its arguments.
    Useless,
}

/// The functions, by module and name.
const CALLS: [(&str, &str, Call); 32] = [
    ("collections", "OrderedDict", Call::OrderedDict),
    ("torch._utils", "_rebuild_tensor", Call::RebuildTensor),
    ("torch._utils", "_rebuild_tensor_v2", Call::RebuildTensor),
    ("torch._utils", "_rebuild_tensor_v3", Call::RebuildTensor3),
    ("torch._utils", "_rebuild_parameter", Call::RebuildParameter),
    ("torch._utils", "_rebuild_parameter_with_state", Call::RebuildParameter),
    ("torch._tensor", "_rebuild_from_type_v2", Call::RebuildFromType),
    ("torch", "Tensor", Call::Useless),
    ("torch", "Size", Call::Argument),
    ("torch", "device", Call::Useless),
    ("torch.serialization", "_get_layout", Call::Useless),
    ("_codecs", "encode", Call::Useless),
    ("builtins", "set", Call::Useless),
    ("__builtin__", "set", Call::Useless),
    ("builtins", "bytearray", Call::Useless),
    ("builtins", "complex", Call::Useless),
    ("__builtin__", "complex", Call::Useless),
    // What stands beside the weights in checkpoints of DeepSpeed's ZeRO.
    ("deepspeed.runtime.zero.config", "ZeroStageEnum", Call::Argument),
    ("deepspeed.runtime.fp16.loss_scaler", "LossScaler", Call::Useless),
    ("deepspeed.runtime.fp16.loss_scaler", "DynamicLossScaler", Call::Useless),
    ("deepspeed.utils.tensor_fragment", "fragment_address", Call::Useless),
    // `.metadata` of torch.distributed.checkpoint.
    ("torch.distributed.checkpoint.metadata", "Metadata", Call::Object),
    ("torch.distributed.checkpoint.metadata", "TensorStorageMetadata", Call::Object),
    ("torch.distributed.checkpoint.metadata", "BytesStorageMetadata", Call::Object),
    ("torch.distributed.checkpoint.metadata", "ChunkStorageMetadata", Call::Object),
    ("torch.distributed.checkpoint.metadata", "MetadataIndex", Call::Object),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo", Call::Object),
    ("torch.distributed.checkpoint.metadata", "StorageMeta", Call::Object),
    ("torch.distributed.checkpoint.metadata", "TensorProperties", Call::Object),
    ("torch.distributed.checkpoint.metadata", "_MEM_FORMAT_ENCODING", Call::Argument),
    ("pathlib", "PosixPath", Call::Useless),
    ("pathlib._local", "PosixPath", Call::Useless),
];

/// The element types, by the names of torch's storage classes and dtypes.
const TYPES: [(&str, &str, Dtype); 14] = [
    ("DoubleStorage", "float64", Dtype::F64),
    ("FloatStorage", "float32", Dtype::F32),
    ("HalfStorage", "float16", Dtype::F16),
    ("BFloat16Storage", "bfloat16", Dtype::BF16),
    ("LongStorage", "int64", Dtype::I64),
    ("IntStorage", "int32", Dtype::I32),
    ("ShortStorage", "int16", Dtype::I16),
    ("CharStorage", "int8", Dtype::I8),
    ("ByteStorage", "uint8", Dtype::U8),
    ("BoolStorage", "bool", Dtype::BOOL),
    ("Float8_e4m3fnStorage", "float8_e4m3fn", Dtype::F8_E4M3),
    ("Float8_e5m2Storage", "float8_e5m2", Dtype::F8_E5M2),
    ("ComplexFloatStorage", "complex64", Dtype::C64),
    ("UInt32Storage", "uint32", Dtype::U32),
];

/// Looks up a global name of a pickle: a function, or a type of torch.
pub(super) fn global(module: &str, name: &str) -> Option<Value> {
    if let Some((.., call)) = CALLS.iter().find(|(m, n, _)| (*m, *n) == (module, name)) {
        return Some(Value::Function(*call));
    }
    match (module, name) {
        ("torch.storage", "UntypedStorage" | "_UntypedStorage") | ("torch", "UntypedStorage") => Some(Value::Type(None)),
        ("torch" | "torch.cuda", _) => {
            TYPES.iter().find(|(storage, dtype, _)| *storage == name || *dtype == name).map(|(.., dtype)| Value::Type(Some(*dtype)))
        }
        _ => None,
    }
}
