//! Breaks what is under the running spool: cuts its power, kills it, fills its disk, makes its
//! disk read-only, fails its n-th system call. Nothing acknowledged may be lost or doubled.
//!
//! This program starts itself again as the child that works and is broken. Each seed is a test;
//! `cargo xtask test power-cut --seeds 500` runs the campaign, `cargo test` a few of each.
//!
//! - `POWER_CUT_SEEDS=200` runs more seeds, `POWER_CUT_SEED=17` runs one.
//! - Power cuts need root, loop devices and `mkfs.ext4`; failing system calls need `strace`. What
//!   is missing is counted as ignored, with the reason, and not as passed.

mod calls;
mod cut;
mod disk;
mod space;
mod verify;
mod work;

use std::{env, path::PathBuf, process::ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// How many seeds a plain `cargo test` runs.
const DEFAULT_SEEDS: u64 = 20;
/// Seeds that once found something; they run always, by the name of what it was.
const REGRESSIONS: &[(&str, u64)] = &[];

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    if let Some(role) = work::Role::of_this_process() {
        let dir = PathBuf::from(env::args().nth(1).unwrap_or_default());
        let seed = env::args().nth(2).and_then(|seed| seed.parse().ok());
        work::run(role, &dir, seed.unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // They share the machine's loop devices, and each wants the disk's whole attention.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials()).exit_code()
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn seeds() -> Vec<u64> {
    match (number("POWER_CUT_SEED"), number("POWER_CUT_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, count) => (1..=count.unwrap_or(DEFAULT_SEEDS)).collect(),
    }
}

fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let no_disk = disk::missing();
    let mut on_disk = |name: String, test: Test| trials.push(trial(name, no_disk.as_deref(), test));
    for (what, seed) in REGRESSIONS {
        on_disk(
            format!("regression_{what}"),
            Box::new(move || cut::power_cut(*seed)),
        );
    }
    // What cannot be run is named once.
    let runnable = if no_disk.is_some() { 1 } else { usize::MAX };
    for seed in seeds().into_iter().take(runnable) {
        let work = work::Plan::of(seed).name();
        on_disk(
            format!("r01_r04_r10_power_cut_{work}_seed_{seed}"),
            Box::new(move || cut::power_cut(seed)),
        );
    }
    for seed in 1..=3 {
        on_disk(
            format!("r02_power_cut_after_the_first_answer_seed_{seed}"),
            Box::new(move || cut::first_answer(seed)),
        );
    }
    on_disk(
        "r12_control_plain_flush_loses".into(),
        Box::new(cut::control),
    );
    on_disk("f05_full_disk".into(), Box::new(space::full));
    on_disk(
        "f06_read_only_at_the_start".into(),
        Box::new(space::read_only_start),
    );
    on_disk(
        "f06_read_only_while_running".into(),
        Box::new(space::read_only_running),
    );
    // Killing a process is blind to missing syncs, and sees what its order of work does.
    for seed in seeds() {
        trials.push(trial(
            format!("f03_kill_seed_{seed}"),
            None,
            Box::new(move || cut::kill(seed)),
        ));
    }
    let no_tracer = calls::missing();
    for call in calls::CALLS {
        trials.push(trial(
            format!("f04_every_{}_fails_once_with_{}", call.name, call.error),
            no_tracer.as_deref(),
            Box::new(move || calls::each_fails(call)),
        ));
    }
    trials.push(trial(
        "r01_f04_no_answer_while_syncs_fail".into(),
        no_tracer.as_deref(),
        Box::new(calls::no_answer_while_syncs_fail),
    ));
    trials
}

type Test = Box<dyn FnOnce() -> Result<String, Failure> + Send>;

/// A test, or the reason why it cannot be run here.
fn trial(name: String, missing: Option<&str>, test: Test) -> Trial {
    let told = name.clone();
    let trial = Trial::test(name, move || match test() {
        Ok(what) => {
            eprintln!("{told}: {what}");
            Ok(())
        }
        Err(why) => Err(Failed::from(why.to_string())),
    });
    match missing {
        Some(why) => trial
            .with_kind(format!("skipped: {why}"))
            .with_ignored_flag(true),
        None => trial,
    }
}
