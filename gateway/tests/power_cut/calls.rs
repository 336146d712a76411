//! F4: the n-th call of a kind fails, for n = 1, 2, 3 and so on until a run has no n-th call.
//!
//! `strace` injects the error, counting each thread's calls: unlike a preloaded library it can
//! name the n-th call exactly.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    Failure, number,
    verify::{Opening, Told, verify},
    work::{Plan, Role},
};

/// A call and how it fails.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub name: &'static str,
    pub error: &'static str,
}

const fn call(name: &'static str, error: &'static str) -> Call {
    Call { name, error }
}

/// What the spool asks of the kernel when it writes.
pub const CALLS: [Call; 11] = [
    call("fdatasync", "EIO"),
    call("fsync", "EIO"),
    call("pwrite64", "EIO"),
    call("pwrite64", "ENOSPC"),
    call("sync_file_range", "EIO"),
    call("ftruncate", "EIO"),
    call("rename", "EIO"),
    call("mkdir", "ENOSPC"),
    call("fallocate", "ENOSPC"),
    call("unlinkat", "EIO"),
    call("openat", "EMFILE"),
];

/// Runs of one kind of call in a plain `cargo test`; `NTH_CALLS=1000` has no end in practice.
const DEFAULT_MOST: u64 = 40;

/// Why calls cannot be made to fail here, if they cannot.
pub fn missing() -> Option<String> {
    let probe = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "inject=fsync:error=EIO:when=1",
            "true",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match probe {
        Ok(status) if status.success() => None,
        Ok(_) => Some("strace may not trace here".into()),
        Err(_) => Some("needs strace".into()),
    }
}

/// Runs the piece of work with the n-th call failing; false when no call was the n-th.
fn run(dir: &Path, call: Call, when: &str) -> Result<(Told, bool), Failure> {
    let work = Role::Piece.command(dir, 1)?;
    let log = dir.join("strace");
    let mut traced = Command::new("strace");
    traced
        .args(["-f", "-qq", "--seccomp-bpf", "-o"])
        .arg(&log)
        .args(["-e", &format!("trace={}", call.name)])
        .args([
            "-e",
            &format!("inject={}:error={}:when={when}", call.name, call.error),
        ])
        .arg(work.get_program())
        .args(work.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    for (name, value) in work.get_envs() {
        if let Some(value) = value {
            traced.env(name, value);
        }
    }
    let mut child = traced.spawn()?;
    let told = Told::read(child.stdout.take().ok_or("no output")?, || {});
    child.wait()?;
    let injected = fs::read_to_string(&log)?.contains("(INJECTED)");
    Ok((told, injected))
}

/// Each in its turn fails once: nothing that was acknowledged is lost, and the next start is good.
pub fn each_fails(call: Call) -> Result<String, Failure> {
    let most = number("NTH_CALLS").unwrap_or(DEFAULT_MOST);
    let mut acknowledged = 0;
    for n in 1..=most {
        let dir = tempfile::tempdir()?;
        let (told, injected) = run(dir.path(), call, &n.to_string())?;
        verify(dir.path(), 1, Plan::Mixed, &told, Opening::Recovered)
            .map_err(|why| format!("n = {n}: {why}"))?;
        acknowledged += told.appended.len();
        if !injected {
            if told.appended.len() != 24 {
                return Err(format!("without a failure: {told:?}").into());
            }
            return Ok(format!("{} calls, {acknowledged} acknowledged", n - 1));
        }
    }
    Ok(format!(
        "the first {most} calls, {acknowledged} acknowledged"
    ))
}

/// R1: from the n-th sync on all fail, and from the first refusal on nothing is answered.
pub fn no_answer_while_syncs_fail() -> Result<String, Failure> {
    let mut counts = Vec::new();
    for n in [1, 2, 3, 5, 8, 11] {
        let dir = tempfile::tempdir()?;
        let (told, injected) = run(dir.path(), CALLS[0], &format!("{n}+"))?;
        if !injected {
            return Err(format!("there is no {n}th sync").into());
        }
        if told.after_refusal > 0 {
            return Err(format!("n = {n}: answered while every sync fails: {told:?}").into());
        }
        verify(dir.path(), 1, Plan::Mixed, &told, Opening::Recovered)
            .map_err(|why| format!("n = {n}: {why}"))?;
        counts.push(told.appended.len());
    }
    Ok(format!("acknowledged before the syncs failed: {counts:?}"))
}
