//! Cuts a module in two: what a first visit needs, and a part that is fetched when a function of it is called for the first time.
//!
//! Both share memory, table and globals. A function that moved and is still called from the first part leaves a stub there: it has the
//! second part loaded unless that has happened, and calls it through a slot of the table that the second part fills.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, ensure};
use walrus::ir::{Value, Visitor, dfs_in_order};
use walrus::{
    ConstExpr, ElementItems, ElementKind, ExportItem, FunctionBuilder, FunctionId, FunctionKind, GlobalId, GlobalKind, ImportedFunction,
    Module, ModuleConfig, TableId, ValType,
};

/// The module name of the second part's imports: the first part's exports.
const FIRST: &str = "p";
/// The exported global that tells whether the second part is there.
const LOADED: &str = "deferred_loaded";
/// The exported function of the library that has it loaded at once.
const LOAD: &str = "load_deferred";

/// Functions of fewer instructions stay where they are called: a stub is hardly smaller, and wasm-opt makes one of equal small functions, so that the name tells
/// little about who calls it.
const SMALL: u64 = 40;

/// The two parts.
pub struct Parts {
    pub first: Vec<u8>,
    pub second: Vec<u8>,
    /// Functions of the first part, of the second, and stubs.
    pub functions: [usize; 3],
}

/// Splits `wasm`, whose functions have names, which are left out of the parts unless KEEP_NAMES is set (to see in a browser's stack which function has the
/// second part loaded); `is_deferred` says by its name which function is not needed at first. What only such functions
/// use moves with them.
pub fn split(wasm: &[u8], is_deferred: impl Fn(&str) -> bool) -> Result<Parts> {
    let parse = || {
        ModuleConfig::new().generate_name_section(std::env::var_os("KEEP_NAMES").is_some()).generate_producers_section(false).parse(wasm)
    };
    let (mut first, mut second) = (parse()?, parse()?);
    let plan = Plan::of(&first, is_deferred)?;
    // Ids belong to a module; the same bytes give the same order.
    let order: Vec<FunctionId> = first.funcs.iter().map(|function| function.id()).collect();
    let there: HashMap<FunctionId, FunctionId> = order.iter().copied().zip(second.funcs.iter().map(|function| function.id())).collect();
    let (exports, slots) = first_part(&mut first, &plan)?;
    second_part(&mut second, &plan, &exports, slots, &there)?;
    let functions = [order.len() - plan.moved.len() + plan.stubs.len(), plan.moved.len(), plan.stubs.len()];
    Ok(Parts { first: first.emit_wasm(), second: second.emit_wasm(), functions })
}

/// Which functions go where.
struct Plan {
    moved: HashSet<FunctionId>,
    /// Those of them that the first part calls or has in its table.
    stubs: Vec<FunctionId>,
    /// Functions of the first part that moved ones call.
    called: Vec<FunctionId>,
    /// Globals that moved functions use.
    globals: Vec<GlobalId>,
    /// Tables that moved functions use.
    tables: Vec<TableId>,
}

/// What a function refers to.
#[derive(Default)]
struct Refers {
    functions: Vec<FunctionId>,
    globals: Vec<GlobalId>,
    tables: Vec<TableId>,
}

impl Visitor<'_> for Refers {
    fn visit_function_id(&mut self, function: &FunctionId) {
        self.functions.push(*function);
    }

    fn visit_global_id(&mut self, global: &GlobalId) {
        self.globals.push(*global);
    }

    fn visit_table_id(&mut self, table: &TableId) {
        self.tables.push(*table);
    }
}

