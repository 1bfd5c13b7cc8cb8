//! Checkpoints of DeepSpeed's ZeRO optimisers, whose f32 weights lie in pieces in one file for each process. Their place is worked out as
//! DeepSpeed's `zero_to_fp32.py` does; nothing is copied before it is read.
//!
//! Stages 1 and 2 lay all parameters of a group one after the other and cut the whole vector among the processes; stage 3 cuts every
//! parameter on its own, padded at its end. Parameters that were not trained lie beside them in the files of the model's state.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::TensorFile;
use super::pickle::{Node, Saved};
use crate::error::{Error, Result};
use crate::platform::{Directory, Entry};

/// The most pieces of all parameters together: a hundred thousand parameters of a hundred processes.
const MAX_PIECES: usize = 10_000_000;
const OPTIMIZER: &str = "_optim_states.pt";
const MODEL: &str = "_model_states.pt";
const LATEST: &str = "latest";

/// Some elements of a stored tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Index into [`ZeroShards::files`].
    pub file: usize,
    /// The tensor's name in that file.
    pub tensor: String,
    /// Which of its elements.
    pub elements: Range<u64>,
}

/// A parameter, gathered from its pieces.
#[derive(Debug, Clone, PartialEq)]
pub struct Gathered {
    /// Its name in the model.
    pub name: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Its pieces, one after the other.
    pub pieces: Vec<Piece>,
}

/// The parameters of a ZeRO checkpoint.
pub struct ZeroShards {
    /// The directory of its files within the given one, with a slash at its end; empty when it is the given one itself.
    pub folder: String,
    /// ZeRO's stage.
    pub stage: u64,
    /// The number of processes that trained.
    pub processes: usize,
    /// The files that the pieces lie in.
    pub files: Vec<TensorFile>,
    /// All parameters that were saved.
    pub parameters: Vec<Gathered>,
}

impl ZeroShards {
    /// Reads the newest checkpoint of a directory: where each parameter lies, not the numbers.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Tensor`] when files are missing, damaged, or not of one run.
    pub async fn open(dir: &Rc<dyn Directory>, entries: &[Entry]) -> Result<ZeroShards> {
        let folder = newest(dir, entries).await?;
        let fail = |reason: String| Error::file(format!("{}/{folder}", dir.label()), reason);
        let of = |ending: &str| -> Vec<String> {
            let names = entries
                .iter()
                .map(|entry| &entry.name)
                .filter(|name| name.strip_prefix(&*folder).is_some_and(|name| !name.contains('/') && name.ends_with(ending)));
            let mut names: Vec<String> = names.cloned().collect();
            names.sort_by_key(|name| (rank(name), name.clone()));
            names
        };
        let (optimizer, model) = (of(OPTIMIZER), of(MODEL));
        if optimizer.is_empty() || model.is_empty() {
            let missing = if model.is_empty() { MODEL } else { OPTIMIZER };
            return Err(fail(format!(
                "there is no file …{missing}, without which the weights cannot be put together; copy the whole folder"
            )));
        }
        if let Some(other) = optimizer.iter().chain(&model).find(|name| name.contains("mp_rank_") && !name.contains("mp_rank_00")) {
            return Err(fail(format!(
                "{other} is of a model that was cut across devices (tensor parallelism); gather it where it was trained"
            )));
        }
        let states = saved(dir, &optimizer).await?;
        let models = saved(dir, &model).await?;
        let first = models.first().map(Saved::root).and_then(|root| root.get("param_shapes"));
        let groups =
            first.and_then(Node::items).ok_or_else(|| Error::file(&model[0], "it has no param_shapes, so DeepSpeed did not write it"))?;
        let groups: Vec<Vec<(String, Vec<u64>)>> = groups.map(|group| shapes(&model[0], group)).collect::<Result<_>>()?;
        let (stage, processes) = stage(&optimizer, &states)?;
        if processes != optimizer.len() {
            return Err(fail(format!(
                "{processes} processes trained it, and {} of their files …{OPTIMIZER} are here; copy those of all hosts into one folder",
                optimizer.len()
            )));
        }
        let key = if stage == 3 { "fp32_flat_groups" } else { "single_partition_of_fp32_groups" };
        let mut files = Vec::new();
        for (name, state) in optimizer.iter().zip(&states) {
            files.push(flat_groups(dir, name, state, key)?);
        }
        let count = groups.iter().map(Vec::len).sum::<usize>();
        if count.saturating_mul(processes) > MAX_PIECES {
            return Err(fail(format!("it has {count} parameters of {processes} processes, which is more than is put together here")));
        }
        let mut parameters = match stage {
            3 => by_parameter(&files, groups.into_iter().flatten())?,
            _ => by_group(&files, &groups, &paddings(states[0].root()))?,
        };
        frozen(dir, stage, &model, &models, &mut files, &mut parameters)?;
        tied(models[0].root(), &mut parameters);
        Ok(ZeroShards { folder, stage, processes, files, parameters })
    }
}

