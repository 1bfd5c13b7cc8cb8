//! `bindgen FILE.wasm FOLDER` writes an ES module for the web and its .wasm file into FOLDER. `bindgen split FOLDER LIST` cuts that .wasm file, which
//! then still has names, in two: functions whose names begin with a line of the file LIST, and what only they use, go to `rootstock_deferred.wasm`.

mod split;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

/// Loads the second part of the program: `deferred` before it is needed, `loadDeferred` (called by a stub) at the moment that it is.
const LOADER: &str = include_str!("loader.js");

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["split", folder, list] => cut(Path::new(folder), Path::new(list)),
        [input, folder] => bind(input, folder),
        _ => {
            eprintln!("usage: bindgen FILE.wasm FOLDER | split FOLDER LIST");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bind(input: &str, folder: &str) -> Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(input).omit_default_module_path(false); // the module finds the .wasm file beside itself
    bindgen.web(true).and_then(|bindgen| bindgen.generate(folder))?;
    let script = Path::new(folder).join("rootstock.js");
    let text = fs::read_to_string(&script)?;
    Ok(fs::write(&script, text + LOADER)?)
}

fn cut(folder: &Path, list: &Path) -> Result<()> {
    let text = fs::read_to_string(list).with_context(|| list.display().to_string())?;
    let names: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let file = folder.join("rootstock_bg.wasm");
    // `<path::Type as Trait>::function` is of that path. What is generic over such a type may be another's too: wasm-opt makes one of equal functions.
    let path = |name: &str| name.trim_start_matches(['<', '&', '(', '*']).to_string();
    let (stays, goes): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|line| line.starts_with('!'));
    let deferred = |name: &str| goes.iter().any(|line| name.starts_with(line)) && !stays.iter().any(|line| name.starts_with(&line[1..]));
    let parts = split::split(&fs::read(&file)?, |name| deferred(&path(name)))?;
    let [kept, moved, stubs] = parts.functions;
    println!(
        "first part: {kept} functions ({stubs} stubs), {} bytes; deferred: {moved} functions, {} bytes",
        parts.first.len(),
        parts.second.len()
    );
    fs::write(&file, parts.first)?;
    Ok(fs::write(folder.join("rootstock_deferred.wasm"), parts.second)?)
}
