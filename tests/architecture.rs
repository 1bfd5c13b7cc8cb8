//! The walls between the rooms of `src/`: the table in docs/architecture.md says which room may use which, and the imports must obey.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of the table, each with those that it may use.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string("docs/architecture.md").expect("the tour is there");
    let rows = text.lines().skip_while(|line| !line.starts_with("| room |")).skip(2).take_while(|line| line.starts_with('|'));
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_string).collect::<Vec<_>>();
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [room, _, uses] = cells[..] else { panic!("three cells are expected: {row}") };
        (names(room).remove(0), names(uses).into_iter().collect())
    })
    .collect()
}

fn sources(directory: &Path, list: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the sources are there") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            sources(&path, list);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            list.push(path);
        }
    }
}

/// The room of a file: the first folder or file below `src`.
fn room(path: &Path) -> String {
    let first = path.components().nth(1).expect("a file in src").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_string()
}

/// The code of a file without its comments, up to its unit tests, which may look further.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("it can be read");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code = text.lines().filter(|line| !line.contains("cfg_attr(test")).map(|line| line.split("//").next().unwrap_or_default());
    code.collect::<Vec<_>>().join("\n")
}

/// The rooms that code names after `crate::` (in the program: `rootstock::`), alone or in braces.
fn used(code: &str, root: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices(&format!("{root}::")) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + root.len() + 2..];
        let word = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
        match rest.strip_prefix('{') {
            None => drop(rooms.insert(word(rest))),
            Some(list) => {
                let mut depth = 0;
                let mut item = String::new();
                for c in list.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => drop(rooms.insert(word(std::mem::take(&mut item).trim()))),
                        _ => {}
                    }
                    if c != ',' || depth > 0 {
                        item.push(c);
                    }
                }
                rooms.insert(word(item.trim()));
            }
        }
    }
    rooms
}

#[test]
fn no_room_uses_another_that_the_table_does_not_allow() {
    let table = table();
    assert!(table.len() > 15, "the table of docs/architecture.md was not found: {table:?}");
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let rooms: BTreeSet<String> = files.iter().map(|path| room(path)).collect();
    let mut faults = Vec::new();
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in &files {
        let from = room(path);
        if from == "lib" || from == "main" {
            continue;
        }
        let Some(allowed) = table.get(&from) else {
            faults.push(format!("{}: the room {from} has no row", path.display()));
            continue;
        };
        let root = if from == "cli" { "rootstock" } else { "crate" };
        for to in used(&code(path), root) {
            // Errors are everybody's; what is no room is an item that lib.rs gives another name.
            if !rooms.contains(&to) || to == from || to == "error" {
                continue;
            }
            if !allowed.contains(&to) {
                faults.push(format!("{}: {from} may not use {to}", path.display()));
            }
            arrows.entry(from.clone()).or_default().insert(to);
        }
    }
    for (from, allowed) in &table {
        if !rooms.contains(from) {
            faults.push(format!("the table has a room {from} that does not exist"));
        }
        let none = BTreeSet::new();
        for to in allowed.difference(arrows.get(from).unwrap_or(&none)) {
            faults.push(format!("the table lets {from} use {to}, which it does not"));
        }
    }
    faults.sort();
    faults.dedup();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// An order exists in which every room uses earlier ones only.
#[test]
fn the_table_has_no_circle() {
    let mut left = table();
    while !left.is_empty() {
        let free: Vec<String> =
            left.iter().filter(|(_, uses)| uses.iter().all(|to| !left.contains_key(to))).map(|(room, _)| room.clone()).collect();
        assert!(!free.is_empty(), "these rooms use each other in a circle: {left:#?}");
        for room in free {
            left.remove(&room);
        }
    }
}

/// Whatever depends on the architecture is a field of its declaration in `src/model/`: nobody else asks which one it is.
#[test]
fn architectures_are_told_apart_in_model_only() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    for path in files.iter().filter(|path| room(path) != "model") {
        let names_one = code(path).split("Architecture::").skip(1).any(|after| after.starts_with(char::is_uppercase));
        assert!(!names_one, "{} names an architecture; ask its declaration instead", path.display());
    }
}
