//! Directories that appear when they are whole: interrupted, failed, and begun twice.

use rootstock::checkpoint::NewDirectory;
use rootstock::platform::{Directory, MemoryDirectory, NativeDirectory, OutputDirectory, block_on, write_file};
use rootstock::{Cause, Error, Result};

fn names(dir: &dyn Directory) -> Vec<String> {
    block_on(dir.list()).expect("it can be listed").into_iter().map(|entry| entry.name).collect()
}

async fn fill(parent: &dyn OutputDirectory, name: &str) -> Result<Option<String>> {
    let new = NewDirectory::begin(parent, name).await?;
    let cleared = new.cleared();
    let written = write_file(&*new.directory(), "a", b"whole").await;
    new.complete(written).await.map(|()| cleared)
}

fn both(test: impl Fn(&dyn OutputDirectory)) {
    test(&MemoryDirectory::new("memory"));
    let folder = tempfile::tempdir().expect("a temporary directory");
    test(&NativeDirectory::new(folder.path()));
}

#[test]
fn it_appears_when_it_is_whole() {
    both(|parent| {
        block_on(async {
            let new = NewDirectory::begin(parent, "out").await.expect("the name is free");
            write_file(&*new.directory(), "sub/a", b"1").await.expect("it can be written");
            assert!(names(parent).iter().all(|name| !name.starts_with("out/")));
            new.complete(Ok(())).await.expect("nothing is in the way");
        });
        assert_eq!(names(parent), ["out/sub/a"], "no lock and no unfinished directory is left");
        let taken = block_on(fill(parent, "out")).expect_err("the name is taken");
        assert_eq!(taken.cause(), Cause::AlreadyExists, "{taken}");
        assert_eq!(names(parent), ["out/sub/a"]);
    });
}

#[test]
fn what_fails_leaves_nothing_and_what_was_killed_is_cleared_by_the_next() {
    both(|parent| {
        block_on(async {
            let new = NewDirectory::begin(parent, "out").await.expect("the name is free");
            write_file(&*new.directory(), "a", b"half").await.expect("it can be written");
            let full = new.complete::<()>(Err(Error::NoSpace { path: "a".into() })).await;
            assert_eq!(full, Err(Error::NoSpace { path: "a".into() }));
        });
        assert!(names(parent).is_empty(), "{:?}", names(parent));
        // Killed: neither completed nor given up.
        block_on(async {
            let new = NewDirectory::begin(parent, "out").await.expect("the name is free");
            write_file(&*new.directory(), "b", b"half").await.expect("it can be written");
        });
        assert_eq!(names(parent), [".out.partial/b"]);
        let cleared = block_on(fill(parent, "out")).expect("it can be written").expect("something was left");
        assert!(cleared.contains(".out.partial, which an interrupted command left"), "{cleared}");
        assert_eq!(names(parent), ["out/a"]);
    });
}

#[test]
fn two_at_once_do_not_mix() {
    both(|parent| {
        block_on(async {
            let first = NewDirectory::begin(parent, "out").await.expect("the name is free");
            write_file(&*first.directory(), "a", b"first").await.expect("it can be written");
            let second = NewDirectory::begin(parent, "out").await.err().expect("the first one is at it");
            assert_eq!(second.cause(), Cause::InUse, "{second}");
            let elsewhere = fill(parent, "other").await;
            assert_eq!(elsewhere, Ok(None), "another name is free");
            first.complete(Ok(())).await.expect("nothing is in the way");
        });
        assert_eq!(names(parent), ["other/a", "out/a"]);
    });
}