impl Plan {
    fn of(module: &Module, is_deferred: impl Fn(&str) -> bool) -> Result<Plan> {
        let mut refers: HashMap<FunctionId, Refers> = HashMap::new();
        for (id, function) in module.funcs.iter_local() {
            let mut found = Refers::default();
            dfs_in_order(&mut found, function, function.entry_block());
            refers.insert(id, found);
        }
        let exported: HashSet<FunctionId> = module.exports.iter().filter_map(|export| function_of(&export.item)).collect();
        let named = |id: &FunctionId| module.funcs.get(*id).name.as_deref().is_some_and(&is_deferred);
        let large = |id: &FunctionId| module.funcs.get(*id).kind.unwrap_local().size() >= SMALL;
        let seeds: HashSet<FunctionId> = refers.keys().copied().filter(|id| !exported.contains(id) && named(id) && large(id)).collect();
        let in_tables: Vec<FunctionId> = module.elements.iter().flat_map(|element| listed(&element.items)).collect();
        // What the first part reaches without going through a deferred function stays.
        let mut open: Vec<FunctionId> = exported.iter().copied().chain(module.start).chain(in_tables.iter().copied()).collect();
        let mut kept: HashSet<FunctionId> = HashSet::new();
        while let Some(id) = open.pop() {
            if !seeds.contains(&id) && kept.insert(id) {
                open.extend(refers.get(&id).into_iter().flat_map(|refers| refers.functions.iter().copied()));
            }
        }
        let moved: HashSet<FunctionId> = refers.keys().copied().filter(|id| !kept.contains(id)).collect();
        ensure!(!moved.is_empty(), "no function has a name that is deferred; are there names in the module?");
        let from_first = refers.iter().filter(|(id, _)| !moved.contains(id)).flat_map(|(_, refers)| refers.functions.iter().copied());
        let stubs = sorted(from_first.chain(in_tables).filter(|id| moved.contains(id)));
        let from_moved = || refers.iter().filter(|(id, _)| moved.contains(id)).map(|(_, refers)| refers);
        let called = sorted(from_moved().flat_map(|refers| refers.functions.iter().copied()).filter(|id| !moved.contains(id)));
        let globals = sorted(from_moved().flat_map(|refers| refers.globals.iter().copied()));
        let tables = sorted(from_moved().flat_map(|refers| refers.tables.iter().copied()));
        Ok(Plan { moved, stubs, called, globals, tables })
    }
}

/// Each once, in the module's order.
fn sorted<T: Ord + std::hash::Hash + Eq>(ids: impl Iterator<Item = T>) -> Vec<T> {
    let mut list: Vec<T> = ids.collect::<HashSet<T>>().into_iter().collect();
    list.sort_unstable();
    list
}

fn function_of(item: &ExportItem) -> Option<FunctionId> {
    if let ExportItem::Function(id) = item { Some(*id) } else { None }
}

fn listed(items: &ElementItems) -> Vec<FunctionId> {
    match items {
        ElementItems::Functions(list) => list.clone(),
        ElementItems::Expressions(_, list) => {
            list.iter().filter_map(|e| if let ConstExpr::RefFunc(id) = e { Some(*id) } else { None }).collect()
        }
    }
}

/// Names of what the first part exports for the second.
struct Exports {
    functions: Vec<String>,
    globals: Vec<String>,
    tables: Vec<String>,
    memory: String,
    main_table: String,
}

/// Puts stubs in the place of functions that moved. Returns the exports and the first slot.
fn first_part(module: &mut Module, plan: &Plan) -> Result<(Exports, u64)> {
    let table = module.tables.main_function_table()?.context("there is no table of functions")?;
    let load = module.exports.get_func(LOAD).with_context(|| format!("the library exports no {LOAD}"))?;
    let first_slot = {
        let table = module.tables.get_mut(table);
        let first = table.initial;
        table.initial += plan.stubs.len() as u64;
        table.maximum = table.maximum.map(|most| most + plan.stubs.len() as u64);
        first
    };
    let loaded = module.globals.add_local(ValType::I32, true, false, ConstExpr::Value(Value::I32(0)));
    module.exports.add(LOADED, loaded);
    for (index, id) in plan.stubs.iter().enumerate() {
        let ty = module.funcs.get(*id).ty();
        let (params, results) = (module.types.get(ty).params().to_vec(), module.types.get(ty).results().to_vec());
        let mut builder = FunctionBuilder::new(&mut module.types, &params, &results);
        let arguments: Vec<_> = params.iter().map(|param| module.locals.add(*param)).collect();
        let mut body = builder.func_body();
        body.global_get(loaded).if_else(
            None,
            |_| {},
            |missing| {
                missing.call(load);
            },
        );
        for argument in &arguments {
            body.local_get(*argument);
        }
        body.i32_const((first_slot + index as u64) as i32).call_indirect(ty, table);
        module.funcs.get_mut(*id).kind = FunctionKind::Local(builder.local_func(arguments));
    }
    let mut exports =
        Exports { functions: Vec::new(), globals: Vec::new(), tables: Vec::new(), memory: String::new(), main_table: String::new() };
    let mut count = 0;
    let mut name = || {
        count += 1;
        format!("_{count:x}")
    };
    for id in &plan.called {
        exports.functions.push(name());
        module.exports.add(exports.functions.last().context("it was pushed")?, *id);
    }
    for id in &plan.globals {
        exports.globals.push(name());
        module.exports.add(exports.globals.last().context("it was pushed")?, *id);
    }
    for id in &plan.tables {
        exports.tables.push(name());
        module.exports.add(exports.tables.last().context("it was pushed")?, *id);
    }
    exports.memory = name();
    exports.main_table = name();
    module.exports.add(&exports.memory, module.get_memory_id()?);
    module.exports.add(&exports.main_table, table);
    walrus::passes::gc::run(module);
    Ok((exports, first_slot))
}

