//! Resolves, by PEFT's rules, which weights of a base model an adapter changes, with which rank and scale, and which tensors it has.

use std::collections::{HashMap, HashSet};

use fancy_regex::Regex;

use super::config::{AdapterConfig, TargetModules, field_error};
use crate::error::{Error, Result};
use crate::model::{Architecture, Layout, ModelConfig, ParamDecl, ParamKind};

/// The prefix that PEFT adds to every module name.
pub const KEY_PREFIX: &str = "base_model.model.";
/// The most regular expressions in one field; plain names are looked up and not counted.
const MAX_PATTERNS: usize = 256;
/// The module of the output head.
const HEAD_MODULE: &str = "lm_head";

/// The kind of an adapted module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetKind {
    /// A linear map of a layer.
    Linear,
    /// The token embedding. A tied head is not adapted with it.
    Embedding,
    /// The output head. A tied embedding is not adapted with it.
    Head,
}

/// One adapted weight: W + scale · B·A.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterTarget {
    /// Index of the weight among the base's declarations; for a tied head, that of the embedding.
    pub param: usize,
    /// The module's name in the base model, `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// The kind of module.
    pub kind: TargetKind,
    /// Rows of A.
    pub rank: usize,
    /// α/r, or α/√r with rsLoRA.
    pub scale: f32,
}

/// One parameter that the adapter replaces by its own copy (`modules_to_save`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedParam {
    /// Index of the parameter among the base's declarations; for a tied head, that of the embedding.
    pub param: usize,
    /// Its name in the base; `lm_head.weight` also for a tied head.
    pub name: String,
}

impl SavedParam {
    /// Whether this is the output head, tied or not.
    pub fn is_head(&self) -> bool {
        self.name == format!("{HEAD_MODULE}.weight")
    }
}

/// An adapter's configuration, resolved for one base.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedAdapter {
    /// The adapted weights, in the order of the base's declarations; a tied head comes last.
    pub targets: Vec<AdapterTarget>,
    /// The parameters that are trained and stored in full, in the same order.
    pub saved: Vec<SavedParam>,
    /// Whether every target has a magnitude (DoRA).
    pub use_dora: bool,
    /// Dropout on the input of A during training.
    pub dropout: f32,
    /// Names in `target_modules` and `modules_to_save` that match no module of this base. PEFT ignores them; in a recipe they are a
    /// mistake.
    pub unmatched: Vec<String>,
}

/// The role of an adapter's tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdapterRole {
    /// A of the target with this index.
    A(usize),
    /// B of the target with this index.
    B(usize),
    /// DoRA's magnitudes of the output rows of the target with this index.
    Magnitude(usize),
    /// The saved parameter with this index.
    Saved(usize),
}

/// One tensor of an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterParam {
    /// The name is PEFT's key; the shape is in compute layout: A (r, in), B (out, r), magnitude (1, out), a saved parameter as in the base.
    /// A of an embedding is (vocab_size, r), with one row for each token; the file holds its transpose.
    pub decl: ParamDecl,
    /// The tensor's role.
    pub role: AdapterRole,
}

/// A module of the base that can be adapted.
struct Module<'a> {
    name: &'a str,
    param: usize,
    kind: Option<TargetKind>,
}

