//! `rootstock completions` and `rootstock man`.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;
use rootstock::{Error, Result};

use super::console;

/// Prints what makes a shell complete commands and options
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock completions bash > ~/.local/share/bash-completion/completions/rootstock
  rootstock completions zsh > ~/.zfunc/_rootstock
  rootstock completions fish > ~/.config/fish/completions/rootstock.fish")]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the manual page, or writes one for each command
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock man | man -l -
  rootstock man --out ~/.local/share/man/man1")]
pub(super) struct ManArgs {
    /// Write a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs, mut command: Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "rootstock", &mut script);
    console::print_answer(&String::from_utf8_lossy(&script)).map(drop)
}

pub(super) fn pages(args: &ManArgs, command: Command) -> Result<()> {
    let Some(out) = &args.out else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(command).render(&mut page);
        rendered.map_err(|e| Error::file("the manual page", e.to_string()))?;
        return console::print_answer(&String::from_utf8_lossy(&page)).map(drop);
    };
    let written = fs::create_dir_all(out).and_then(|()| clap_mangen::generate_to(command, out));
    written.map_err(|e| Error::file(out.display().to_string(), format!("the manual pages cannot be written there: {e}")))?;
    console::print(&format!("the manual pages are in {}", out.display()))
}
