//! What the training loop does when disk or device fail under it, and that it asks for no more memory as it goes on.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use rootstock::checkpoint::{Carry, Checkpoint};
use rootstock::config::Recipe;
use rootstock::data::{Prepared, Sample};
use rootstock::gpu::{DeviceChoice, Gpu};
use rootstock::kernels::TuningChoice;
use rootstock::platform::{Directory, Entry, FileWriter, MemoryDirectory, NativeDirectory, OutputDirectory, block_on};
use rootstock::train::{Event, Observer, Outcome, PlannedRun, RunInput, Silent, newest_checkpoint};
use rootstock::{Error, Result};

use crate::kernels::gpu;

/// golden/llama on a few samples of different lengths.
pub(super) struct Setup {
    pub(super) checkpoint: Checkpoint,
    pub(super) samples: Vec<Sample>,
    pub(super) eval: Vec<Sample>,
    pub(super) gpu: Rc<Gpu>,
}

impl Setup {
    pub(super) fn new() -> Setup {
        Setup::of(Rc::new(NativeDirectory::new("tests/fixtures/golden/llama")))
    }

    pub(super) fn of(dir: Rc<dyn Directory>) -> Setup {
        let checkpoint = block_on(Checkpoint::open(dir)).expect("the fixture opens");
        let sample = |i: u32| {
            let ids: Vec<u32> = (0..5 + i * 3 % 17).map(|t| (i * 31 + t * 7) % 300).collect();
            Sample::new(ids.clone(), ids.iter().map(|id| *id as i32).collect(), i as usize + 1)
        };
        Setup { checkpoint, samples: (0..9).map(sample).collect(), eval: Vec::new(), gpu: gpu() }
    }

    pub(super) fn train(&self, more: &str, out: &dyn OutputDirectory, observer: &mut dyn Observer) -> Result<Outcome> {
        let mut text = format!("model_name_or_path: model\ndataset: data\noutput_dir: out\nper_device_train_batch_size: 2\n{more}\n");
        if !more.contains("finetuning_type:") {
            text += "finetuning_type: full\n";
        }
        if !more.contains("learning_rate:") {
            text += "learning_rate: 1.0e-3\n";
        }
        let recipe = Recipe::parse("recipe.yaml", &text, &[]).expect("the recipe is right");
        let mut data = Prepared::default();
        data.train.samples = self.samples.clone();
        data.eval.samples = self.eval.clone();
        let input = RunInput {
            recipe,
            checkpoint: self.checkpoint.clone(),
            carry: Carry::nothing(),
            data: Rc::new(data),
            adapters: Vec::new(),
            reference: None,
            resume_from: None,
            date: 0,
        };
        block_on(async { PlannedRun::new(input, self.gpu.profile()).await?.train(&self.gpu, out, observer).await })
    }
}

