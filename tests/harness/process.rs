//! One child process, in a group of its own, with a log, that ends with its owner.

use std::{
    fs::{self, File},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::wait::until;

/// How long a peer may take to end when asked; then it is killed.
const POLITE: Duration = Duration::from_secs(5);
/// Lines of a log that go into an error.
const TAIL: usize = 15;

/// A running (or ended) child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command with both outputs appended to `log`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(name: &str, command: &Command, log: &Path) -> Result<Process> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = ending_with_us(command)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            // Ctrl-C at the terminal is ours to pass on, in order.
            .process_group(0)
            .spawn()
            .with_context(|| {
                let program = command.get_program().to_string_lossy();
                format!("cannot start {name} ({program})")
            })?;
        Ok(Process {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it is called in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything it wrote so far.
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// The operating system will not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails when it has ended.
    ///
    /// # Errors
    /// Says how it ended, with its last words.
    pub fn still_running(&mut self) -> Result<()> {
        match self.ended()? {
            Some(status) => Err(self.blame(&anyhow!("it ended ({status})"))),
            None => Ok(()),
        }
    }

    /// Waits until `ask` has an answer; a process that ends meanwhile is an error with its
    /// last words.
    ///
    /// # Errors
    /// It ended, `ask` failed, or `within` passed.
    pub fn ready<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut ask: impl FnMut(&str) -> Result<Option<T>>,
    ) -> Result<T> {
        let answer = until(what, within, || {
            if let Some(answer) = ask(&self.log())? {
                return Ok(Some(answer));
            }
            match self.ended()? {
                Some(status) => bail!("it ended ({status})"),
                None => Ok(None),
            }
        });
        answer.map_err(|e| self.blame(&e))
    }

    /// Sends a signal to the process itself.
    ///
    /// # Errors
    /// It has ended already.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.ended()? {
            return Err(self.blame(&anyhow!("it had ended already ({status})")));
        }
        kill_process(self.pid()?, signal)?;
        Ok(())
    }

    /// SIGKILL to the process alone; what it had started is left to notice by itself.
    ///
    /// # Errors
    /// It has ended already.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, then waits for it to end by itself.
    ///
    /// # Errors
    /// It has ended already, or has not ended `within`; then it is killed.
    pub fn stop(&mut self, within: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(within)
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// It has not ended `within`; then it is killed.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let ended = until("its end", within, || self.ended());
        ended.map_err(|e| {
            self.kill_group();
            self.blame(&e)
        })
    }

    fn blame(&self, error: &anyhow::Error) -> anyhow::Error {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n  ");
        anyhow!("{}: {error:#}; its last words:\n  {tail}", self.name)
    }

    fn pid(&self) -> Result<Pid> {
        i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("no process id")
    }

    fn kill_group(&mut self) {
        if let Ok(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.ended(), Ok(None))
            && let Ok(pid) = self.pid()
        {
            let _ = kill_process_group(pid, Signal::TERM);
            let _ = until("its end", POLITE, || self.ended());
        }
        // Whatever of its group is left.
        self.kill_group();
    }
}

/// True when a program ended because of this signal.
pub fn ended_by(status: ExitStatus, signal: Signal) -> bool {
    status.signal() == Some(signal.as_raw())
}

/// The same command, told by the kernel to end when the thread that starts it does: what a
/// killed test run started must not live on.
fn ending_with_us(command: &Command) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    let mut wrapped = if setpriv.exists() {
        let mut wrapped = Command::new(setpriv);
        wrapped.args(["--pdeathsig", "TERM", "--"]);
        wrapped.arg(command.get_program());
        wrapped
    } else {
        Command::new(command.get_program())
    };
    wrapped.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        wrapped.current_dir(dir);
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, log: &Path) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start("sh", &command, log).unwrap()
    }

    #[test]
    fn an_early_end_is_told_with_the_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = sh("echo no coffee; exit 3", &dir.path().join("log"));
        let error = process
            .ready("coffee", Duration::from_secs(5), |_| Ok(None::<()>))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no coffee") && error.contains("exit status: 3"),
            "{error}"
        );
    }

    #[test]
    fn the_whole_group_ends_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = sh("sleep 600 & echo $!; wait", &dir.path().join("log"));
        let grandchild = process
            .ready("a process id", Duration::from_secs(5), |log| {
                Ok(log.trim().parse().ok())
            })
            .unwrap();
        drop(process);
        let gone =
            || rustix::process::test_kill_process(Pid::from_raw(grandchild).unwrap()).is_err();
        until("the grandchild's end", Duration::from_secs(5), || {
            Ok(gone().then_some(()))
        })
        .unwrap();
    }

    #[test]
    fn one_that_will_not_stop_is_killed_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = sh(
            "trap '' TERM; echo up; while :; do sleep 0.1; done",
            &dir.path().join("log"),
        );
        process
            .ready("its start", Duration::from_secs(5), |log| {
                Ok(log.contains("up").then_some(()))
            })
            .unwrap();
        let error = process
            .stop(Duration::from_millis(200))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("sh: waited"), "{error}");
        assert!(ended_by(process.ended().unwrap().unwrap(), Signal::KILL));
    }
}