impl ResolvedAdapter {
    /// Resolves the targets of `config` among the declarations of a base.
    ///
    /// # Errors
    /// [`Error::Config`] when nothing is targeted, a pattern is not a valid regular expression, or a module is named that cannot be
    /// adapted.
    pub fn resolve(config: &AdapterConfig, model: &ModelConfig, declarations: &[ParamDecl]) -> Result<ResolvedAdapter> {
        let defaults;
        let wanted = match &config.target_modules {
            Some(modules) => modules,
            None => {
                defaults = default_targets(model.architecture)?;
                &defaults
            }
        };
        let modules = modules(declarations);
        let (saved, saved_names) = saved(config, declarations, &modules);
        let saved_whole: HashSet<&str> = saved.iter().map(|s| s.name.as_str()).collect();
        let selection = Selection::new(config, wanted)?;
        let (ranks, alphas) =
            (Patterns::new("rank_pattern", &config.rank_pattern)?, Patterns::new("alpha_pattern", &config.alpha_pattern)?);
        let mut targets = Vec::new();
        for module in &modules {
            if !selection.takes(module)? {
                continue;
            }
            let kind = module.kind.ok_or_else(|| {
                field_error("target_modules", format!("names {}, which is neither a linear map nor the token embedding", module.name))
            })?;
            if config.use_dora && kind != TargetKind::Linear {
                return Err(field_error(
                    "use_dora",
                    format!("is true and {} is targeted; DoRA is supported on the linear maps of the layers only", module.name),
                ));
            }
            if saved_whole.contains(format!("{}.weight", module.name).as_str()) {
                return Err(field_error("modules_to_save", format!("names {}, which is targeted as well", module.name)));
            }
            let decl = &declarations[module.param];
            let rank = ranks.first(module.name)?.unwrap_or(config.r);
            let alpha = alphas.first(module.name)?.unwrap_or(config.lora_alpha);
            let divisor = if config.use_rslora { (rank as f64).sqrt() } else { rank as f64 };
            if rank > decl.rows.max(decl.cols) {
                let (rows, cols) = (decl.rows, decl.cols);
                return Err(field_error(
                    "r",
                    format!("is {rank} for {}, a matrix of {rows} × {cols}; such a rank is not low", module.name),
                ));
            }
            let scale = (alpha / divisor) as f32;
            targets.push(AdapterTarget { param: module.param, module: module.name.to_string(), kind, rank, scale });
        }
        if targets.is_empty() && saved.is_empty() {
            return Err(field_error(
                "target_modules",
                format!("names no module of this {} model; {}", model.architecture.model_type(), suggestion(&modules)),
            ));
        }
        let unmatched = unmatched(config, wanted, &modules, &saved_names);
        Ok(ResolvedAdapter { targets, saved, use_dora: config.use_dora, dropout: config.lora_dropout as f32, unmatched })
    }

    /// The adapter's tensors, in the order of PEFT's state dict: by module, A before B before the magnitude; then the parameters that are
    /// stored in full.
    pub fn declarations(&self, base: &[ParamDecl]) -> Vec<AdapterParam> {
        let mut params = Vec::new();
        for (index, target) in self.targets.iter().enumerate() {
            let weight = &base[target.param];
            let mut push = |name: &str, rows, cols, kind, layout, role| {
                let name = format!("{KEY_PREFIX}{}.{name}", target.module);
                params.push(AdapterParam { decl: ParamDecl { name, rows, cols, kind, layer: weight.layer, layout }, role });
            };
            let (rank, stored) = (target.rank, Layout::AsStored);
            if target.kind == TargetKind::Embedding {
                push("lora_embedding_A", weight.rows, rank, ParamKind::LoraA, Layout::Transposed, AdapterRole::A(index));
                push("lora_embedding_B", weight.cols, rank, ParamKind::LoraB, stored, AdapterRole::B(index));
            } else {
                push("lora_A.weight", rank, weight.cols, ParamKind::LoraA, stored, AdapterRole::A(index));
                push("lora_B.weight", weight.rows, rank, ParamKind::LoraB, stored, AdapterRole::B(index));
            }
            if self.use_dora {
                push("lora_magnitude_vector", 1, weight.rows, ParamKind::LoraMagnitude, stored, AdapterRole::Magnitude(index));
            }
        }
        for (index, saved) in self.saved.iter().enumerate() {
            let mut decl = base[saved.param].clone();
            decl.name = format!("{KEY_PREFIX}{}", saved.name);
            if saved.is_head() {
                decl.kind = ParamKind::Head;
            }
            params.push(AdapterParam { decl, role: AdapterRole::Saved(index) });
        }
        params
    }

    /// Whether merging the adapter makes the head a separate tensor: it is tied, and the adapter changes only one of embedding and head.
    pub fn unties(&self, model: &ModelConfig, declarations: &[ParamDecl]) -> bool {
        let touches = |param: usize| matches!(declarations[param].kind, ParamKind::Embedding | ParamKind::Head);
        model.tie_word_embeddings && (self.targets.iter().any(|t| touches(t.param)) || self.saved.iter().any(|s| touches(s.param)))
    }

