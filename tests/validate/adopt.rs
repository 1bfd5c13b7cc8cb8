//! What comes back from a cluster: ZeRO's shards against what DeepSpeed itself puts together from them, adapters in the forms in which
//! trainers leave them, and what is refused (scripts/fixtures/make_zero.py).

use std::rc::Rc;

use rootstock::adapter::Adapter;
use rootstock::checkpoint::{Checkpoint, TensorFile};
use rootstock::platform::{Directory, MemoryDirectory, OutputDirectory, as_directory, block_on, open_directory};
use rootstock::validate::{Code, Fixed, Kind, Options, Verdict, adopt, fix, validate};

use super::cases::fixture;

fn zero(case: &str) -> Rc<dyn Directory> {
    Rc::new(open_directory(std::path::Path::new(&format!("tests/fixtures/zero/{case}"))).expect("the fixture is there"))
}

fn in_memory(dir: &Rc<dyn Directory>, change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> Rc<dyn Directory> {
    let mut copy = MemoryDirectory::new("copy");
    for entry in block_on(dir.list()).expect("it lists") {
        if let Some(bytes) = change(&entry.name, block_on(dir.read(&entry.name)).expect("it reads")) {
            copy = copy.with(&entry.name, bytes);
        }
    }
    Rc::new(copy)
}

fn base() -> Options {
    Options { base: Some(fixture("healthy/llama-v5")), ..Options::default() }
}

/// What `adopt` writes, with its report.
fn adopted(dir: Rc<dyn Directory>, options: &Options) -> (Fixed, Rc<dyn Directory>) {
    let parent = MemoryDirectory::new("out");
    let fixed = block_on(adopt(dir, &parent, "adopted", options, &mut |_| {})).unwrap_or_else(|e| panic!("{e}"));
    assert!(block_on(parent.list()).expect("it lists").iter().all(|entry| entry.name.starts_with("adopted/")), "something is left");
    (fixed, as_directory(parent.subdirectory("adopted")).into())
}

fn numbers(file: &TensorFile, name: &str) -> Vec<f32> {
    let count = file.get(name).unwrap_or_else(|| panic!("{name} is missing")).elements();
    block_on(file.read_f32(name, 0..count)).expect("it reads")
}

/// Every number of every parameter, to the bit.
#[test]
fn shards_become_what_deepspeed_makes_of_them() {
    let mut cases = 0;
    for case in ["stage1", "stage2", "stage2-groups", "stage3", "stage3-frozen"] {
        let report = block_on(validate(zero(case), &Options::default(), &mut |_| {})).expect("a report");
        assert_eq!((report.verdict, report.kind), (Verdict::Repairable, Kind::Zero), "{case}: {report:?}");
        let (fixed, dir) = adopted(zero(case), &Options::default());
        assert_eq!(fixed.after.map(|after| after.verdict), Some(Verdict::Ready), "{case}");
        assert!(fixed.steps.iter().any(|step| step.contains("put the weights together from the pieces of")), "{case}: {:?}", fixed.steps);
        let all: Rc<dyn Directory> = zero("");
        let expected = block_on(TensorFile::open(all, &format!("{case}.safetensors"))).expect("it opens");
        let found = block_on(TensorFile::open(dir.clone(), "model.safetensors")).expect("it opens");
        assert!(expected.tensors().len() >= 21, "{case}: {}", expected.tensors().len());
        for tensor in expected.tensors() {
            assert_eq!(found.get(&tensor.name).map(|found| found.shape.clone()), Some(tensor.shape.clone()), "{case}: {}", tensor.name);
            assert_eq!(numbers(&found, &tensor.name), numbers(&expected, &tensor.name), "{case}: {}", tensor.name);
        }
        block_on(Checkpoint::open(dir)).unwrap_or_else(|e| panic!("{case}: {e}"));
        cases += 1;
    }
    assert_eq!(cases, 5);
}

fn fsdp(case: &str) -> Rc<dyn Directory> {
    Rc::new(open_directory(std::path::Path::new(&format!("tests/fixtures/fsdp/{case}"))).expect("the fixture is there"))
}

/// Every number of every parameter, to the bit.
#[test]
fn shards_of_fsdp_become_what_torch_makes_of_them() {
    for (case, processes) in [("fsdp1", 2), ("fsdp2", 3)] {
        let report = block_on(validate(fsdp(case), &Options::default(), &mut |_| {})).expect("a report");
        assert_eq!((report.verdict, report.kind), (Verdict::Repairable, Kind::Fsdp), "{case}: {report:?}");
        let (fixed, dir) = adopted(fsdp(case), &Options::default());
        assert_eq!(fixed.after.map(|after| after.verdict), Some(Verdict::Ready), "{case}");
        let words = format!("pieces of {processes} processes in pytorch_model_fsdp_0/");
        assert!(fixed.steps.iter().any(|step| step.contains(&words)), "{case}: {:?}", fixed.steps);
        let expected = block_on(TensorFile::open(fsdp(""), &format!("{case}.safetensors"))).expect("it opens");
        let found = block_on(TensorFile::open(dir.clone(), "model.safetensors")).expect("it opens");
        assert!(expected.tensors().len() >= 21, "{case}: {}", expected.tensors().len());
        for tensor in expected.tensors() {
            assert_eq!(found.get(&tensor.name).map(|found| found.shape.clone()), Some(tensor.shape.clone()), "{case}: {}", tensor.name);
            assert_eq!(numbers(&found, &tensor.name), numbers(&expected, &tensor.name), "{case}: {}", tensor.name);
        }
        block_on(Checkpoint::open(dir)).unwrap_or_else(|e| panic!("{case}: {e}"));
    }
    // Of a run the newest checkpoint, with what the base gives.
    let mut run = MemoryDirectory::new("run");
    for (step, case) in [(9, "fsdp1"), (10, "fsdp2")] {
        let dir = fsdp(case);
        for entry in block_on(dir.list()).expect("it lists").iter().filter(|entry| entry.name.contains("fsdp_0/")) {
            run = run.with(&format!("checkpoint-{step}/{}", entry.name), block_on(dir.read(&entry.name)).expect("it reads"));
        }
    }
    let (fixed, _) = adopted(Rc::new(run), &base());
    assert_eq!(fixed.after.map(|after| after.verdict), Some(Verdict::Ready), "{:?}", fixed.before);
    assert!(fixed.steps.iter().any(|step| step.contains("3 processes in checkpoint-10/pytorch_model_fsdp_0/")), "{:?}", fixed.steps);
}

/// An adapter's shards are an adapter again; without the file that says its scale, the sentence says so.
#[test]
fn shards_of_an_adapter_of_fsdp_become_the_adapter() {
    for case in ["lora1", "lora2"] {
        let (fixed, dir) = adopted(fsdp(case), &base());
        assert_eq!(fixed.after.map(|after| after.verdict), Some(Verdict::Ready), "{case}: {:?}", fixed.before);
        assert!(
            fixed.steps.iter().any(|step| step == "put the adapter's 8 tensors together from FSDP's shards"),
            "{case}: {:?}",
            fixed.steps
        );
        let expected = block_on(TensorFile::open(fsdp(""), &format!("{case}.safetensors"))).expect("it opens");
        let found = block_on(TensorFile::open(dir, "adapter_model.safetensors")).expect("it opens");
        assert_eq!((expected.tensors().len(), found.tensors().len()), (8, 8), "{case}");
        for tensor in expected.tensors() {
            assert_eq!(numbers(&found, &tensor.name), numbers(&expected, &tensor.name), "{case}: {}", tensor.name);
        }
        let bare = in_memory(&fsdp(case), |name, bytes| (name != "adapter_config.json").then_some(bytes));
        let (fixed, _) = adopted(bare, &base());
        let said: Vec<&str> = fixed.before.errors().map(|finding| finding.message.as_str()).collect();
        assert!(fixed.after.is_none() && said.iter().any(|said| said.contains("copy that of the run")), "{case}: {said:?}");
    }
}

/// Files that are missing, cut short or changed anywhere: a sentence, and nothing is written.
#[test]
fn damaged_shards_of_fsdp_are_refused() {
    let refused = |dir: Rc<dyn Directory>, words: &str| {
        let (fixed, _) = adopted(dir, &Options::default());
        assert!(fixed.after.is_none() && fixed.before.verdict == Verdict::Unusable, "{words}: {:?}", fixed.steps);
        let said: Vec<&str> = fixed.before.errors().map(|finding| finding.message.as_str()).collect();
        assert!(said.iter().any(|said| said.contains(words) && said.contains("accelerate merge-weights")), "{words}: {said:?}");
    };
    let changed = |part: &'static str, change: fn(Vec<u8>) -> Option<Vec<u8>>| {
        in_memory(&fsdp("fsdp1"), move |name, bytes| if name.ends_with(part) { change(bytes) } else { Some(bytes) })
    };
    refused(changed("fsdp_0/__1_0.distcp", |_| None), "this piece of the weights is missing");
    refused(changed("fsdp_0/__1_0.distcp", |bytes| Some(bytes[..bytes.len() / 2].to_vec())), "cut short");
    refused(changed("fsdp_0/.metadata", |_| None), "there is no file .metadata");
    refused(changed("fsdp_0/.metadata", |bytes| Some(bytes[..bytes.len() / 2].to_vec())), "cut short");
    refused(changed("fsdp_0/.metadata", |_| Some(b"\x80\x02}.".to_vec())), "it lists no tensors");
    refused(changed("fsdp_0/.metadata", |_| Some(b"cos\nsystem\n(S'true'\ntR.".to_vec())), "os.system");
    // Whatever byte of the pickle is another one: a report, never a panic.
    let metadata = block_on(fsdp("fsdp1").read("pytorch_model_fsdp_0/.metadata")).expect("it reads");
    for at in (0..metadata.len()).step_by(3) {
        let dir = in_memory(&fsdp("fsdp1"), |name, mut bytes| {
            if name.ends_with("fsdp_0/.metadata") {
                bytes[at] = bytes[at].wrapping_add(1 + (at % 200) as u8);
            }
            Some(bytes)
        });
        let options = Options { quick: true, ..Options::default() };
        block_on(validate(dir, &options, &mut |_| {})).expect("whatever comes there is a report");
    }
}

