//! A directory as the rules see it: a configuration and tensors, repaired step by step. Only headers are in memory; each tensor records
//! where its numbers come from, so the repaired view can be validated, run and written without a copy.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::ops::{Deref, Range};

use safetensors::Dtype;
use serde_json::{Map, Value};

use crate::checkpoint::{Piece, TensorFile};

/// Configuration and tensors of a model, with the repairs made so far.
#[derive(Clone, Default)]
pub struct View {
    /// config.json.
    pub config: Map<String, Value>,
    /// The tensors in the order of the files.
    pub tensors: Tensors,
    /// The files that [`Source::Stored`] points into.
    pub files: Vec<TensorFile>,
    /// lora_alpha / r of an adapter_config.json beside the weights, for LoRA factors among the tensors.
    pub lora_scale: Option<f64>,
}

/// The tensors of a view. They are found by name through an index: an untrusted header may list a million.
#[derive(Clone, Default)]
pub struct Tensors {
    list: Vec<Tensor>,
    /// Built on demand, discarded when the list changes.
    by_name: OnceCell<HashMap<String, usize>>,
}

impl Tensors {
    /// The (first) tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        let by_name = self.by_name.get_or_init(|| {
            #[cfg(test)]
            tests::INDEXED.set(tests::INDEXED.get() + 1);
            self.list.iter().enumerate().rev().map(|(at, tensor)| (tensor.name.clone(), at)).collect()
        });
        by_name.get(name).map(|&at| &self.list[at])
    }

    /// The list, for changes. The next lookup rebuilds the index, so a caller makes all changes of one kind at once.
    pub(super) fn edit(&mut self) -> &mut Vec<Tensor> {
        self.by_name.take();
        &mut self.list
    }
}

impl Deref for Tensors {
    type Target = [Tensor];

    fn deref(&self) -> &[Tensor] {
        &self.list
    }
}

/// A tensor under the name that it has after all renaming.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Where its numbers come from.
    pub source: Source,
}

/// Where a tensor's numbers come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Stored in a file unchanged.
    Stored {
        /// Index into [`View::files`].
        file: usize,
        /// The name in that file.
        tensor: String,
    },
    /// Elements of several stored tensors, one after the other; the files' indices are those of [`View::files`].
    Pieces(Vec<Piece>),
    /// A matrix, transposed.
    Transposed(Box<Tensor>),
    /// Some rows of another tensor.
    Rows(Box<Tensor>, Range<u64>),
    /// Several tensors, concatenated by rows.
    Joined(Vec<Tensor>),
    /// W + scale · B·A, rounded once when it is written.
    Merged {
        /// W, (out, in).
        base: Box<Tensor>,
        /// A, (r, in).
        a: Box<Tensor>,
        /// B, (out, r).
        b: Box<Tensor>,
        /// lora_alpha / r, or with rsLoRA lora_alpha / √r.
        scale: f64,
    },
    /// The rows of another tensor, then as many as needed, each the mean of those.
    Extended(Box<Tensor>),
}

impl Tensor {
    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// The (first) stored tensor that its numbers come from: its file and its name there.
    pub fn origin(&self) -> (usize, &str) {
        match &self.source {
            Source::Stored { file, tensor } => (*file, tensor),
            Source::Pieces(pieces) => pieces.first().map_or((0, ""), |piece| (piece.file, &piece.tensor)),
            Source::Transposed(inner) | Source::Rows(inner, _) | Source::Extended(inner) => inner.origin(),
            Source::Merged { base, .. } => base.origin(),
            Source::Joined(parts) => parts.first().map_or((0, ""), Tensor::origin),
        }
    }

    /// All stored tensors that its numbers come from.
    pub(super) fn origins(&self) -> Vec<(usize, &str)> {
        match &self.source {
            Source::Pieces(pieces) => pieces.iter().map(|piece| (piece.file, piece.tensor.as_str())).collect(),
            _ => vec![self.origin()],
        }
    }

    /// Swaps rows and columns; a vector is left unchanged.
    pub(super) fn transpose(&mut self) {
        if let [rows, cols] = self.shape[..] {
            let inner = Box::new(self.clone());
            self.shape = vec![cols, rows];
            self.source = Source::Transposed(inner);
        }
    }
}

impl View {
    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The name of the file that a tensor comes from.
    pub fn file_of(&self, tensor: &Tensor) -> &str {
        self.files.get(tensor.origin().0).map_or("", TensorFile::name)
    }

    /// Renames the tensors for which `new` returns a name.
    pub(super) fn rename(&mut self, new: impl Fn(&str) -> Option<String>) {
        for tensor in self.tensors.edit() {
            if let Some(name) = new(&tensor.name) {
                tensor.name = name;
            }
        }
    }

    /// Replaces fused tensors by their parts: (name, rows) in order.
    pub(super) fn split(&mut self, fused: &[(String, Vec<(String, u64)>)]) {
        let parts: HashMap<&str, &[(String, u64)]> = fused.iter().map(|(name, parts)| (name.as_str(), parts.as_slice())).collect();
        let list = self.tensors.edit();
        for whole in std::mem::take(list) {
            let Some(parts) = parts.get(whole.name.as_str()).filter(|_| !whole.shape.is_empty()) else {
                list.push(whole);
                continue;
            };
            let mut first = 0;
            for (name, rows) in *parts {
                let mut shape = whole.shape.clone();
                shape[0] = *rows;
                let source = Source::Rows(Box::new(whole.clone()), first..first + rows);
                list.push(Tensor { name: name.clone(), dtype: whole.dtype, shape, source });
                first += rows;
            }
        }
    }

