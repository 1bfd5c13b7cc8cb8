//! The stack machine that executes a pickle, restricted to harmless operations: it builds strings, numbers, lists, dictionaries and
//! descriptions of tensors, and rejects every other call with an error that names it. (The opcodes: Python's pickletools.)
//!
//! Compound values are stored in lists of the machine and referenced by index, so dropping a deeply nested value cannot overflow the stack,
//! and a value that references itself does not leak.

use std::collections::HashMap;

use super::value::{Call, StorageRef, TensorRef, Value, global};

/// The most dimensions of a tensor.
const MAX_DIMENSIONS: usize = 8;
/// The most bytes in a storage's key; torch numbers its storages.
const MAX_KEY: usize = 64;

/// How the execution ended.
pub(super) enum Outcome {
    /// The program is complete: its value, and its length in bytes.
    Done { value: Value, length: usize },
    /// The bytes ended before the program did.
    CutShort,
}

/// The machine with all values that its programs built. Several programs may run one after the other (torch before 1.6).
#[derive(Debug, Default)]
pub(super) struct Machine {
    texts: Vec<String>,
    lists: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    /// Of each object the dictionary of its attributes, once it has one.
    objects: Vec<Option<usize>>,
    storages: Vec<StorageRef>,
    tensors: Vec<TensorRef>,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
}

type Step<T> = Result<T, Stop>;

/// Why the execution of a program stops.
enum Stop {
    CutShort,
    Refused(String),
}

fn broken() -> Stop {
    Stop::Refused("the pickle is damaged; get the file again".into())
}

/// The bytes of a program, with the current position.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Step<&'a [u8]> {
        let end = usize::try_from(count).ok().and_then(|count| self.at.checked_add(count)).ok_or(Stop::CutShort)?;
        let taken = self.bytes.get(self.at..end).ok_or(Stop::CutShort)?;
        self.at = end;
        Ok(taken)
    }

    /// Reads a little-endian number of `width` (at most eight) bytes.
    fn number(&mut self, width: u64) -> Step<u64> {
        Ok(self.take(width)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn line(&mut self) -> Step<&'a str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or(Stop::CutShort)?;
        self.at += length + 1;
        std::str::from_utf8(&rest[..length]).map_err(|_| broken())
    }
}

impl Machine {
    /// Runs a program from its first byte.
    ///
    /// # Errors
    /// A sentence that says which operation was rejected, or that the pickle is damaged.
    pub(super) fn run(&mut self, bytes: &[u8]) -> Result<Outcome, String> {
        (self.stack, self.marks, self.memo) = Default::default();
        let mut reader = Reader { bytes, at: 0 };
        loop {
            match self.step(&mut reader) {
                Ok(None) => {}
                Ok(Some(value)) => return Ok(Outcome::Done { value, length: reader.at }),
                Err(Stop::CutShort) => return Ok(Outcome::CutShort),
                Err(Stop::Refused(reason)) => return Err(reason),
            }
        }
    }