/// A run's folder with nothing of its own: its newest checkpoint's shards, with what lies beside them.
#[test]
fn shards_within_a_runs_folder_are_found() {
    let mut run = MemoryDirectory::new("run").with("trainer_state.json", "{}");
    for (step, case) in [(1, "stage1"), (2, "stage3")] {
        let dir = zero(case);
        for entry in block_on(dir.list()).expect("it lists") {
            run = run.with(&format!("checkpoint-{step}/{}", entry.name), block_on(dir.read(&entry.name)).expect("it reads"));
        }
    }
    let (fixed, dir) = adopted(Rc::new(run), &Options::default());
    assert_eq!(fixed.after.map(|after| after.verdict), Some(Verdict::Ready), "{:?}", fixed.before);
    for words in ["take the model from checkpoint-2/", "pieces of 3 processes in global_step2/"] {
        assert!(fixed.steps.iter().any(|step| step.contains(words)), "{words}: {:?}", fixed.steps);
    }
    block_on(Checkpoint::open(dir)).unwrap_or_else(|e| panic!("{e}"));
}

/// Also where config.json and tokenizer stayed behind on the cluster.
#[test]
fn the_base_gives_what_is_missing() {
    let bare = || in_memory(&zero("stage3"), |name, bytes| name.contains("global_step").then_some(bytes));
    let (refused, _) = adopted(bare(), &Options::default());
    assert!(refused.after.is_none() && refused.before.has(Code::NoTokenizer), "{:?}", refused.before);
    let (fixed, dir) = adopted(bare(), &base());
    assert_eq!(fixed.after.map(|after| after.verdict), Some(Verdict::Ready), "{:?}", fixed.before);
    assert!(fixed.steps.iter().any(|step| step.contains("copy tokenizer.json")), "{:?}", fixed.steps);
    block_on(Checkpoint::open(dir)).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn an_adapters_shards_become_an_adapter() {
    let (fixed, dir) = adopted(zero("stage3-lora"), &base());
    assert_eq!(fixed.after.as_ref().map(|after| (after.verdict, after.kind)), Some((Verdict::Ready, Kind::Adapter)), "{:?}", fixed.before);
    for words in ["put the adapter's 8 tensors together", "it was org/llama", "take tokenizer and chat template from the base"] {
        assert!(fixed.steps.iter().any(|step| step.contains(words)), "{words}: {:?}", fixed.steps);
    }
    let checkpoint = block_on(Checkpoint::open(fixture("healthy/llama-v5"))).expect("it opens");
    let adapter = block_on(Adapter::open(dir.clone(), &checkpoint)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(adapter.params.len(), 8);
    let expected = block_on(TensorFile::open(zero(""), "stage3-lora.safetensors")).expect("it opens");
    let found = block_on(TensorFile::open(dir, "adapter_model.safetensors")).expect("it opens");
    for tensor in found.tensors() {
        let stored = tensor.name.replace(".weight", ".default.weight");
        assert_eq!(numbers(&found, &tensor.name), numbers(&expected, &stored), "{stored}");
    }
    let error = block_on(adopt(zero("stage3-lora"), &MemoryDirectory::new("out"), "x", &Options::default(), &mut |_| {}));
    let error = error.err().expect("it has no base").to_string();
    assert!(error.contains("(org/llama, it says) with --base"), "{error}");
}

/// A Trainer's output with its newest checkpoint, states of the optimiser beside the weights, and pickles.
#[test]
fn trainers_leavings_are_left_behind() {
    let healthy = fixture("healthy/llama-v5");
    let mut run = MemoryDirectory::new("run").with("trainer_state.json", "{}").with("training_args.bin", "x");
    for step in [10, 20] {
        for entry in block_on(healthy.list()).expect("it lists") {
            run = run.with(&format!("checkpoint-{step}/{}", entry.name), block_on(healthy.read(&entry.name)).expect("it reads"));
        }
        run = run.with(&format!("checkpoint-{step}/optimizer.pt"), "x").with(&format!("checkpoint-{step}/rng_state.pth"), "x");
    }
    let (fixed, dir) = adopted(Rc::new(run), &Options::default());
    assert_eq!(fixed.after.map(|after| after.verdict), Some(Verdict::Ready));
    for words in ["take the model from checkpoint-20/", "optimizer.pt, rng_state.pth"] {
        assert!(fixed.steps.iter().any(|step| step.contains(words)), "{words}: {:?}", fixed.steps);
    }
    let read = |dir: &Rc<dyn Directory>| block_on(dir.read("model.safetensors")).expect("it reads").len();
    assert_eq!(read(&dir), read(&healthy));
    let (fixed, _) = adopted(dir, &Options::default());
    assert_eq!(fixed.steps.first().map(String::as_str), Some("write the model as it is: nothing had to be repaired"));
    let (fixed, _) = adopted(fixture("broken/18-pickle-shards"), &Options::default());
    assert!(fixed.steps.iter().any(|step| step.contains("convert pytorch_model-00001-of-00002.bin")), "{:?}", fixed.steps);
    let (refused, _) = adopted(fixture("broken/18-pickle-hostile"), &Options::default());
    assert!(refused.after.is_none() && refused.before.errors().any(|finding| finding.message.contains("posix.system")));
    let (refused, _) = adopted(fixture("broken/16-fsdp-shards"), &Options::default());
    assert!(refused.after.is_none() && refused.before.errors().any(|finding| finding.message.contains("accelerate merge-weights")));
}

/// Files that are missing, cut short, or not of one run: a sentence, and nothing is written.
#[test]
fn damaged_shards_are_refused() {
    let refused = |dir: Rc<dyn Directory>, words: &str| {
        let (fixed, _) = adopted(dir, &Options::default());
        assert!(fixed.after.is_none() && fixed.before.verdict == Verdict::Unusable, "{words}");
        let said: Vec<&str> = fixed.before.errors().map(|finding| finding.message.as_str()).collect();
        assert!(said.iter().any(|said| said.contains(words)), "{words}: {said:?}");
    };
    let without = |part: &'static str| in_memory(&zero("stage3"), move |name, bytes| (!name.contains(part)).then_some(bytes));
    refused(without("zero_pp_rank_1_mp_rank_00_optim_states.pt"), "3 processes trained it, and 2 of their files");
    refused(without("_model_states.pt"), "there is no file …_model_states.pt");
    let renamed = |from: &'static str, to: &'static str| {
        let mut copy = MemoryDirectory::new("copy");
        let dir = zero("stage2");
        for entry in block_on(dir.list()).expect("it lists") {
            copy = copy.with(&entry.name.replace(from, to), block_on(dir.read(&entry.name)).expect("it reads"));
        }
        Rc::new(copy) as Rc<dyn Directory>
    };
    refused(renamed("mp_rank_00_model", "mp_rank_01_model"), "tensor parallelism");
    let cut = in_memory(&zero("stage2"), |name, bytes| {
        let half = bytes.len() / 2;
        Some(if name.contains("rank_1_mp_rank_00_optim") { bytes[..half].to_vec() } else { bytes })
    });
    refused(cut, "cut short");
    // The second process's file is the first's again: as many numbers, but no fault that sizes show. With one of another stage they differ.
    let other = block_on(zero("stage3").read("global_step2/zero_pp_rank_0_mp_rank_00_optim_states.pt")).expect("it reads");
    let mixed =
        in_memory(&zero("stage2"), move |name, bytes| Some(if name.contains("rank_1_mp_rank_00_optim") { other.clone() } else { bytes }));
    refused(mixed, "single_partition_of_fp32_groups");
}

/// A good adapter is ready beside its base, or where an adapter is asked for; alone it is no model.
#[test]
fn a_good_adapter_is_ready_with_its_base() {
    let adapter = || fixture("broken/03-adapter-only-base");
    let judge = |options: &Options| block_on(validate(adapter(), options, &mut |_| {})).expect("a report");
    let report = judge(&base());
    assert_eq!((report.verdict, report.kind), (Verdict::Ready, Kind::Adapter), "{report:?}");
    assert!(report.findings.iter().any(|finding| finding.message.contains("all of its 8 tensors fit")), "{report:?}");
    assert_eq!(judge(&Options { as_adapter: true, ..base() }).verdict, Verdict::Ready);
    assert_eq!(judge(&Options { as_adapter: true, ..Options::default() }).verdict, Verdict::Ready);
    assert_eq!(judge(&Options::default()).verdict, Verdict::Unusable);
    let other = Options { base: Some(fixture("healthy/qwen3-v5")), ..Options::default() };
    assert_eq!(judge(&other).verdict, Verdict::Unusable);
    // `--fix` merges it all the same.
    let parent = MemoryDirectory::new("out");
    let fixed = block_on(fix(adapter(), &parent, "merged", &base(), &mut |_| {})).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(fixed.after.map(|after| (after.verdict, after.kind)), Some((Verdict::Ready, Kind::Model)));
}