    /// Merges LoRA factors into the base layers beside them (`q_proj.base_layer.weight`, `q_proj.lora_A.default.weight`), and uses the
    /// trained copy of modules that were trained whole (`modules_to_save`).
    pub(super) fn merge_lora(&mut self, scale: f64) {
        let (factors, mut rest): (Vec<Tensor>, Vec<Tensor>) =
            std::mem::take(self.tensors.edit()).into_iter().partition(|tensor| tensor.name.contains(".lora_"));
        // By (module, letter); the first one if there are several.
        let factor = |tensor: &Tensor| {
            let (module, rest) = tensor.name.split_once(".lora_")?;
            Some((module.to_string(), rest.split_once('.')?.0.to_string()))
        };
        let by_place: HashMap<(String, String), &Tensor> =
            factors.iter().rev().filter_map(|tensor| Some((factor(tensor)?, tensor))).collect();
        rest.retain(|tensor| !tensor.name.contains(".original_module."));
        for tensor in &mut rest {
            if let Some((front, rest)) = tensor.name.split_once(".modules_to_save.") {
                // The name of the adapter comes next; remove it.
                tensor.name = format!("{front}.{}", rest.split_once('.').map_or(rest, |(_, rest)| rest));
            }
            let Some((module, kind)) = tensor.name.split_once(".base_layer.") else { continue };
            let find = |letter: &str| by_place.get(&(module.to_string(), letter.to_string())).copied();
            let name = format!("{module}.{kind}");
            if let (Some(a), Some(b), "weight") = (find("A"), find("B"), kind) {
                let base = Box::new(tensor.clone());
                tensor.source = Source::Merged { base, a: Box::new(a.clone()), b: Box::new(b.clone()), scale };
            }
            tensor.name = name;
        }
        *self.tensors.edit() = rest;
    }

    /// Adds rows to a matrix, up to a total of `rows`.
    pub(super) fn extend(&mut self, name: &str, rows: u64) {
        if let Some(tensor) = self.tensors.edit().iter_mut().find(|tensor| tensor.name == name)
            && tensor.shape.len() == 2
            && tensor.shape[0] < rows
        {
            let inner = Box::new(tensor.clone());
            tensor.shape[0] = rows;
            tensor.source = Source::Extended(inner);
        }
    }

    /// Replaces several tensors by one that concatenates their rows: (parts, name of the whole).
    pub(super) fn join(&mut self, groups: &[(Vec<String>, String)]) {
        let mut gone: HashSet<&str> = HashSet::new();
        let mut joined = Vec::new();
        for (parts, name) in groups {
            let Some(found) = parts.iter().map(|part| self.get(part).cloned()).collect::<Option<Vec<Tensor>>>() else { continue };
            let Some(first) = found.first().filter(|_| found.iter().all(|tensor| !tensor.shape.is_empty())) else { continue };
            let mut shape = first.shape.clone();
            shape[0] = found.iter().map(|tensor| tensor.shape[0]).sum();
            joined.push(Tensor { name: name.clone(), dtype: first.dtype, shape, source: Source::Joined(found) });
            gone.extend(parts.iter().map(String::as_str));
        }
        let list = self.tensors.edit();
        list.retain(|tensor| !gone.contains(tensor.name.as_str()));
        list.extend(joined);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::validate::names;
    use crate::validate::repair::Repair;

    thread_local! {
        /// How many times the tensors of any view were indexed.
        pub(super) static INDEXED: Cell<usize> = const { Cell::new(0) };
    }

    fn view(names: impl Iterator<Item = String>) -> View {
        let source = Source::Stored { file: 0, tensor: String::new() };
        let tensor = |name| Tensor { name, dtype: Dtype::F32, shape: vec![12, 4], source: source.clone() };
        let mut view = View::default();
        view.tensors.edit().extend(names.map(tensor));
        view
    }

    /// Indexing happens once for each kind of repair, not for each tensor.
    #[test]
    fn repairs_of_many_tensors_index_them_a_few_times() {
        let indexed = |run: &dyn Fn(usize)| {
            let count = |layers| {
                INDEXED.set(0);
                run(layers);
                INDEXED.get()
            };
            (count(10), count(2000))
        };
        let (few, many) = indexed(&|layers| {
            let mut view = view((0..layers).map(|i| format!("layers.{i}.qkv_proj.weight")));
            let parts = |i| ["q_proj", "k_proj", "v_proj"].map(|part| (format!("layers.{i}.{part}.weight"), 4)).to_vec();
            view.apply(&Repair::Split((0..layers).map(|i| (format!("layers.{i}.qkv_proj.weight"), parts(i))).collect()));
            assert_eq!(view.tensors.len(), 3 * layers);
            assert_eq!(view.get("layers.3.k_proj.weight").map(|tensor| tensor.shape.clone()), Some(vec![4, 4]));
            let names = |i| parts(i).into_iter().map(|(name, _)| name).collect();
            view.apply(&Repair::Join((0..layers).map(|i| (names(i), format!("layers.{i}.all.weight"))).collect()));
            assert_eq!(view.tensors.len(), layers);
            assert_eq!(view.get("layers.3.all.weight").map(|tensor| tensor.shape.clone()), Some(vec![12, 4]));
        });
        assert_eq!(few, many);
        let (few, many) = indexed(&|layers| {
            let parts = ["base_layer.weight", "lora_A.default.weight", "lora_B.default.weight"];
            let all = (0..layers).flat_map(|i| parts.map(|part| format!("module.model.layers.{i}.q_proj.{part}")));
            let mut view = view(all);
            view.lora_scale = Some(1.0);
            names::unwrap(&mut view, &mut Vec::new());
            assert_eq!(view.tensors.len(), layers);
            let merged = view.get("model.layers.3.q_proj.weight").expect("it was unwrapped and merged");
            assert!(matches!(merged.source, Source::Merged { .. }));
        });
        assert_eq!(few, many);
    }
}