/// The folder of the newest checkpoint: what the file `latest` names, else the highest global_step.
async fn newest(dir: &Rc<dyn Directory>, entries: &[Entry]) -> Result<String> {
    let has = |folder: &str| {
        entries.iter().any(|entry| entry.name.strip_prefix(folder).is_some_and(|name| !name.contains('/') && name.ends_with(OPTIMIZER)))
    };
    if has("") {
        return Ok(String::new());
    }
    if entries.iter().any(|entry| entry.name == LATEST && entry.size < 1000) {
        let named = dir.read(LATEST).await?;
        let named = format!("{}/", String::from_utf8_lossy(&named).trim());
        if has(&named) {
            return Ok(named);
        }
    }
    let folders = entries.iter().filter_map(|entry| {
        let (folder, name) = entry.name.rsplit_once('/')?;
        let step = folder.rsplit('/').next()?.strip_prefix("global_step")?.parse::<u64>().ok()?;
        name.ends_with(OPTIMIZER).then(|| (step, format!("{folder}/")))
    });
    let newest = folders.max().map(|(_, folder)| folder);
    newest
        .ok_or_else(|| Error::file(dir.label(), format!("there is no folder global_step… with files …{OPTIMIZER}, which hold the weights")))
}

/// The process that wrote a file.
fn rank(name: &str) -> u64 {
    let digits = name.rsplit_once("zero_pp_rank_").map_or("", |(_, rest)| rest.split('_').next().unwrap_or_default());
    digits.parse().unwrap_or(0)
}

async fn saved(dir: &Rc<dyn Directory>, names: &[String]) -> Result<Vec<Saved>> {
    let mut all = Vec::new();
    for name in names {
        all.push(Saved::open(dir, name).await?);
    }
    Ok(all)
}

/// Names and shapes of a group of parameters, in the order in which they lie.
fn shapes(file: &str, group: Node<'_>) -> Result<Vec<(String, Vec<u64>)>> {
    let damaged = || Error::file(file, "its param_shapes are not names and shapes; the file is damaged");
    let entries = group.entries().ok_or_else(damaged)?;
    entries.map(|(name, shape)| Ok((name.to_string(), shape.shape().ok_or_else(damaged)?))).collect()
}

/// The stage and the number of processes, by the first file.
fn stage(names: &[String], states: &[Saved]) -> Result<(u64, usize)> {
    let state = states.first().map(Saved::root).and_then(|root| root.get("optimizer_state_dict"));
    let stage = state.and_then(|state| state.get("zero_stage")).and_then(Node::count);
    // Of experts, each group has its own; the largest is that of all.
    let processes = state.and_then(|state| state.get("partition_count")).and_then(|count| match count.items() {
        Some(counts) => counts.filter_map(Node::count).max(),
        None => count.count(),
    });
    match (stage, processes) {
        (Some(stage @ 1..=3), Some(processes)) => Ok((stage, processes as usize)),
        (Some(stage), Some(_)) => Err(Error::file(&names[0], format!("it is of ZeRO stage {stage}, which is not known"))),
        _ => Err(Error::file(&names[0], "it has no zero_stage and partition_count, so DeepSpeed's ZeRO did not write it")),
    }
}

/// One process's vectors of f32 weights, called by their numbers.
fn flat_groups(dir: &Rc<dyn Directory>, name: &str, state: &Saved, key: &str) -> Result<TensorFile> {
    let groups = state.root().get("optimizer_state_dict").and_then(|state| state.get(key)).and_then(Node::items);
    let groups =
        groups.ok_or_else(|| Error::file(name, format!("it has no {key}; the file is damaged, or DeepSpeed kept no f32 weights")))?;
    let tensors: Vec<(String, Node<'_>)> = groups.enumerate().map(|(number, group)| (number.to_string(), group)).collect();
    state.tensors(dir, &tensors)
}

fn elements(file: &TensorFile, group: usize) -> u64 {
    file.get(&group.to_string()).map_or(0, |entry| entry.elements())
}

fn number_of(shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n))
}

fn too_short(name: &str) -> Error {
    Error::tensor("", name, "does not lie within the vectors of the processes' files; they are not of one run")
}

/// The alignment after each parameter of each group, which bf16's optimiser puts there.
fn paddings(state: Node<'_>) -> Vec<Vec<u64>> {
    let groups = state.get("optimizer_state_dict").and_then(|state| state.get("param_alignment_paddings")).and_then(Node::items);
    groups.map(|groups| groups.map(|group| group.shape().unwrap_or_default()).collect()).unwrap_or_default()
}

/// The elements `range` of several vectors that lie one after the other: (file, name, length).
fn cut(vectors: &[(usize, String, u64)], range: Range<u64>) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut first = 0;
    for (file, tensor, length) in vectors {
        let end = first + length;
        let (from, to) = (range.start.max(first), range.end.min(end));
        if from < to {
            pieces.push(Piece { file: *file, tensor: tensor.clone(), elements: from - first..to - first });
        }
        first = end;
    }
    (range.end <= first).then_some(pieces)
}

