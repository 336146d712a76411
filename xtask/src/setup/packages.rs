//! What has to come from Debian.

use std::{
    io::IsTerminal,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::{Purpose, progress::Step};

/// `ac-ffmpeg` asks pkg-config for libavcodec and links all five.
const BUILD: &[&str] = &[
    "pkg-config",
    "libavcodec-dev",
    "libavformat-dev",
    "libavutil-dev",
    "libswresample-dev",
    "libswscale-dev",
];

/// A virtual environment for the model's recipe, footage, the platform's certificate, a camera.
const DEMO: &[&str] = &[
    "python3-venv",
    "ffmpeg",
    "openssl",
    "python3-gi",
    "gir1.2-gst-rtsp-server-1.0",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
];

/// Peers that the stories run against, what makes disks, lines and system calls fail, an emulator
/// and a browser.
const TEST: &[&str] = &[
    "mosquitto",
    "mosquitto-clients",
    "nats-server",
    "mbpoll",
    "curl",
    "e2fsprogs",
    "mount",
    "iproute2",
    "nftables",
    "strace",
    "faketime",
    "qemu-system-arm",
    "stm32flash",
    "chromium",
    "chromium-driver",
];

/// Installs what is missing for the purpose; asks nothing of the network when nothing is.
pub fn ensure(purpose: Purpose) -> Result<()> {
    let step = Step::begin("Debian packages");
    let mut wanted = BUILD.to_vec();
    if purpose >= Purpose::Demo {
        wanted.extend(DEMO);
        if !on_path("npm") {
            wanted.push("npm");
        }
    }
    if purpose >= Purpose::Test {
        wanted.extend(TEST);
    }
    let missing = missing(&wanted)?;
    if missing.is_empty() {
        step.done(&format!("all {} there", wanted.len()));
        return Ok(());
    }
    let list = missing.join(" ");
    step.doing(&format!("installing {list}"));
    // Our own test brokers use their own ports and files; the packaged service is not wanted.
    // Neither hook nor service touches a broker that was there before.
    let script = format!(
        "set -e
        export DEBIAN_FRONTEND=noninteractive
        opts='-q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=600'
        apt-get $opts update
        hook=/usr/sbin/policy-rc.d
        if [ ! -e $hook ]; then
            trap 'rm -f '$hook EXIT
            printf '#!/bin/sh\\nexit 101\\n' > $hook
            chmod +x $hook
        fi
        apt-get $opts install -y --no-install-recommends {list}
        for broker in mosquitto nats-server; do
            case ' {list} ' in *\" $broker \"*) systemctl -q disable $broker 2>/dev/null || true;; esac
        done"
    );
    let installed = as_root(&script).map_or_else(Err, |mut command| step.run(&mut command));
    let still = self::missing(&wanted)?;
    if still.is_empty() {
        step.done(&format!("installed {list}"));
        return Ok(());
    }
    let still = still.join(" ");
    let why = match installed {
        Ok(()) => String::from("apt-get said nothing was wrong"),
        Err(e) => format!("{e:#}"),
    };
    bail!(
        "could not install: {still}\n{why}\nInstall them by hand, then run this again:\n  \
         sudo apt-get update && sudo apt-get install --no-install-recommends {still}"
    )
}

/// The packages of `wanted` that are not installed.
fn missing<'a>(wanted: &[&'a str]) -> Result<Vec<&'a str>> {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${Package} ${db:Status-Status}\n"])
        .args(wanted)
        .stdin(Stdio::null())
        .output()
        .with_context(|| {
            format!(
                "no dpkg-query: this is not Debian. Install what corresponds to: {}",
                wanted.join(" ")
            )
        })?;
    let known = String::from_utf8_lossy(&output.stdout);
    let installed: Vec<&str> = known
        .lines()
        .filter_map(|l| l.strip_suffix(" installed"))
        .collect();
    Ok(wanted
        .iter()
        .copied()
        .filter(|p| !installed.contains(p))
        .collect())
}

/// The script as root: directly, or through sudo, which may ask for a password only where
/// somebody can answer.
fn as_root(script: &str) -> Result<Command> {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("sh")
    } else if on_path("sudo") {
        let mut ask = Command::new("sudo");
        ask.arg(if std::io::stdin().is_terminal() {
            "-v"
        } else {
            "-nv"
        });
        let granted = ask.status().context("cannot start sudo")?.success();
        if !granted {
            bail!("not root, and sudo refused");
        }
        let mut command = Command::new("sudo");
        command.args(["-n", "sh"]);
        command
    } else {
        bail!("not root, and there is no sudo");
    };
    command.args(["-c", script]);
    Ok(command)
}

/// True when a program of this name is on `PATH`.
pub fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|paths| std::env::split_paths(&paths).any(|dir| dir.join(program).is_file()))
}

/// Takes files out of a Debian package that need not be installed: minimal images leave
/// `/usr/share/doc` out even when the package is.
pub fn extract(step: &Step, package: &str, inner: &[String], scratch: &Path) -> Result<()> {
    let download = || {
        let mut command = Command::new("apt-get");
        command
            .args(["-q", "-o", "Acquire::Retries=3", "download", package])
            .current_dir(scratch);
        command
    };
    if let Err(first) = step.run(&mut download()) {
        // Usually the package lists are missing or stale.
        let update = "apt-get -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=600 update";
        as_root(update)
            .and_then(|mut command| step.run(&mut command))
            .with_context(|| format!("{first:#}"))?;
        step.run(&mut download())?;
    }
    let script = format!(
        "dpkg-deb --fsys-tarfile {package}_*.deb | tar -xf - ./{}",
        inner.join(" ./")
    );
    step.run(
        Command::new("sh")
            .args(["-c", &script])
            .current_dir(scratch),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_is_installed() {
        // dpkg is installed wherever dpkg-query is.
        let missing = missing(&["dpkg", "no-such-package-wangge"]).unwrap();
        assert_eq!(missing, ["no-such-package-wangge"]);
    }
}
