//! A directory as the rules see it: a configuration and tensors, mended step by step. What is in memory are headers; each tensor
//! knows where its numbers come from, so the mended view can be judged, run and written without anything being copied first.

use std::ops::Range;

use safetensors::Dtype;
use serde_json::{Map, Value};

use crate::checkpoint::TensorFile;

/// Configuration and tensors of a model, some of them mended.
#[derive(Clone, Default)]
pub struct View {
    /// config.json.
    pub config: Map<String, Value>,
    /// The tensors in the order of the files.
    pub tensors: Vec<Tensor>,
    /// The files that [`Source::Stored`] points into.
    pub files: Vec<TensorFile>,
    /// lora_alpha / r of an adapter_config.json beside the weights, for LoRA factors among the tensors.
    pub lora_scale: Option<f64>,
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
    /// They stand in a file as they are.
    Stored {
        /// Index into [`View::files`].
        file: usize,
        /// The name in that file.
        tensor: String,
    },
    /// A matrix, transposed.
    Transposed(Box<Tensor>),
    /// Some rows of another.
    Rows(Box<Tensor>, Range<u64>),
    /// Several below each other.
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
    /// The rows of another, then as many as are wanted, each the mean of those.
    Extended(Box<Tensor>),
}

impl Tensor {
    /// How many elements it has.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// The file and the name there of the (first) stored tensor that its numbers come from.
    pub fn origin(&self) -> (usize, &str) {
        match &self.source {
            Source::Stored { file, tensor } => (*file, tensor),
            Source::Transposed(inner) | Source::Rows(inner, _) | Source::Extended(inner) => inner.origin(),
            Source::Merged { base, .. } => base.origin(),
            Source::Joined(parts) => parts.first().map_or((0, ""), Tensor::origin),
        }
    }

    /// Swaps rows and columns; a vector stays.
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
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// The name of the file that a tensor comes from.
    pub fn file_of(&self, tensor: &Tensor) -> &str {
        self.files.get(tensor.origin().0).map_or("", TensorFile::name)
    }

    /// Gives names that `new` maps to another.
    pub(super) fn rename(&mut self, new: impl Fn(&str) -> Option<String>) {
        for tensor in &mut self.tensors {
            if let Some(name) = new(&tensor.name) {
                tensor.name = name;
            }
        }
    }

    /// Replaces a tensor by parts of it: (name, rows) one after the other.
    pub(super) fn split(&mut self, name: &str, parts: &[(String, u64)]) {
        let Some(at) = self.tensors.iter().position(|tensor| tensor.name == name) else { return };
        let whole = self.tensors.remove(at);
        let mut first = 0;
        for (i, (name, rows)) in parts.iter().enumerate() {
            let mut shape = whole.shape.clone();
            shape[0] = *rows;
            let source = Source::Rows(Box::new(whole.clone()), first..first + rows);
            self.tensors.insert(at + i, Tensor { name: name.clone(), dtype: whole.dtype, shape, source });
            first += rows;
        }
    }

    /// Adds LoRA factors to the base layers that they stand beside (`q_proj.base_layer.weight`, `q_proj.lora_A.default.weight`), and
    /// takes the trained copy of modules that were trained whole (`modules_to_save`).
    pub(super) fn merge_lora(&mut self, scale: f64) {
        let (factors, mut rest): (Vec<Tensor>, Vec<Tensor>) =
            std::mem::take(&mut self.tensors).into_iter().partition(|tensor| tensor.name.contains(".lora_"));
        rest.retain(|tensor| !tensor.name.contains(".original_module."));
        for tensor in &mut rest {
            if let Some((front, rest)) = tensor.name.split_once(".modules_to_save.") {
                // The name of the adapter comes next.
                tensor.name = format!("{front}.{}", rest.split_once('.').map_or(rest, |(_, rest)| rest));
            }
            let Some((module, kind)) = tensor.name.split_once(".base_layer.") else { continue };
            let find = |letter: &str| factors.iter().find(|factor| factor.name.starts_with(&format!("{module}.lora_{letter}.")));
            let name = format!("{module}.{kind}");
            if let (Some(a), Some(b), "weight") = (find("A"), find("B"), kind) {
                let base = Box::new(tensor.clone());
                tensor.source = Source::Merged { base, a: Box::new(a.clone()), b: Box::new(b.clone()), scale };
            }
            tensor.name = name;
        }
        self.tensors = rest;
    }

    /// Adds rows to a matrix.
    pub(super) fn extend(&mut self, name: &str, rows: u64) {
        if let Some(tensor) = self.tensors.iter_mut().find(|tensor| tensor.name == name)
            && tensor.shape.len() == 2
            && tensor.shape[0] < rows
        {
            let inner = Box::new(tensor.clone());
            tensor.shape[0] = rows;
            tensor.source = Source::Extended(inner);
        }
    }

    /// Replaces several tensors by one that holds them below each other.
    pub(super) fn join(&mut self, parts: &[String], name: &str) {
        let Some(found) = parts.iter().map(|part| self.get(part).cloned()).collect::<Option<Vec<Tensor>>>() else { return };
        let Some(first) = found.first() else { return };
        let mut shape = first.shape.clone();
        shape[0] = found.iter().map(|tensor| tensor.shape[0]).sum();
        let tensor = Tensor { name: name.to_string(), dtype: first.dtype, shape, source: Source::Joined(found) };
        self.tensors.retain(|tensor| !parts.contains(&tensor.name));
        self.tensors.push(tensor);
    }
}
