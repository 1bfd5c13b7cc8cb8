//! Checks the weight files and their index: which files count, whether they are complete, and whether they agree.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use serde_json::Value;

use super::code::Code;
use super::directory::is_weight_file;
use super::json;
use super::repair::Repair;
use super::report::Finding;
use super::said::said;
use super::view::{Source, Tensor, View};
use crate::checkpoint::{INDEX, TensorFile, TorchFile, WEIGHTS};
use crate::error::{Cause, Error};
use crate::platform::{Directory, Entry};

/// Maximum number of shards named in a message; the rest is counted.
const NAMED: usize = 6;
const PICKLE_INDEX: &str = "pytorch_model.bin.index.json";

/// Opens the weight files of a directory into `view`, reading only their headers.
pub(super) async fn open(dir: &Rc<dyn Directory>, entries: &[Entry], view: &mut View, findings: &mut Vec<Finding>) {
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).filter(|name| is_weight_file(name)).collect();
    let safetensors: Vec<&str> = names.iter().copied().filter(|name| name.ends_with(".safetensors")).collect();
    let single = safetensors.contains(&WEIGHTS);
    let chosen = if single {
        if names.contains(&INDEX) && !index_names_only_the_single_file(dir, entries).await {
            let message = said!(
                "stands beside {INDEX}: two sets of weights. Other tools load the single file, however old it is; remove the set \
                 that is outdated"
            );
            findings.push(Finding::new(Code::TwoWeightSets, message).file(WEIGHTS));
        }
        vec![WEIGHTS.to_string()]
    } else if names.contains(&INDEX) {
        sharded(dir, entries, &safetensors, findings).await
    } else if !safetensors.is_empty() {
        without_index(&safetensors, findings)
    } else {
        return pickles(dir, entries, &names, view, findings).await;
    };
    let mut known = HashMap::new();
    for name in &chosen {
        open_one(dir, name, view, &mut known, findings).await;
    }
    if names.contains(&INDEX)
        && !single
        && let Ok(map) = weight_map(dir, entries, INDEX).await
    {
        // An index may assign all tensors of a shard to other shards, and so never mention that shard.
        if map.keys().any(|tensor| !known.contains_key(tensor)) {
            let chosen: HashSet<&String> = chosen.iter().collect();
            for name in safetensors.iter().map(ToString::to_string).filter(|name| shard_number(name).is_some() && !chosen.contains(name)) {
                open_one(dir, &name, view, &mut known, findings).await;
            }
        }
        compare_index(&map, entries, view, findings);
    }
}

async fn open_one(dir: &Rc<dyn Directory>, name: &str, view: &mut View, known: &mut HashMap<String, usize>, findings: &mut Vec<Finding>) {
    match TensorFile::open(dir.clone(), name).await {
        Ok(file) => add(view, file, known, findings),
        Err(error) => findings.push(damaged(name, &error)),
    }
}

/// Adds the tensors of a file to the view; `known` maps each name to the file it was found in.
fn add(view: &mut View, file: TensorFile, known: &mut HashMap<String, usize>, findings: &mut Vec<Finding>) {
    let index = view.files.len();
    let mut twice: Vec<(&str, usize)> = Vec::new();
    let list = view.tensors.edit();
    for entry in file.tensors() {
        if let Some(other) = known.get(&entry.name) {
            twice.push((&entry.name, *other));
            continue;
        }
        known.insert(entry.name.clone(), index);
        let source = Source::Stored { file: index, tensor: entry.name.clone() };
        list.push(Tensor { name: entry.name.clone(), dtype: entry.dtype, shape: entry.shape.clone(), source });
    }
    if let Some((tensor, other)) = twice.first() {
        let others = if twice.len() > 1 { format!(" (and so do {} other tensors of this file)", twice.len() - 1) } else { String::new() };
        let message = said!("stands in {} too{others}; the two shards are not of one model, get them again", view.files[*other].name());
        findings.push(Finding::new(Code::DuplicateTensor, message).file(file.name()).tensor(*tensor));
    }
    view.files.push(file);
}