/// Stages 1 and 2.
fn by_group(files: &[TensorFile], groups: &[Vec<(String, Vec<u64>)>], paddings: &[Vec<u64>]) -> Result<Vec<Gathered>> {
    let mut parameters = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let vectors: Vec<(usize, String, u64)> =
            files.iter().enumerate().map(|(at, file)| (at, number.to_string(), elements(file, number))).collect();
        let mut offset = 0u64;
        for (at, (name, shape)) in group.iter().enumerate() {
            let end = number_of(shape).and_then(|count| offset.checked_add(count)).ok_or_else(|| too_short(name))?;
            let pieces = cut(&vectors, offset..end).ok_or_else(|| too_short(name))?;
            parameters.push(Gathered { name: name.clone(), shape: shape.clone(), pieces });
            let padding = paddings.get(number).and_then(|group| group.get(at)).copied().unwrap_or(0);
            offset = end.checked_add(padding).ok_or_else(|| too_short(name))?;
        }
        // What is left over only fills up the last process's part.
        let left = vectors.iter().map(|(.., length)| length).sum::<u64>().saturating_sub(offset);
        let align = 2 * files.len() as u64;
        if left >= align && paddings.is_empty() {
            let name = group.last().map_or("", |(name, _)| name);
            return Err(Error::tensor(
                "",
                name,
                format!("is followed by {left} numbers that belong to no parameter; the files are not of one run"),
            ));
        }
    }
    Ok(parameters)
}

/// Stage 3.
fn by_parameter(files: &[TensorFile], shapes: impl Iterator<Item = (String, Vec<u64>)>) -> Result<Vec<Gathered>> {
    let processes = files.len() as u64;
    let vectors: Vec<Vec<(usize, String, u64)>> = files
        .iter()
        .enumerate()
        .map(|(at, file)| (0..file.tensors().len()).map(|group| (at, group.to_string(), elements(file, group))).collect())
        .collect();
    let mut parameters = Vec::new();
    let mut offset = 0u64;
    for (name, shape) in shapes {
        let count = number_of(&shape).ok_or_else(|| too_short(&name))?;
        let part = count.div_ceil(processes);
        let mut pieces = Vec::new();
        for (process, vectors) in vectors.iter().enumerate() {
            // The last processes hold what fills up their parts.
            let here = count.saturating_sub(process as u64 * part).min(part);
            let end = offset.checked_add(here).ok_or_else(|| too_short(&name))?;
            pieces.extend(cut(vectors, offset..end).ok_or_else(|| too_short(&name))?);
        }
        offset = offset.checked_add(part).ok_or_else(|| too_short(&name))?;
        parameters.push(Gathered { name, shape, pieces });
    }
    Ok(parameters)
}

/// Parameters that were not trained: whole in the first file at stages 1 and 2, a part in every process's file at stage 3.
fn frozen(
    dir: &Rc<dyn Directory>,
    stage: u64,
    names: &[String],
    models: &[Saved],
    files: &mut Vec<TensorFile>,
    parameters: &mut Vec<Gathered>,
) -> Result<()> {
    let Some(shapes_of) = models[0].root().get("frozen_param_shapes") else { return Ok(()) };
    let shapes = shapes(&names[0], shapes_of)?;
    if shapes.is_empty() {
        return Ok(());
    }
    let first = files.len();
    let models = if stage == 3 { models } else { &models[..1] };
    for (name, model) in names.iter().zip(models) {
        let fragments = model.root().get("frozen_param_fragments").and_then(Node::entries);
        let fragments: BTreeMap<&str, Node<'_>> = fragments.map(Iterator::collect).unwrap_or_default();
        let tensors: Vec<(String, Node<'_>)> =
            shapes.iter().filter_map(|(name, _)| Some((name.clone(), *fragments.get(name.as_str())?))).collect();
        if tensors.len() < shapes.len() {
            return Err(Error::file(name, "its frozen parameters are missing; the checkpoint was saved without them"));
        }
        files.push(model.tensors(dir, &tensors)?);
    }
    for (name, shape) in shapes {
        let vectors: Vec<(usize, String, u64)> =
            (first..files.len()).map(|at| (at, name.clone(), files[at].get(&name).map_or(0, |entry| entry.elements()))).collect();
        let pieces = number_of(&shape).and_then(|count| cut(&vectors, 0..count)).ok_or_else(|| too_short(&name))?;
        parameters.push(Gathered { name, shape, pieces });
    }
    Ok(())
}

/// Parameters that are another one under a second name: (name, the one that was saved).
fn tied(model: Node<'_>, parameters: &mut Vec<Gathered>) {
    let Some(shared) = model.get("shared_params").and_then(Node::entries) else { return };
    for (name, other) in shared {
        let known = |name: &str| parameters.iter().position(|parameter| parameter.name == name);
        if let (None, Some(at)) = (known(name), other.text().and_then(known)) {
            parameters.push(Gathered { name: name.to_string(), ..parameters[at].clone() });
        }
    }
}