    /// The targets' names for `target_modules`: the last component of a name where it matches no other module, otherwise the whole name.
    pub fn target_names(&self, base: &[ParamDecl]) -> Vec<String> {
        let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_string();
        let targeted: HashSet<&str> = self.targets.iter().map(|t| t.module.as_str()).collect();
        let lasts: HashSet<String> = self.targets.iter().map(|t| last(&t.module)).collect();
        let mut names: Vec<String> = lasts.iter().cloned().collect();
        let modules = modules(base);
        if modules.iter().any(|m| !targeted.contains(m.name) && lasts.contains(&last(m.name))) {
            names = self.targets.iter().map(|t| t.module.clone()).collect();
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether an adapted weight is stored as (in, out), which PEFT's `fan_in_fan_out` must state.
    pub fn fan_in_fan_out(&self, base: &[ParamDecl]) -> bool {
        self.targets.iter().any(|target| base[target.param].layout == Layout::Transposed)
    }
}

/// The modules that PEFT targets by default (`TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING`).
///
/// # Errors
/// [`Error::Config`] where PEFT has no default, as for phi3.
pub fn default_targets(architecture: Architecture) -> Result<TargetModules> {
    let declaration = architecture.declaration();
    if declaration.lora_targets.is_empty() {
        let last = |module: &'static str| module.rsplit('.').next().unwrap_or(module);
        let names: Vec<&str> = declaration.tensors.projections.iter().map(|projection| last(projection.module)).collect();
        return Err(field_error(
            "target_modules",
            format!("is missing, and PEFT has no default for {}; name some of {}", declaration.model_type, names.join(", ")),
        ));
    }
    Ok(TargetModules::Names(declaration.lora_targets.iter().map(|name| name.to_string()).collect()))
}

/// The modules that have a weight, by name.
fn modules(declarations: &[ParamDecl]) -> Vec<Module<'_>> {
    let mut modules: Vec<Module<'_>> = Vec::new();
    for (param, decl) in declarations.iter().enumerate().filter(|(_, decl)| !decl.in_value_head()) {
        let Some(name) = decl.name.strip_suffix(".weight") else { continue };
        let kind = match decl.kind {
            ParamKind::Linear => Some(TargetKind::Linear),
            ParamKind::Embedding => Some(TargetKind::Embedding),
            ParamKind::Head => Some(TargetKind::Head),
            _ => None,
        };
        modules.push(Module { name, param, kind });
    }
    let embedding = declarations.iter().position(|decl| decl.kind == ParamKind::Embedding);
    if let Some(param) = embedding.filter(|_| !modules.iter().any(|m| m.kind == Some(TargetKind::Head))) {
        modules.push(Module { name: HEAD_MODULE, param, kind: Some(TargetKind::Head) });
    }
    modules
}

/// The parameters of the modules that `modules_to_save` names. Like PEFT, it takes every module whose name ends with a given name, whether
/// or not a dot precedes it, together with its submodules.
///
/// Also returns the names that matched.
fn saved<'a>(config: &'a AdapterConfig, declarations: &[ParamDecl], modules: &[Module<'_>]) -> (Vec<SavedParam>, HashSet<&'a str>) {
    let names: HashSet<&str> = config.modules_to_save.iter().map(String::as_str).collect();
    let mut found = HashSet::new();
    let mut wanted = |module: &str| {
        let outers = ends(module).map(|end| &module[..end]);
        let suffixes = outers.flat_map(|outer| outer.char_indices().map(move |(at, _)| &outer[at..]));
        let mut any = false;
        for name in suffixes.filter_map(|suffix| names.get(suffix)) {
            any = true;
            found.insert(*name);
        }
        any
    };
    if names.is_empty() {
        return (Vec::new(), found);
    }
    let mut saved: Vec<SavedParam> = declarations
        .iter()
        .enumerate()
        .filter(|(_, decl)| !decl.in_value_head() && decl.name.rsplit_once('.').is_some_and(|(module, _)| wanted(module)))
        .map(|(param, decl)| SavedParam { param, name: decl.name.clone() })
        .collect();
    if let Some(head) = modules.iter().find(|m| m.name == HEAD_MODULE && declarations[m.param].kind == ParamKind::Embedding)
        && wanted(HEAD_MODULE)
    {
        saved.push(SavedParam { param: head.param, name: format!("{HEAD_MODULE}.weight") });
    }
    (saved, found)
}

/// The byte offsets at which the module's name and the names of its enclosing modules end.
fn ends(module: &str) -> impl Iterator<Item = usize> + '_ {
    module.match_indices('.').map(|(at, _)| at).chain([module.len()])
}