/// Converts an error of the header parser into a finding.
fn damaged(name: &str, error: &Error) -> Finding {
    let (reason, tensor) = match error {
        Error::File { reason, .. } => (reason.clone(), None),
        Error::Tensor { reason, tensor, .. } => (reason.clone(), Some(tensor.clone())),
        other => (other.to_string(), None),
    };
    let code = match error.cause() {
        Cause::LfsPointer => Code::LfsPointer,
        Cause::OutsideDirectory => Code::OutsideDirectory,
        Cause::BrokenLink | Cause::PermissionDenied => Code::Unreadable,
        Cause::Truncated => Code::TruncatedFile,
        _ => Code::DamagedFile,
    };
    Finding { tensor, ..Finding::new(code, reason).file(name) }
}

async fn weight_map(dir: &Rc<dyn Directory>, entries: &[Entry], name: &str) -> Result<BTreeMap<String, String>, Box<Finding>> {
    let rebuild = |mut finding: Box<Finding>| {
        finding.code = if finding.code == Code::InvalidJson { Code::DamagedIndex } else { finding.code };
        finding
    };
    let json = json::read(&**dir, entries, name).await.map_err(rebuild)?;
    let map = json.as_ref().and_then(|json| json.map.get("weight_map")).and_then(Value::as_object);
    let map = map.ok_or_else(|| -> Box<Finding> {
        Finding::new(Code::DamagedIndex, "has no weight_map, which says where each tensor is").file(name).into()
    })?;
    let entry = |(tensor, file): (&String, &Value)| match file.as_str() {
        Some(file) => Ok((tensor.clone(), file.to_string())),
        None => Err(Finding::new(Code::DamagedIndex, "is mapped to something that is not a file's name in weight_map")
            .file(name)
            .tensor(tensor)
            .into()),
    };
    map.iter().map(entry).collect()
}

async fn index_names_only_the_single_file(dir: &Rc<dyn Directory>, entries: &[Entry]) -> bool {
    weight_map(dir, entries, INDEX).await.is_ok_and(|map| map.values().all(|file| file == WEIGHTS))
}

/// The shards to open, by the index or, where that is damaged, by their names.
async fn sharded(dir: &Rc<dyn Directory>, entries: &[Entry], present: &[&str], findings: &mut Vec<Finding>) -> Vec<String> {
    let map = match weight_map(dir, entries, INDEX).await {
        Ok(map) => map,
        Err(finding) => {
            let finding = *finding;
            let complete = !present.is_empty() && missing_numbers(present).is_empty();
            let finding = match complete {
                true => Finding { message: said!("{}; the shards' headers tell the same", finding.message), ..finding }
                    .repair(Repair::RewriteWeights),
                false => finding,
            };
            findings.push(finding);
            return present.iter().map(ToString::to_string).collect();
        }
    };
    let named: BTreeSet<&str> = map.values().map(String::as_str).collect();
    let there: HashSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let is_there = |name: &str| there.contains(name);
    let mut chosen: Vec<String> = named.iter().filter(|name| is_there(name)).map(ToString::to_string).collect();
    // If a file named in the index is missing, its tensors may be in a file that the index does not name.
    if chosen.len() < named.len() {
        chosen.extend(present.iter().filter(|name| !named.contains(**name)).map(ToString::to_string));
    }
    chosen
}

