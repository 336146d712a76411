//! What set-up is doing, for a person at a terminal and for a log alike.

use std::{
    fs,
    io::IsTerminal,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOG_EVERY: Duration = Duration::from_secs(10);

/// One step of set-up on the screen.
pub struct Step {
    name: String,
    bar: ProgressBar,
    terminal: bool,
}

impl Step {
    /// Announces a step.
    pub fn begin(name: impl Into<String>) -> Step {
        let (name, terminal) = (name.into(), std::io::stderr().is_terminal());
        let bar = if terminal {
            let bar = ProgressBar::new_spinner();
            bar.set_style(spinner());
            bar.enable_steady_tick(LOOK_EVERY);
            bar
        } else {
            ProgressBar::hidden()
        };
        bar.set_message(name.clone());
        Step {
            name,
            bar,
            terminal,
        }
    }

    /// Says what is being done now, on a line of its own where there is no terminal.
    pub fn doing(&self, what: &str) {
        self.bar.set_message(format!("{}: {what}", self.name));
        if !self.terminal {
            eprintln!("  {}: {what}", self.name);
        }
    }

    /// Ends the step with its outcome.
    pub fn done(self, outcome: &str) {
        self.bar.finish_and_clear();
        eprintln!("✓ {}: {outcome}", self.name);
    }

    /// Runs a command to its end while `dir` grows towards `total` bytes, showing how far it is.
    ///
    /// # Errors
    /// The command cannot be started or fails; its last words are in the error.
    pub fn run_growing(&self, command: &mut Command, dir: &Path, total: u64) -> Result<()> {
        if self.terminal {
            self.bar.set_style(bytes());
            self.bar.set_length(total);
        }
        let result = self.wait(command, |step| {
            let have = size(dir).min(total);
            step.bar.set_position(have);
            format!("{} of {} MB", have / 1_000_000, total / 1_000_000)
        });
        if self.terminal {
            self.bar.set_style(spinner());
        }
        result
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// The command cannot be started or fails; its last words are in the error.
    pub fn run(&self, command: &mut Command) -> Result<()> {
        self.wait(command, |_| String::from("still running"))
    }

    fn wait(&self, command: &mut Command, mut look: impl FnMut(&Self) -> String) -> Result<()> {
        let program = command.get_program().to_string_lossy().into_owned();
        // A file, not a pipe: a child that says much must not wait for a reader.
        let said = tempfile::NamedTempFile::new()?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(said.reopen()?)
            .stderr(said.reopen()?)
            .spawn()
            .with_context(|| format!("cannot start {program}: is it installed?"))?;
        let mut logged = Instant::now();
        let status = loop {
            if let Some(status) = poll(&mut child)? {
                break status;
            }
            let state = look(self);
            if !self.terminal && logged.elapsed() >= LOG_EVERY {
                logged = Instant::now();
                eprintln!("  {}: {state}", self.name);
            }
        };
        look(self);
        if !status.success() {
            let text = fs::read(said.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
            let tail = lines[lines.len().saturating_sub(12)..].join("\n  ");
            bail!("`{program}` failed ({status}):\n  {tail}");
        }
        Ok(())
    }
}

fn poll(child: &mut Child) -> Result<Option<std::process::ExitStatus>> {
    // Short commands end within the first pause; long ones don't notice it.
    thread::sleep(LOOK_EVERY / 4);
    Ok(child.try_wait()?)
}

fn size(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .map(|e| match e.metadata() {
            Ok(m) if m.is_dir() => size(&e.path()),
            Ok(m) => m.len(),
            Err(_) => 0,
        })
        .sum()
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg} ({elapsed})")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn bytes() -> ProgressStyle {
    ProgressStyle::with_template("{bar:24} {bytes}/{total_bytes} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
