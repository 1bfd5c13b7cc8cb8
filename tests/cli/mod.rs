//! The program as its users meet it: exit codes, sentences, files. Models are golden/llama with the tokenizer that has its vocabulary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

mod adapters;
mod api;
mod artefacts;
mod bad_input;
mod demo;
mod generate;
mod handover;
mod hub;
mod interruption;
mod recipes;
mod rewards;
mod serve;
mod tuning;
mod validate;

/// A folder with a model, data and room for results; paths in recipes are relative to it.
pub(crate) struct Workspace {
    dir: TempDir,
}

/// What a finished program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn good(self) -> Said {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Exit code 1 and one sentence, which it returns.
    #[track_caller]
    pub(crate) fn fault(self) -> String {
        assert_eq!(self.code, Some(1), "{}\n{}", self.stdout, self.stderr);
        let errors: Vec<&str> = self.stderr.lines().filter_map(|l| l.strip_prefix("error: ")).collect();
        assert_eq!(errors.len(), 1, "one sentence: {}", self.stderr);
        assert!(!self.stderr.contains("panicked") && !self.stderr.contains("bug in rootstock"), "{}", self.stderr);
        errors[0].to_string()
    }

    /// The objects of `train --json`, one a line.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("an object a line: {e}\n{line}\n{}", self.stderr));
        self.stdout.lines().map(read).collect()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("one JSON document on stdout: {e}\n{}\n{}", self.stdout, self.stderr))
    }
}

/// Questions with short answers, one a line.
pub(crate) fn questions(count: usize) -> String {
    let line = |i: usize| format!("{{\"instruction\": \"What is {i} and one?\", \"input\": \"\", \"output\": \"It is {}.\"}}\n", i + 1);
    (0..count).map(line).collect()
}

impl Workspace {
    pub(crate) fn new() -> Workspace {
        let ws = Workspace { dir: tempfile::tempdir().expect("a temporary directory") };
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        fs::create_dir(ws.path("model")).expect("the directory is new");
        for (folder, names) in [
            ("golden/llama", ["config.json", "generation_config.json", "model.safetensors"]),
            ("tokenizer/byte-level", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]),
        ] {
            for name in names {
                fs::copy(fixtures.join(folder).join(name), ws.path("model").join(name)).expect("the fixture is there");
            }
        }
        ws.write("train.jsonl", &questions(12));
        ws.write("test.jsonl", &questions(5));
        ws
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the directory is writable");
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Writes a recipe for a full fine-tuning of the model on train.jsonl; `more` lines come on top and win.
    pub(crate) fn recipe(&self, more: &str) {
        let wins = |line: &&str| !more.lines().any(|m| m.split(':').next() == line.split(':').next());
        let base = "model_name_or_path: model\nstage: sft\nfinetuning_type: full\ndataset: train.jsonl\noutput_dir: out\ncutoff_len: 64\n\
                    per_device_train_batch_size: 2\nmax_steps: 5\nlogging_steps: 1\nlearning_rate: 1.0e-3\nlr_scheduler_type: cosine";
        let lines: Vec<&str> = base.lines().filter(wins).chain(more.lines()).collect();
        self.write("recipe.yaml", &lines.join("\n"));
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rootstock"));
        // No test reaches for the hub, or finds what the machine's user has downloaded.
        command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", self.path("hub")).env_remove("HF_HUB_CACHE").env_remove("HF_TOKEN");
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What was measured on this machine's device outside the tests has no say in them. The driver keeps its own cache of compiled kernels:
        // without it every call of the program would compile them again, which takes most of its time on a software device.
        if let Some(cache) = driver_cache() {
            command.env("MESA_SHADER_CACHE_DIR", cache);
        }
        command.env("XDG_CACHE_HOME", self.path("cache"));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        said(self.command(args).output().expect("the program starts"))
    }

    /// Runs the program with these variables of the environment.
    pub(crate) fn run_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Said {
        said(self.command(args).envs(variables.iter().copied()).output().expect("the program starts"))
    }

    /// Runs the program with this text on its standard input.
    pub(crate) fn input(&self, args: &[&str], text: &str) -> Said {
        self.write("stdin.txt", text);
        let file = fs::File::open(self.path("stdin.txt")).expect("it was just written");
        said(self.command(args).stdin(Stdio::from(file)).output().expect("the program starts"))
    }

    /// Runs the program where no file may become larger than so many blocks of the shell's `ulimit -f`.
    #[cfg(unix)]
    pub(crate) fn limited(&self, blocks: u32, args: &[&str]) -> Said {
        let mut command = Command::new("sh");
        let script = format!("ulimit -f {blocks}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_rootstock")]).args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        said(command.output().expect("the program starts"))
    }

    /// Starts the program without waiting; nobody reads what it says.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
    }
}

/// Where Mesa keeps compiled kernels when nothing else is said.
fn driver_cache() -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    of("MESA_SHADER_CACHE_DIR").or_else(|| of("XDG_CACHE_HOME")).or_else(|| Some(of("HOME")?.join(".cache")))
}

fn said(output: std::process::Output) -> Said {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program writes UTF-8");
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