/// Reports files that are named in the index but missing, unless their tensors are in other files.
fn missing_shards(map: &BTreeMap<String, String>, view: &View, entries: &[Entry], findings: &mut Vec<Finding>) {
    let mut shards: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (tensor, file) in map {
        shards.entry(file).or_default().push(tensor);
    }
    let count = shards.len();
    let there: HashSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let mut said = 0;
    for (number, (name, tensors)) in shards.into_iter().enumerate() {
        let lost = tensors.iter().filter(|tensor| view.get(tensor).is_none()).count();
        if there.contains(name) || lost == 0 {
            continue;
        }
        said += 1;
        if said > NAMED {
            continue;
        }
        if leads_outside(name) {
            let message = said!("names {name:?} as the file of {lost} tensors, which lies outside the directory and is not read");
            findings.push(Finding::new(Code::OutsideDirectory, message).file(INDEX));
        } else {
            let message = said!("this shard ({} of {count}, with {lost} tensors) is missing; get it again", number + 1);
            findings.push(Finding::new(Code::MissingShard, message).file(name));
        }
    }
    if said > NAMED {
        let message = said!("{} more of the {count} shards that the index names are missing", said - NAMED);
        findings.push(Finding::new(Code::MissingShard, message).file(INDEX));
    }
}

/// Whether a name in an index points outside the directory.
fn leads_outside(name: &str) -> bool {
    name.split(['/', '\\']).any(|part| part == ".." || part.is_empty()) || name.contains(':')
}

/// Compares the index with the headers, once all shards are open.
fn compare_index(map: &BTreeMap<String, String>, entries: &[Entry], view: &View, findings: &mut Vec<Finding>) {
    missing_shards(map, view, entries, findings);
    let open: BTreeSet<&str> = view.files.iter().map(TensorFile::name).collect();
    let mut places: HashMap<&str, &str> = HashMap::new();
    for file in &view.files {
        for tensor in file.tensors() {
            places.entry(&tensor.name).or_insert(file.name());
        }
    }
    let place = |name: &str| places.get(name).copied();
    let wrong: Vec<(&String, &String)> = map
        .iter()
        .filter(|(tensor, file)| match place(tensor) {
            Some(place) => place != file.as_str(),
            // In a missing file, which is already reported.
            None => open.contains(file.as_str()),
        })
        .collect();
    let unlisted: Vec<(&str, &str)> = view
        .files
        .iter()
        .flat_map(|file| file.tensors().iter().map(move |tensor| (tensor.name.as_str(), file.name())))
        .filter(|(tensor, _)| !map.contains_key(*tensor))
        .collect();
    let (tensor, what) = match (wrong.first(), unlisted.first()) {
        (Some((tensor, file)), _) => (tensor.as_str(), format!("the index says that this tensor is in {file}, but it is not")),
        (None, Some((tensor, file))) => (*tensor, format!("is in {file}, but the index does not list it")),
        (None, None) => return,
    };
    let others = match wrong.len() + unlisted.len() - 1 {
        0 => String::new(),
        n => format!(" (and {n} more such disagreements)"),
    };
    let what = format!("{what}{others}");
    let message = said!(
        "{what}. transformers would fill such tensors with random numbers, version 4 with whatever lies in memory; \
         the headers of the shards are right, the index must be rebuilt from them"
    );
    findings.push(Finding::new(Code::IndexMismatch, message).file(INDEX).tensor(tensor).repair(Repair::RewriteWeights));
}

/// The missing shard numbers of a set like `model-00001-of-00003.safetensors`.
fn missing_numbers(names: &[&str]) -> Vec<u64> {
    let numbers: Vec<(u64, u64)> = names.iter().filter_map(|name| shard_number(name)).collect();
    let total = numbers.iter().map(|(_, total)| *total).max().unwrap_or(0).min(100_000);
    let there: HashSet<u64> = numbers.into_iter().map(|(number, _)| number).collect();
    (1..=total).filter(|wanted| !there.contains(wanted)).collect()
}

/// `(2, 3)` for `…-00002-of-00003.safetensors`.
fn shard_number(name: &str) -> Option<(u64, u64)> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let (front, total) = stem.rsplit_once("-of-")?;
    Some((front.rsplit('-').next()?.parse().ok()?, total.parse().ok()?))
}