/// The whole name and the suffix after each dot.
fn suffixes(module: &str) -> impl Iterator<Item = &str> {
    std::iter::once(module).chain(module.match_indices('.').map(|(at, _)| &module[at + 1..]))
}

/// Whether a name in a configuration, read as a regular expression, matches only itself. (A dot counts as literal: no two module names
/// differ only in a character in its place.)
fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// The modules that the configuration includes and excludes.
struct Selection<'a> {
    wanted: &'a TargetModules,
    pattern: Option<Regex>,
    names: HashSet<&'a str>,
    excluded: Option<(&'a TargetModules, Option<Regex>, HashSet<&'a str>)>,
    /// `modules_to_save`: plain names, and regular expressions.
    not_adapted: (HashSet<&'a str>, Vec<Regex>),
    layers: Option<(&'a [usize], Vec<Regex>)>,
}

impl<'a> Selection<'a> {
    fn new(config: &'a AdapterConfig, wanted: &'a TargetModules) -> Result<Selection<'a>> {
        let whole = |field: &str, modules: &TargetModules| match modules {
            TargetModules::Pattern(pattern) => regex(field, &format!(r"\A(?:{pattern})\z"), pattern).map(Some),
            _ => Ok(None),
        };
        let excluded = match &config.exclude_modules {
            Some(modules) => Some((modules, whole("exclude_modules", modules)?, name_set(modules))),
            None => None,
        };
        let (plain, patterns): (Vec<&String>, Vec<&String>) = config.modules_to_save.iter().partition(|name| is_plain(name));
        few_patterns("modules_to_save", patterns.len())?;
        let patterns = patterns.iter().map(|name| regex("modules_to_save", &format!(r"\A(|.*\.)(?:{name})(\z|\..*)"), name));
        let layers = match config.layers_to_transform.as_deref() {
            None => None,
            Some(layers) if config.layers_pattern.is_empty() => {
                Some((layers, vec![regex("layers_pattern", r"\A.*?\.[^.]*\.(?P<idx>\d+)\.", "")?]))
            }
            Some(layers) => {
                let pattern = |p: &String| regex("layers_pattern", &format!(r"\A(?:|.*?\.){p}\.(?P<idx>\d+)\."), p);
                Some((layers, config.layers_pattern.iter().map(pattern).collect::<Result<_>>()?))
            }
        };
        Ok(Selection {
            wanted,
            pattern: whole("target_modules", wanted)?,
            excluded,
            names: name_set(wanted),
            not_adapted: (plain.into_iter().map(String::as_str).collect(), patterns.collect::<Result<_>>()?),
            layers,
        })
    }

    fn takes(&self, module: &Module<'_>) -> Result<bool> {
        let name = module.name;
        if let Some((excluded, pattern, names)) = &self.excluded
            && matches_modules("exclude_modules", excluded, pattern.as_ref(), names, module)?
        {
            return Ok(false);
        }
        let (plain, patterns) = &self.not_adapted;
        if !plain.is_empty() && ends(name).any(|end| suffixes(&name[..end]).any(|part| plain.contains(part))) {
            return Ok(false);
        }
        for saved in patterns {
            if is_match("modules_to_save", saved, name)? {
                return Ok(false);
            }
        }
        if !matches_modules("target_modules", self.wanted, self.pattern.as_ref(), &self.names, module)? {
            return Ok(false);
        }
        let (Some((layers, patterns)), TargetModules::Names(_)) = (&self.layers, self.wanted) else { return Ok(true) };
        if self.names.contains(name) {
            return Ok(true); // named in full
        }
        for pattern in patterns {
            let found = pattern.captures(name).map_err(|e| field_error("layers_pattern", e))?;
            if let Some(index) = found.and_then(|c| c.name("idx").and_then(|idx| idx.as_str().parse::<usize>().ok())) {
                return Ok(layers.contains(&index));
            }
        }
        Ok(false)
    }
}

fn name_set(modules: &TargetModules) -> HashSet<&str> {
    match modules {
        TargetModules::Names(names) => names.iter().map(String::as_str).collect(),
        _ => HashSet::new(),
    }
}

