//! `wangge seal-key` and `wangge unseal`, for the holder of the key.

use std::{
    fs::OpenOptions,
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::{USAGE, complain, print};
use crate::{seal::SecretKey, spool::evidence::MAX_PICTURE};

/// Largest file with a key.
const MAX_KEY_FILE: u64 = 4_096;

pub(super) fn key(out: &Path) -> u8 {
    let key = SecretKey::generate();
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(out)
        .and_then(|mut file| {
            file.write_all(format!("{}\n", key.expose()).as_bytes())?;
            file.sync_all()
        });
    match written {
        Ok(()) => print(&format!("{}\n", key.recipient())),
        Err(error) => complain(&format!(
            "{}: {error}; the file must not exist yet",
            out.display()
        )),
    }
}

pub(super) fn unseal(key: &Path, picture: &Path, out: Option<&Path>) -> u8 {
    let text = match read(key, MAX_KEY_FILE).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => return wrong(key, "it is no text"),
        Err(reason) => return wrong(key, &reason),
    };
    let key = match text.parse::<SecretKey>() {
        Ok(key) => key,
        Err(error) => return wrong(key, &error.to_string()),
    };
    let opened = read(picture, MAX_PICTURE as u64)
        .and_then(|sealed| key.open(&sealed).map_err(|e| e.to_string()));
    let bytes = match opened {
        Ok(bytes) => bytes,
        Err(reason) => return complain(&format!("{}: {reason}", picture.display())),
    };
    let written = match out {
        Some(out) => OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(out)
            .and_then(|mut file| file.write_all(&bytes)),
        None => std::io::stdout().lock().write_all(&bytes),
    };
    match written {
        Ok(()) => super::OK,
        Err(error) => complain(&format!("cannot write the picture: {error}")),
    }
}

fn wrong(key: &Path, reason: &str) -> u8 {
    complain(&format!("{}: {reason}", key.display()));
    USAGE
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
        .map_err(|e| e.to_string())?;
    if bytes.len() as u64 > most {
        return Err(format!("it is larger than {most} bytes"));
    }
    Ok(bytes)
}
