//! What processes cost: CPU time and resident memory, from `/proc`.

use std::{collections::BTreeSet, fs, time::Duration};

/// CPU time and memory of a process and everything it started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Resident bytes now.
    pub resident: u64,
}

/// Clock ticks a second of `/proc/*/stat`: fixed by the kernel's interface (`proc(5)`).
const TICKS: u64 = 100;

/// How often threads of a process with one of these names went to sleep by themselves so far.
pub fn sleeps(pid: u32, names: &[&str]) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let read = |path: &std::path::Path| fs::read_to_string(path).unwrap_or_default();
    tasks
        .into_iter()
        .flatten()
        .flatten()
        .filter(|task| names.contains(&read(&task.path().join("comm")).trim()))
        .filter_map(|task| {
            read(&task.path().join("status"))
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
                .and_then(|count| count.trim().parse::<u64>().ok())
        })
        .sum()
}

/// One process alone.
pub fn of(pid: u32) -> Usage {
    stat(pid).map(|(_, usage)| usage).unwrap_or_default()
}

/// A process and its descendants that are alive.
pub fn of_tree(pid: u32) -> Usage {
    let all = everything();
    let mut tree = BTreeSet::from([pid]);
    // Children may have lower ids than parents after a wrap: go on until nothing is added.
    loop {
        let more = all
            .iter()
            .filter(|(_, parent, _)| tree.contains(parent))
            .map(|(pid, ..)| *pid);
        let more: Vec<u32> = more.filter(|pid| !tree.contains(pid)).collect();
        if more.is_empty() {
            break;
        }
        tree.extend(more);
    }
    all.iter()
        .filter(|(pid, ..)| tree.contains(pid))
        .fold(Usage::default(), |sum, (.., usage)| Usage {
            cpu: sum.cpu + usage.cpu,
            resident: sum.resident + usage.resident,
        })
}

/// What a process started itself and is alive.
pub fn children(pid: u32) -> Vec<u32> {
    everything()
        .into_iter()
        .filter(|(_, parent, _)| *parent == pid)
        .map(|(child, ..)| child)
        .collect()
}

/// Process, parent and usage.
fn everything() -> Vec<(u32, u32, Usage)> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| stat(pid).map(|(parent, usage)| (pid, parent, usage)))
        .collect()
}

/// Parent and usage of one process.
fn stat(pid: u32) -> Option<(u32, Usage)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, spaces and brackets too.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    if fields.first() == Some(&"Z") {
        return None; // ended; only its parent has not looked yet
    }
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let page = rustix::param::page_size() as u64;
    Some((
        u32::try_from(number(1)?).ok()?,
        Usage {
            cpu: Duration::from_millis((number(11)? + number(12)?) * 1000 / TICKS),
            resident: number(21)? * page,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::until;

    #[test]
    fn work_is_seen() {
        let own = until("CPU time to be counted", Duration::from_secs(20), || {
            let work = (0..1_000_000u64).fold(0, |sum, n| std::hint::black_box(sum ^ n));
            assert!(work < u64::MAX);
            let own = of_tree(std::process::id());
            Ok((own.cpu >= Duration::from_millis(50)).then_some(own))
        })
        .unwrap();
        assert!(own.resident > 100_000, "{own:?}");
        assert_eq!(of(u32::MAX).resident, 0);
    }
}