    /// The entries of a dictionary, or the attributes of an object.
    pub(super) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match value {
            Value::Dict(at) => self.dicts.get(at).map(Vec::as_slice),
            Value::Object(at) => self.dicts.get((*self.objects.get(at)?)?).map(Vec::as_slice),
            _ => None,
        }
    }

    /// The items of a list or tuple.
    pub(super) fn items(&self, value: Value) -> Option<&[Value]> {
        match value {
            Value::List(at) | Value::Tuple(at) => self.lists.get(at).map(Vec::as_slice),
            _ => None,
        }
    }

    pub(super) fn text(&self, value: Value) -> Option<&str> {
        match value {
            Value::Text(at) => self.texts.get(at).map(String::as_str),
            _ => None,
        }
    }

    pub(super) fn tensor(&self, value: Value) -> Option<TensorRef> {
        match value {
            Value::Tensor(at) => self.tensors.get(at).cloned(),
            _ => None,
        }
    }

    /// All storages that were referenced.
    pub(super) fn storages(&self) -> &[StorageRef] {
        &self.storages
    }

    fn pop(&mut self) -> Step<Value> {
        if self.marks.last().is_some_and(|mark| *mark >= self.stack.len()) {
            return Err(broken());
        }
        self.stack.pop().ok_or_else(broken)
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Value>> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len()).ok_or_else(broken)?;
        Ok(self.stack.split_off(mark))
    }

    fn push_text(&mut self, bytes: &[u8]) -> Step<()> {
        let text = std::str::from_utf8(bytes).map_err(|_| broken())?;
        self.texts.push(text.to_string());
        self.stack.push(Value::Text(self.texts.len() - 1));
        Ok(())
    }

    fn new_list(&mut self, items: Vec<Value>) -> usize {
        self.lists.push(items);
        self.lists.len() - 1
    }

    fn push_tuple(&mut self, items: Vec<Value>) {
        let at = self.new_list(items);
        self.stack.push(Value::Tuple(at));
    }

    fn push_dict(&mut self, items: Vec<Value>) -> Step<()> {
        let at = self.dicts.len();
        self.dicts.push(Vec::new());
        self.stack.push(Value::Dict(at));
        self.set_items(items)
    }

    /// Inserts key, value, key, value … into the dictionary on top of the stack.
    fn set_items(&mut self, items: Vec<Value>) -> Step<()> {
        let (pairs, rest) = items.as_chunks::<2>();
        match self.stack.last() {
            Some(Value::Dict(at)) if rest.is_empty() => {
                let dict = self.dicts.get_mut(*at).ok_or_else(broken)?;
                dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
                Ok(())
            }
            Some(Value::Other) => Ok(()),
            _ => Err(broken()),
        }
    }

    fn append(&mut self, items: Vec<Value>) -> Step<()> {
        match self.stack.last() {
            Some(Value::List(at)) => {
                self.lists.get_mut(*at).ok_or_else(broken)?.extend(items);
                Ok(())
            }
            Some(Value::Other) => Ok(()),
            _ => Err(broken()),
        }
    }

    fn store(&mut self, key: u64) -> Step<()> {
        let top = *self.stack.last().ok_or_else(broken)?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn fetch(&mut self, key: u64) -> Step<()> {
        let value = *self.memo.get(&key).ok_or_else(broken)?;
        self.stack.push(value);
        Ok(())
    }

    fn name(&mut self, module: &str, name: &str) -> Step<()> {
        let value = global(module, name).ok_or_else(|| {
            Stop::Refused(format!(
                "this pickle wants to call {}.{}, which no model's weights need; it was not run. If you trust its maker, load it with torch \
                 where it was made and save the tensors as safetensors",
                printable(module),
                printable(name)
            ))
        })?;
        self.stack.push(value);
        Ok(())
    }

    /// Executes one instruction; returns the value if it was the last.
    fn step(&mut self, reader: &mut Reader<'_>) -> Step<Option<Value>> {
        match reader.number(1)? as u8 {
            b'.' => return self.pop().map(Some),
            0x80 => _ = reader.number(1)?, // protocol
            0x95 => _ = reader.number(8)?, // frame
            b'(' => self.marks.push(self.stack.len()),
            b'0' => _ = self.pop()?,
            b'1' => _ = self.pop_to_mark()?,
            b'2' => {
                let top = *self.stack.last().ok_or_else(broken)?;
                self.stack.push(top);
            }
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'I' => match reader.line()? {
                "01" => self.stack.push(Value::Bool(true)),
                "00" => self.stack.push(Value::Bool(false)),
                number => self.stack.push(Value::Int(number.parse().ok())),
            },
            b'L' => {
                let number = reader.line()?;
                self.stack.push(Value::Int(number.trim_end_matches('L').parse().ok()));
            }
            b'J' => {
                let number = reader.number(4)? as u32;
                self.stack.push(Value::Int(Some(i64::from(number.cast_signed()))));
            }
            b'K' => self.small(reader, 1)?,
            b'M' => self.small(reader, 2)?,
            0x8a => {
                let length = reader.number(1)?;
                self.long(reader.take(length)?);
            }
            0x8b => {
                let length = reader.number(4)?;
                self.long(reader.take(length)?);
            }
            b'F' => {
                reader.line()?;
                self.stack.push(Value::Other);
            }
            b'G' => {
                reader.take(8)?;
                self.stack.push(Value::Other);
            }
            // Quoted strings of protocol 0; those that torch writes contain no special characters.
            b'S' => {
                let line = reader.line()?;
                let inner = line.strip_prefix(['\'', '"']).and_then(|line| line.strip_suffix(['\'', '"'])).ok_or_else(broken)?;
                self.push_text(inner.as_bytes())?;
            }
            b'V' => {
                let line = reader.line()?;
                self.push_text(line.as_bytes())?;
            }
            b'U' | 0x8c => self.counted_text(reader, 1)?,
            b'T' | b'X' => self.counted_text(reader, 4)?,
            0x8d => self.counted_text(reader, 8)?,
            b'C' => self.counted_bytes(reader, 1)?,
            b'B' => self.counted_bytes(reader, 4)?,
            0x8e | 0x96 => self.counted_bytes(reader, 8)?,
            b')' => self.push_tuple(Vec::new()),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push_tuple(items);
            }
            count @ 0x85..=0x87 => {
                let mut items = Vec::with_capacity(3);
                for _ in 0x85..=count {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push_tuple(items);
            }
            b']' => {
                let at = self.new_list(Vec::new());
                self.stack.push(Value::List(at));
            }
            b'l' => {
                let items = self.pop_to_mark()?;
                let at = self.new_list(items);
                self.stack.push(Value::List(at));
            }
            b'}' => self.push_dict(Vec::new())?,
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push_dict(items)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(vec![key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(items)?;
            }
            0x8f => self.stack.push(Value::Other),
            0x90 => _ = self.pop_to_mark()?,
            0x91 => {
                self.pop_to_mark()?;
                self.stack.push(Value::Other);
            }
            b'p' => {
                let key = reader.line()?.parse().map_err(|_| broken())?;
                self.store(key)?;
            }
            b'q' => {
                let key = reader.number(1)?;
                self.store(key)?;
            }
            b'r' => {
                let key = reader.number(4)?;
                self.store(key)?;
            }
            0x94 => self.store(self.memo.len() as u64)?,
            b'g' => {
                let key = reader.line()?.parse().map_err(|_| broken())?;
                self.fetch(key)?;
            }
            b'h' => {
                let key = reader.number(1)?;
                self.fetch(key)?;
            }
            b'j' => {
                let key = reader.number(4)?;
                self.fetch(key)?;
            }
            b'c' => {
                let (module, name) = (reader.line()?, reader.line()?);
                self.name(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let both = self.text(module).zip(self.text(name)).map(|(m, n)| (m.to_string(), n.to_string()));
                let (module, name) = both.ok_or_else(broken)?;
                self.name(&module, &name)?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.storage(id)?;
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let result = self.call(function, arguments)?;
                self.stack.push(result);
            }
            // The state of an object: of a known class its attributes; dictionaries (`_metadata`) and unused values have one that is not used.
            b'b' => {
                let state = self.pop()?;
                match (self.stack.last(), state) {
                    (Some(Value::Object(at)), Value::Dict(attributes)) => *self.objects.get_mut(*at).ok_or_else(broken)? = Some(attributes),
                    (Some(Value::Object(_) | Value::Dict(_) | Value::Other), _) => {}
                    _ => return Err(broken()),
                }
            }
            opcode => {
                return Err(Stop::Refused(format!(
                    "this pickle has an instruction (0x{opcode:02x}) that no model's weights need; it was not run"
                )));
            }
        }
        Ok(None)
    }

    fn small(&mut self, reader: &mut Reader<'_>, width: u64) -> Step<()> {
        let number = reader.number(width)?;
        self.stack.push(Value::Int(i64::try_from(number).ok()));
        Ok(())
    }

    /// Pushes a little-endian integer in two's complement, of any length.
    fn long(&mut self, bytes: &[u8]) {
        let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
        let mut number = [if negative { 0xff } else { 0 }; 8];
        let fits = bytes.len() <= 8;
        if fits {
            number[..bytes.len()].copy_from_slice(bytes);
        }
        self.stack.push(Value::Int(fits.then(|| i64::from_le_bytes(number))));
    }

    fn counted_text(&mut self, reader: &mut Reader<'_>, width: u64) -> Step<()> {
        let length = reader.number(width)?;
        let text = reader.take(length)?;
        self.push_text(text)
    }

    fn counted_bytes(&mut self, reader: &mut Reader<'_>, width: u64) -> Step<()> {
        let length = reader.number(width)?;
        reader.take(length)?;
        self.stack.push(Value::Other);
        Ok(())
    }

    /// `('storage', type, key, device, number of elements[, view])`.
    fn storage(&mut self, id: Value) -> Step<()> {
        let items = self.items(id).ok_or_else(broken)?;
        let &[kind, Value::Type(dtype), key, _, _, ref view @ ..] = items else { return Err(broken()) };
        if self.text(kind) != Some("storage") {
            return Err(broken());
        }
        if view.iter().any(|view| *view != Value::None) {
            return Err(Stop::Refused(
                "it holds views of storages, as torch before 0.4 wrote them; save it again with a newer torch".into(),
            ));
        }
        let key = self.text(key).filter(|key| key.len() <= MAX_KEY).ok_or_else(broken)?.to_string();
        self.storages.push(StorageRef { key, dtype });
        self.stack.push(Value::Storage(self.storages.len() - 1));
        Ok(())
    }

    fn call(&mut self, function: Value, arguments: Value) -> Step<Value> {
        let Value::Function(call) = function else { return Err(broken()) };
        let arguments = self.items(arguments).ok_or_else(broken)?;
        match (call, arguments) {
            (Call::OrderedDict, []) => {
                self.dicts.push(Vec::new());
                Ok(Value::Dict(self.dicts.len() - 1))
            }
            (Call::RebuildTensor | Call::RebuildTensor3, &[Value::Storage(storage), offset, shape, stride, ref rest @ ..]) => {
                let dtype = match (call, rest) {
                    (Call::RebuildTensor3, &[_, _, Value::Type(dtype), ..]) => dtype,
                    (Call::RebuildTensor3, _) => return Err(broken()),
                    _ => None,
                };
                let count = |value: Value| match value {
                    Value::Int(Some(number)) => u64::try_from(number).ok(),
                    _ => None,
                };
                // The result must not be larger than the input, although a string or tuple can be referenced repeatedly.
                let counts = |value: Value| {
                    self.items(value)
                        .filter(|items| items.len() <= MAX_DIMENSIONS)?
                        .iter()
                        .map(|value| count(*value))
                        .collect::<Option<Vec<u64>>>()
                };
                let parts = (count(offset), counts(shape), counts(stride));
                let (Some(offset), Some(shape), Some(stride)) = parts else { return Err(broken()) };
                self.tensors.push(TensorRef { storage, offset, shape, stride, dtype });
                Ok(Value::Tensor(self.tensors.len() - 1))
            }
            (Call::RebuildParameter, &[tensor @ Value::Tensor(_), ..]) => Ok(tensor),
            // Only of functions that make tensors, so that calls do not nest.
            (
                Call::RebuildFromType,
                &[function @ Value::Function(Call::RebuildTensor | Call::RebuildTensor3 | Call::RebuildParameter), _, arguments, _],
            ) => self.call(function, arguments),
            (Call::Argument, &[argument @ (Value::Tuple(_) | Value::Int(_))]) => Ok(argument),
            (Call::Object, []) => {
                self.objects.push(None);
                Ok(Value::Object(self.objects.len() - 1))
            }
            (Call::Useless, _) => Ok(Value::Other),
            _ => Err(broken()),
        }
    }
}

/// An untrusted name, shortened and without control characters.
fn printable(name: &str) -> String {
    name.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
