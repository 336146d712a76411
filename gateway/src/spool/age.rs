//! Time that the station has counted, for terms of retention.
//!
//! Neither the system clock, which may jump a year, nor the time since the process began, which
//! ends with it, can say how old a picture is. So the age of the station is counted and kept in a
//! file: it goes on with the kernel's clock since the machine started, which no setting of the
//! time moves. While the machine is off it stands still, so that a wrong clock at the next start
//! cannot delete anything early; pictures then stay longer by the time it was off.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use super::sled_engine::sync_dir;
pub use crate::clock::Uptime;

/// The station's age.
#[derive(Debug)]
pub struct Age {
    path: PathBuf,
    age: Duration,
    read_at: Uptime,
}

impl Age {
    /// Goes on from the file, or from zero if there is none that can be read: everything that is
    /// kept then stays for its whole term once more.
    pub fn open(path: &Path, now: Uptime) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut age = Duration::ZERO;
        if let Some((saved, then)) = parse(&text) {
            age = saved;
            if then.boot == now.boot && !now.boot.is_empty() {
                age += now.since_boot.saturating_sub(then.since_boot);
            }
        }
        Age {
            path: path.to_owned(),
            age,
            read_at: now,
        }
    }

    /// The age at `now`.
    pub fn at(&mut self, now: Uptime) -> Duration {
        self.age += now.since_boot.saturating_sub(self.read_at.since_boot);
        self.read_at = now;
        self.age
    }

    /// Writes it down; what was counted since the last time is lost with the power.
    ///
    /// # Errors
    /// The file system's.
    pub fn save(&self) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let text = format!(
            "{} {} {}\n",
            self.age.as_secs(),
            self.read_at.boot,
            self.read_at.since_boot.as_secs()
        );
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        self.path.parent().map_or(Ok(()), sync_dir)
    }
}

fn parse(text: &str) -> Option<(Duration, Uptime)> {
    let mut parts = text.trim_end().split(' ');
    let (age, boot, since_boot) = (parts.next()?, parts.next()?, parts.next()?);
    let seconds = |text: &str| text.parse().ok().map(Duration::from_secs);
    let uptime = Uptime {
        boot: boot.to_owned(),
        since_boot: seconds(since_boot)?,
    };
    Some((seconds(age)?, uptime))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(boot: &str, seconds: u64) -> Uptime {
        Uptime {
            boot: boot.into(),
            since_boot: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn it_counts_while_the_machine_runs_and_over_restarts_of_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("age");
        let mut age = Age::open(&path, up("a", 1_000));
        assert_eq!(age.at(up("a", 1_600)).as_secs(), 600);
        age.save().unwrap();
        // The process was away for an hour, the machine was not.
        let mut age = Age::open(&path, up("a", 5_200));
        assert_eq!(age.at(up("a", 5_200)).as_secs(), 4_200);
        age.save().unwrap();
        // The machine was off, for nobody knows how long.
        let mut age = Age::open(&path, up("b", 30));
        assert_eq!(age.at(up("b", 90)).as_secs(), 4_260);
    }

    #[test]
    fn a_file_that_cannot_be_read_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("age");
        for text in [
            "",
            "x y z",
            "99999",
            "-1 a 5",
            "99999999999999999999999 a 1",
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(
                Age::open(&path, up("a", 7)).at(up("a", 8)).as_secs(),
                1,
                "{text}"
            );
        }
    }
}