/// Chooses the weight files among safetensors files with other names than the standard ones.
fn without_index(names: &[&str], findings: &mut Vec<Finding>) -> Vec<String> {
    let missing = missing_numbers(names);
    if let [first, ..] = missing[..] {
        let total = names.iter().filter_map(|name| shard_number(name)).map(|(_, total)| total).max().unwrap_or(0);
        let message = match missing.len() {
            1 => said!("shard {first} of {total} is missing, and so is {INDEX}; get both again"),
            n => said!("{n} of {total} shards are missing (number {first} and others), and so is {INDEX}; get them again"),
        };
        findings.push(Finding::new(Code::MissingShard, message));
    } else if let [name] = names {
        let message = said!("must be called {WEIGHTS}; under this name other tools do not find it");
        findings.push(Finding::new(Code::MisnamedWeights, message).file(*name).repair(Repair::RewriteWeights));
    } else {
        let message = said!(
            "there are {} safetensors files but no {INDEX}, without which other tools find no weights; it can be rebuilt from their headers",
            names.len()
        );
        findings.push(Finding::new(Code::MissingIndex, message).file(INDEX).repair(Repair::RewriteWeights));
    }
    names.iter().map(ToString::to_string).collect()
}

/// Handles a directory without any safetensors file.
async fn pickles(dir: &Rc<dyn Directory>, entries: &[Entry], names: &[&str], view: &mut View, findings: &mut Vec<Finding>) {
    let mut pickles: Vec<String> = names.iter().filter(|name| !name.ends_with(".json")).map(ToString::to_string).collect();
    if pickles.iter().any(|name| name == "pytorch_model.bin") {
        pickles = vec!["pytorch_model.bin".into()];
    } else if names.contains(&PICKLE_INDEX)
        && let Ok(map) = weight_map(dir, entries, PICKLE_INDEX).await
    {
        pickles = map.into_values().collect::<BTreeSet<_>>().into_iter().collect();
        for name in pickles.iter().filter(|name| !names.contains(&name.as_str())) {
            findings.push(match leads_outside(name) {
                true => {
                    let message = said!("names {name:?} as a shard, which lies outside the directory and is not read");
                    Finding::new(Code::OutsideDirectory, message).file(PICKLE_INDEX)
                }
                false => Finding::new(Code::MissingShard, "this shard is missing; get it again").file(name),
            });
        }
    }
    let Some(first) = pickles.first() else {
        let message = said!("there is a configuration but no weights, neither {WEIGHTS} nor {INDEX} with its shards; copy them here");
        findings.push(Finding::new(Code::NoWeights, message));
        return;
    };
    let message = match pickles.len() {
        1 => "is a Python pickle, which can run code when it is loaded; it must be converted to safetensors".into(),
        n => said!(
            "and {} more files are Python pickles, which can run code when they are loaded; they must be converted to safetensors",
            n - 1
        ),
    };
    let refused = findings.len();
    let mut known = HashMap::new();
    // Files that are missing, or that an index names outside the directory, are not opened.
    for name in pickles.iter().filter(|name| entries.iter().any(|entry| entry.name == **name)) {
        match TorchFile::open(dir.clone(), name).await {
            Ok(torch) => {
                let before = view.tensors.len();
                add(view, torch.file, &mut known, findings);
                let transposed: HashSet<String> = torch.transposed.into_iter().collect();
                for tensor in view.tensors.edit()[before..].iter_mut().filter(|tensor| transposed.contains(&tensor.name)) {
                    tensor.transpose();
                }
            }
            Err(error) => {
                let finding = damaged(name, &error);
                let code = if finding.code == Code::DamagedFile { Code::PickleWeights } else { finding.code };
                findings.push(Finding { code, severity: code.fault().severity, ..finding });
            }
        }
    }
    if findings.len() == refused {
        findings.push(Finding::new(Code::PickleWeights, message).file(first).repair(Repair::ConvertPickle(pickles)));
    }
}