/// Leaves what moved: all else comes from the first part.
fn second_part(
    module: &mut Module,
    plan: &Plan,
    exports: &Exports,
    first_slot: u64,
    there: &HashMap<FunctionId, FunctionId>,
) -> Result<()> {
    module.start = None;
    for id in module.exports.iter().map(|export| export.id()).collect::<Vec<_>>() {
        module.exports.delete(id);
    }
    let main = module.tables.main_function_table()?.context("there is no table of functions")?;
    for id in module.elements.iter().map(|element| element.id()).collect::<Vec<_>>() {
        module.elements.delete(id);
    }
    for table in module.tables.iter_mut() {
        table.elem_segments.clear();
    }
    for id in module.data.iter().map(|data| data.id()).collect::<Vec<_>>() {
        module.data.delete(id);
    }
    let memory = module.get_memory_id()?;
    module.memories.get_mut(memory).data_segments.clear();
    let import = module.imports.add(FIRST, &exports.memory, memory);
    module.memories.get_mut(memory).import = Some(import);

    // Tables and globals have the same ids in both: nothing was added before these were read.
    let tables: Vec<TableId> = module.tables.iter().map(|table| table.id()).collect();
    for (id, name) in plan.tables.iter().zip(&exports.tables) {
        let id = *tables.get(id.index()).context("both parts have the same tables")?;
        if id != main {
            let import = module.imports.add(FIRST, name, id);
            module.tables.get_mut(id).import = Some(import);
        }
    }
    let import = module.imports.add(FIRST, &exports.main_table, main);
    {
        let table = module.tables.get_mut(main);
        table.import = Some(import);
        table.initial += plan.stubs.len() as u64;
        table.maximum = table.maximum.map(|most| most + plan.stubs.len() as u64);
    }
    let globals: Vec<GlobalId> = module.globals.iter().map(|global| global.id()).collect();
    for (id, name) in plan.globals.iter().zip(&exports.globals) {
        let id = *globals.get(id.index()).context("both parts have the same globals")?;
        let import = module.imports.add(FIRST, name, id);
        module.globals.get_mut(id).kind = GlobalKind::Import(import);
    }
    for (id, name) in plan.called.iter().zip(&exports.functions) {
        let id = there[id];
        let ty = module.funcs.get(id).ty();
        if let FunctionKind::Import(imported) = &module.funcs.get(id).kind {
            let import = module.imports.get_mut(imported.import);
            import.module = FIRST.into();
            import.name = name.clone();
        } else {
            let import = module.imports.add(FIRST, name, id);
            module.funcs.get_mut(id).kind = FunctionKind::Import(ImportedFunction { import, ty });
        }
    }
    let filled = plan.stubs.iter().map(|id| there[id]).collect();
    let offset = ConstExpr::Value(Value::I32(first_slot as i32));
    let element = module.elements.add(ElementKind::Active { table: main, offset }, ElementItems::Functions(filled));
    module.tables.get_mut(main).elem_segments.insert(element);
    walrus::passes::gc::run(module);
    Ok(())
}
