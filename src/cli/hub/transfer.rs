//! One file of a model or a data set: downloaded under another name, gone on with after an interruption, checked, then given its name.

use std::fs::{self, File as Opened, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Instant;

use rootstock::gpu::human_bytes;
use rootstock::{Error, Result};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::super::console::Console;
use super::Name;
use super::client::{Client, File, TRIES, pause};

const PIECE: usize = 1 << 18;

/// Downloads a file into the cache as `blob`.
///
/// # Errors
/// [`Error::File`] when it does not come whole, or is not what the hub told; [`Error::NoSpace`] on a full disk.
pub(super) fn download(client: &Client, from: &Name, commit: &str, file: &File, blob: &Path, console: Console) -> Result<()> {
    let partial = partial_name(blob);
    let fault = |reason: String| Error::file(format!("{}/{}", from.repository, file.name), reason);
    let mut attempt = 1;
    loop {
        let before = fs::metadata(&partial).map_or(0, |meta| meta.len());
        if before > file.size {
            fs::remove_file(&partial).map_err(|e| written(&partial, &e))?;
            continue;
        }
        let ended = if before < file.size { receive(client, from, commit, file, &partial, before, console)? } else { None };
        let now = fs::metadata(&partial).map_or(0, |meta| meta.len());
        if now == file.size {
            break;
        }
        // Only attempts that bring nothing count.
        attempt = if now > before { 1 } else { attempt + 1 };
        if attempt > TRIES || now > file.size {
            let why = ended.map_or_else(|| format!("{now} of {} bytes came", file.size), |e| format!("the connection ended: {e}"));
            return Err(fault(format!("it did not come whole ({why}); run the command again to go on where it stopped")));
        }
        sleep(pause(attempt));
    }
    if file.size == 0 {
        Opened::create(&partial).map_err(|e| written(&partial, &e))?;
    }
    let found = hash(&partial, file).map_err(|e| written(&partial, &e))?;
    if found != file.hash {
        fs::remove_file(&partial).map_err(|e| written(&partial, &e))?;
        return Err(fault(format!("what came is damaged (its hash is {found}, the hub names {}); run the command again", file.hash)));
    }
    fs::rename(&partial, blob).map_err(|e| written(blob, &e))
}

/// `HASH.incomplete`, beside the blob.
fn partial_name(blob: &Path) -> PathBuf {
    let name = blob.file_name().unwrap_or_default().to_string_lossy();
    blob.with_file_name(format!("{name}.incomplete"))
}

/// Appends what comes; returns why it ended before its time.
fn receive(
    client: &Client,
    from: &Name,
    commit: &str,
    file: &File,
    partial: &Path,
    first: u64,
    console: Console,
) -> Result<Option<String>> {
    let mut answer = client.file(from.kind, &from.repository, commit, &file.name, first)?;
    // A server that does not know ranges sends everything.
    let goes_on = answer.status().as_u16() == 206;
    let mut out =
        OpenOptions::new().create(true).append(goes_on).write(true).truncate(!goes_on).open(partial).map_err(|e| written(partial, &e))?;
    let (mut come, started, mut shown) = (if goes_on { first } else { 0 }, Instant::now(), Instant::now());
    let begun_at = come;
    let mut body = answer.body_mut().with_config().limit(u64::MAX).reader();
    let mut piece = vec![0; PIECE];
    let ended = loop {
        match body.read(&mut piece) {
            Ok(0) => break None,
            Ok(n) => {
                out.write_all(&piece[..n]).map_err(|e| written(partial, &e))?;
                come += n as u64;
                if come > file.size {
                    break Some(format!("more than {} bytes came", file.size));
                }
                if console.is_interactive() && shown.elapsed().as_millis() > 200 {
                    let speed = (come - begun_at) as f64 / started.elapsed().as_secs_f64().max(1e-3);
                    let (done, all, speed) = (human_bytes(come), human_bytes(file.size), human_bytes(speed as u64));
                    console.replace(&format!("{}: {done} of {all}, {speed}/s", file.name));
                    shown = Instant::now();
                }
            }
            Err(error) => break Some(error.to_string()),
        }
    };
    if console.is_interactive() {
        console.replace("");
    }
    out.sync_all().map_err(|e| written(partial, &e))?;
    Ok(ended)
}

/// The file's hash of the kind that the hub told.
fn hash(path: &Path, file: &File) -> std::io::Result<String> {
    let (mut sha256, mut sha1) = (Sha256::new(), Sha1::new());
    // Git's hash of a blob begins with its length.
    sha1.update(format!("blob {}\0", file.size));
    let (mut opened, mut piece) = (Opened::open(path)?, vec![0; PIECE]);
    loop {
        let n = opened.read(&mut piece)?;
        if n == 0 {
            break;
        }
        if file.is_sha256 { sha256.update(&piece[..n]) } else { sha1.update(&piece[..n]) }
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(if file.is_sha256 { hex(&sha256.finalize()) } else { hex(&sha1.finalize()) })
}

fn written(path: &Path, error: &std::io::Error) -> Error {
    let path = path.display().to_string();
    if error.kind() == std::io::ErrorKind::StorageFull { Error::NoSpace { path } } else { Error::file(path, error.to_string()) }
}