fn few_patterns(field: &str, count: usize) -> Result<()> {
    if count <= MAX_PATTERNS {
        return Ok(());
    }
    Err(field_error(field, format!("holds {count} regular expressions; at most {MAX_PATTERNS} are read. Name the modules instead")))
}

fn matches_modules(
    field: &str,
    modules: &TargetModules,
    pattern: Option<&Regex>,
    names: &HashSet<&str>,
    module: &Module<'_>,
) -> Result<bool> {
    match modules {
        TargetModules::AllLinear => Ok(module.kind == Some(TargetKind::Linear)),
        TargetModules::Names(_) => Ok(suffixes(module.name).any(|suffix| names.contains(suffix))),
        TargetModules::Pattern(_) => pattern.map_or(Ok(false), |pattern| is_match(field, pattern, module.name)),
    }
}

/// Values by module name: the first key that matches the end of a name, after a dot, applies.
struct Patterns<'a, T> {
    field: &'static str,
    /// Plain names with their position in the list.
    plain: HashMap<&'a str, (usize, T)>,
    patterns: Vec<(usize, Regex, T)>,
}

impl<'a, T: Copy> Patterns<'a, T> {
    fn new(field: &'static str, entries: &'a [(String, T)]) -> Result<Self> {
        let (mut plain, mut patterns) = (HashMap::new(), Vec::new());
        few_patterns(field, entries.iter().filter(|(key, _)| !is_plain(key)).count())?;
        for (at, (key, value)) in entries.iter().enumerate() {
            if is_plain(key) {
                plain.entry(key.as_str()).or_insert((at, *value));
            } else {
                patterns.push((at, regex(field, &format!(r"\A(.*\.)?(?:{key})\z"), key)?, *value));
            }
        }
        Ok(Patterns { field, plain, patterns })
    }

    fn first(&self, name: &str) -> Result<Option<T>> {
        let mut first = suffixes(name).filter_map(|suffix| self.plain.get(suffix).copied()).min_by_key(|(at, _)| *at);
        for (at, pattern, value) in &self.patterns {
            if first.is_some_and(|(earlier, _)| earlier < *at) {
                break;
            }
            if is_match(self.field, pattern, name)? {
                first = Some((*at, *value));
                break;
            }
        }
        Ok(first.map(|(_, value)| value))
    }
}

fn regex(field: &str, pattern: &str, written: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|e| field_error(field, format!("holds \"{written}\", which is not a regular expression: {e}")))
}

fn is_match(field: &str, pattern: &Regex, name: &str) -> Result<bool> {
    pattern.is_match(name).map_err(|e: fancy_regex::Error| field_error(field, format!("takes too long to match {name}: {e}")))
}

fn unmatched(config: &AdapterConfig, wanted: &TargetModules, modules: &[Module<'_>], saved_names: &HashSet<&str>) -> Vec<String> {
    let mut unmatched: Vec<String> = match (wanted, &config.target_modules) {
        (TargetModules::Names(names), Some(_)) => {
            let known: HashSet<&str> = modules.iter().flat_map(|module| suffixes(module.name)).collect();
            names.iter().filter(|name| !known.contains(name.as_str())).cloned().collect()
        }
        _ => Vec::new(),
    };
    unmatched.extend(config.modules_to_save.iter().filter(|name| !saved_names.contains(name.as_str())).cloned());
    unmatched
}

/// Suggests the last components of the available module names.
fn suggestion(modules: &[Module<'_>]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for module in modules.iter().filter(|m| m.kind.is_some()) {
        let last = module.name.rsplit('.').next().unwrap_or(module.name);
        if !names.contains(&last) {
            names.push(last);
        }
    }
    format!("it has {}", names.join(", "))
}

impl ResolvedAdapter {
    /// The error for a recipe that names modules that do not exist; `None` when all exist.
    pub fn unmatched_error(&self, model: &ModelConfig, declarations: &[ParamDecl]) -> Option<Error> {
        let first = self.unmatched.first()?;
        let model_type = model.architecture.model_type();
        Some(Error::recipe(
            "lora_target",
            format!("{first} is not a module of this {model_type} model; {}", suggestion(&modules(declarations))),
        ))
    }
}
