//! Generates `web/package/src/messages.ts` from the message types, so that the TypeScript compiler checks the page's use of them.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ts_rs::{Config, TS, TypeVisitor};

use super::messages::{Event, Failure, Replies, Request};
use crate::validate::Code;

const HEAD: &str = "\
// What the page and its worker say to each other. Generated from src/web/messages by its unit test; to write it anew:
// UPDATE_MESSAGES=1 cargo test --lib messages

/** A recipe's keys with their values. */
export type Settings = Record<string, SettingValue>;
";

struct Collector {
    config: Config,
    seen: BTreeSet<TypeId>,
    /// Declarations sorted by name: ts-rs visits a type's dependencies in an order that differs from build to build.
    declarations: BTreeMap<String, String>,
}

impl TypeVisitor for Collector {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        // Types of ts-rs itself (numbers, lists) have no file of their own; their dependencies are visited nevertheless.
        if !self.seen.insert(TypeId::of::<T>()) {
            return;
        }
        if T::output_path().is_some() {
            let docs = T::docs().unwrap_or_default();
            let declaration = format!("{docs}export {}", T::decl(&self.config));
            let declaration = declaration.replace("{ [key in string]: SettingValue }", "Settings");
            self.declarations.insert(T::ident(&self.config), format!("\n{}\n", pretty(&declaration)));
        }
        T::visit_dependencies(self);
        T::visit_generics(self);
    }
}

/// Splits a declaration at its commas and bars: one member per line, and a one-line comment on one line.
fn pretty(declaration: &str) -> String {
    let lines: Vec<&str> = declaration.lines().map(str::trim).collect();
    let mut short = String::new();
    let mut at = 0;
    while at < lines.len() {
        if let ["/**", text, "*/"] = lines[at..(at + 3).min(lines.len())] {
            short += &format!("/** {} */\n", text.trim_start_matches("* "));
            at += 3;
        } else {
            short += &format!("{}{}\n", if lines[at].starts_with('*') { " " } else { "" }, lines[at]);
            at += 1;
        }
    }
    let declaration = short.trim();
    let (mut out, mut depth) = (String::new(), 0);
    let mut chars = declaration.chars().peekable();
    let mut comment = false;
    while let Some(c) = chars.next() {
        comment = (comment || (c == '/' && chars.peek() == Some(&'*'))) && !(c == '/' && out.ends_with('*'));
        let indent = |depth: usize| format!("\n{}", "  ".repeat(depth));
        match c {
            _ if comment => out.push(c),
            '\n' | ' ' if out.ends_with([' ', '\n']) || out.is_empty() => {}
            '\n' => out += indent(depth).as_str(),
            '{' => {
                depth += 1;
                out += &format!("{{{}", indent(depth));
            }
            '}' => {
                depth -= 1;
                out = out.trim_end().trim_end_matches(',').to_string();
                out += &format!("{}}}", indent(depth));
            }
            ',' if depth > 0 && chars.peek() == Some(&' ') => out += &format!(",{}", indent(depth)),
            '|' if depth == 0 => {
                out = out.trim_end().to_string();
                out += "\n  |";
            }
            _ => out.push(c),
        }
    }
    out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn messages_are_the_ones_that_the_page_knows() {
    let config = Config::new().with_large_int("number");
    let mut collector = Collector { config, seen: BTreeSet::new(), declarations: BTreeMap::new() };
    collector.visit::<Request>();
    collector.visit::<Replies>();
    collector.visit::<Event>();
    collector.visit::<Failure>();
    let codes: Vec<String> = Code::all().iter().map(|fault| format!("{:?}", fault.name)).collect();
    let codes =
        format!("\n/** A fault of the table in docs/checkpoint-faults.md. */\nexport type FindingCode = {};\n", codes.join("\n  | "));
    collector.declarations.insert("FindingCode".into(), codes);
    let text = HEAD.to_string() + &collector.declarations.into_values().collect::<String>();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/package/src/messages.ts");
    if std::env::var_os("UPDATE_MESSAGES").is_some() {
        std::fs::write(&path, &text).expect("web/package can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "web/package/src/messages.ts is not what src/web says: UPDATE_MESSAGES=1 cargo test --lib messages");
}