pub(super) struct Watch<F: FnMut(&Event<'_>)>(pub(super) F);

#[async_trait::async_trait(?Send)]
impl<F: FnMut(&Event<'_>)> Observer for Watch<F> {
    fn event(&mut self, event: Event<'_>) {
        (self.0)(&event);
    }
}

pub(super) fn weights(out: &MemoryDirectory, name: &str) -> Vec<u8> {
    block_on(out.read(&format!("{name}model.safetensors"))).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_lost_device_is_said_and_the_last_checkpoint_goes_on_to_the_same_bits() {
    let whole = MemoryDirectory::new("whole");
    let recipe = "max_steps: 6\nsave_steps: 2\nlogging_steps: 1";
    Setup::new().train(recipe, &whole, &mut Silent).expect("it trains");

    let (out, setup) = (MemoryDirectory::new("out"), Setup::new());
    let mut lose = Watch(|event| {
        if matches!(event, Event::Step(4, _)) {
            setup.gpu.lose();
        }
    });
    let error = setup.train(recipe, &out, &mut lose).expect_err("the device is gone");
    assert!(matches!(error, Error::Gpu { .. }), "{error:?}");
    let sentence = error.to_string();
    assert!(sentence.contains("lost") && sentence.contains("last checkpoint"), "{sentence}");
    assert_eq!(block_on(newest_checkpoint(&out)), Ok(Some("checkpoint-2".into())));

    Setup::new().train(&format!("{recipe}\nresume_from_checkpoint: true"), &out, &mut Silent).expect("a new device goes on");
    assert_eq!(weights(&out, ""), weights(&whole, ""));
}

/// A run that began with other kernels goes on with them: with the device's own its bits would be others.
#[test]
fn a_resumed_run_keeps_the_kernels_that_it_began_with() {
    let other = TuningChoice::parse("products=registers,attention=registers,sum_rows=3").expect("a tuning");
    let tuned = || {
        let choice = DeviceChoice { tuning: other.clone(), ..DeviceChoice::default() };
        Setup { gpu: Rc::new(block_on(Gpu::open(&choice)).expect("a device")), ..Setup::new() }
    };
    let recipe = "max_steps: 4\nsave_steps: 2\nlogging_steps: 1";
    let (whole, plain, out) = (MemoryDirectory::new("whole"), MemoryDirectory::new("plain"), MemoryDirectory::new("out"));
    tuned().train(recipe, &whole, &mut Silent).expect("it trains");
    Setup::new().train(recipe, &plain, &mut Silent).expect("it trains");
    assert_ne!(weights(&whole, ""), weights(&plain, ""), "the kernels make a difference");

    let setup = tuned();
    let mut lose = Watch(|event| {
        if matches!(event, Event::Step(3, _)) {
            setup.gpu.lose();
        }
    });
    setup.train(recipe, &out, &mut lose).expect_err("the device is gone");
    Setup::new().train(&format!("{recipe}\nresume_from_checkpoint: true"), &out, &mut Silent).expect("it goes on");
    assert_eq!(weights(&out, ""), weights(&whole, ""));
}

/// A disk with room for so many more bytes.
pub(super) struct SmallDisk {
    pub(super) inner: Box<dyn OutputDirectory>,
    pub(super) room: Rc<Cell<u64>>,
}

struct SmallDiskWriter {
    inner: Box<dyn FileWriter>,
    room: Rc<Cell<u64>>,
}

#[async_trait(?Send)]
impl Directory for SmallDisk {
    fn label(&self) -> String {
        self.inner.label()
    }
    async fn list(&self) -> Result<Vec<Entry>> {
        self.inner.list().await
    }
    async fn size(&self, name: &str) -> Result<Option<u64>> {
        self.inner.size(name).await
    }
    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        self.inner.read_range(name, range).await
    }
    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        self.inner.read(name).await
    }
}

#[async_trait(?Send)]
impl OutputDirectory for SmallDisk {
    async fn create(&self, name: &str) -> Result<Box<dyn FileWriter>> {
        Ok(Box::new(SmallDiskWriter { inner: self.inner.create(name).await?, room: self.room.clone() }))
    }
    async fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.inner.append(name, bytes).await
    }
    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.inner.rename(from, to).await
    }
    async fn remove(&self, name: &str) -> Result<()> {
        self.inner.remove(name).await
    }
    async fn sync(&self) -> Result<()> {
        self.inner.sync().await
    }
    fn subdirectory(&self, name: &str) -> Box<dyn OutputDirectory> {
        Box::new(SmallDisk { inner: self.inner.subdirectory(name), room: self.room.clone() })
    }
}

#[async_trait(?Send)]
impl FileWriter for SmallDiskWriter {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self.room.get().checked_sub(bytes.len() as u64) {
            Some(rest) => {
                self.room.set(rest);
                self.inner.write(bytes).await
            }
            None => Err(Error::NoSpace { path: "out/file".into() }),
        }
    }
    async fn finish(self: Box<Self>) -> Result<()> {
        self.inner.finish().await
    }
}

#[test]
fn a_full_disk_leaves_the_last_checkpoint_whole_and_no_half_one() {
    let (files, setup) = (MemoryDirectory::new("out"), Setup::new());
    let recipe = "max_steps: 4\nsave_steps: 2";
    // A checkpoint takes about a megabyte: the weights' 325 KB and two moments. The second one does not fit, wherever it breaks off.
    for room in [1_100_000, 1_400_000, 1_900_000] {
        let disk = SmallDisk { inner: Box::new(files.clone()), room: Rc::new(Cell::new(room)) };
        let error = setup.train(recipe, &disk, &mut Silent).expect_err("the disk is full");
        assert!(matches!(error, Error::NoSpace { .. }), "{room}: {error:?}");
        assert_eq!(block_on(newest_checkpoint(&files)), Ok(Some("checkpoint-2".into())), "{room}");
        let entries = block_on(files.list()).expect("it lists");
        assert!(!entries.iter().any(|e| e.name.contains("partial")), "{room}: {entries:?}");
    }
    setup.train(&format!("{recipe}\nresume_from_checkpoint: true"), &files, &mut Silent).expect("with room again it goes on");
    let whole = MemoryDirectory::new("whole");
    setup.train(recipe, &whole, &mut Silent).expect("it trains");
    assert_eq!(weights(&files, ""), weights(&whole, ""));
}

#[test]
fn memory_stays_flat_over_a_thousand_steps() {
    let (out, setup) = (MemoryDirectory::new("out"), Setup::new());
    let (mut at, gpu) = (Vec::new(), setup.gpu.clone());
    let mut watch = Watch(|event| {
        if let Event::Log(line) = event {
            at.push((line.current_steps, gpu.allocated_bytes()));
        }
    });
    let outcome = setup.train("max_steps: 1000\nlogging_steps: 50\nsave_strategy: no", &out, &mut watch).expect("it trains");
    assert!(at.len() >= 20, "{at:?}");
    // By step 50 every batch shape has come.
    let flat = at.iter().find(|(step, _)| *step == 50).expect("it was logged").1;
    assert!(at.iter().filter(|(step, _)| *step >= 50).all(|(_, bytes)| *bytes == flat), "{at:?}");
    assert!(outcome.peak_bytes >= flat && outcome.peak_bytes as f64 <= flat as f64 * 1.1, "{} {flat}", outcome.peak_bytes);
}

/// A run with gradient accumulation and samples of many lengths knows the device's speed from its first results on, and fills its submissions
/// by it: a plan for the mean length of a step is looked up nowhere.
#[test]
fn a_run_with_accumulation_and_varied_lengths_paces_its_submissions() {
    struct Paces(Vec<(u64, u64)>);
    #[async_trait::async_trait(?Send)]
    impl Observer for Paces {
        fn event(&mut self, _event: Event<'_>) {}

        async fn before_first_step(&mut self, engine: &rootstock::engine::Engine, done: u64) -> Result<()> {
            self.0.push((done, engine.runner.submission_work()));
            Ok(())
        }

        async fn between_steps(&mut self, engine: &rootstock::engine::Engine, done: u64) -> Result<rootstock::train::Wish> {
            self.0.push((done, engine.runner.submission_work()));
            Ok(rootstock::train::Wish::GoOn)
        }
    }
    let (setup, out) = (Setup::new(), MemoryDirectory::new("out"));
    let lengths: std::collections::BTreeSet<usize> = setup.samples.iter().map(|sample| sample.ids.len()).collect();
    assert!(lengths.len() > 4, "{lengths:?}");
    let mut paces = Paces(Vec::new());
    setup
        .train("max_steps: 4\nlogging_steps: 1\ngradient_accumulation_steps: 3\nsave_strategy: \"no\"", &out, &mut paces)
        .expect("it trains");
    let [(0, unknown), later @ ..] = paces.0.as_slice() else { panic!("{:?}", paces.0) };
    assert_eq!(later.len(), 4, "{:?}", paces.0);
    assert!(later.iter().all(|(_, work)| work != unknown), "measured from the first step on: {:?}", paces.0);
}
