//! The disk refuses: somebody else fills it, or the kernel makes it read-only after an error. What
//! burns then must be told all the same.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use wangge_tests::{gateway::Gateway, mqtt::Publisher, place, platform::Platform, play, until};

use crate::words::{PATIENT, SOON, alert_of, bins};

/// How soon `status` says that the disk refuses, and an alert is told from memory.
const AT_ONCE: Duration = Duration::from_secs(10);

/// A file system at a folder, unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path, arguments: &[&str]) -> Result<Mounted> {
        fs::create_dir_all(at)?;
        run(Command::new("mount").args(arguments).arg(at))?;
        Ok(Mounted(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {output:?} (mounting needs root)"
    );
    Ok(())
}

/// One reading of `bin-N`; not waited for, because nothing is acknowledged while the disk refuses.
fn says(bins: &mut Publisher, number: u64, reading: Value) -> Result<()> {
    let mut reading = reading;
    reading["id"] = json!("bin-1");
    reading["seq"] = json!(number);
    bins.publish(
        number,
        "bins/bin-1/up",
        reading.to_string().into_bytes(),
        PATIENT,
    )?;
    bins.pump(Duration::from_millis(100));
    Ok(())
}

fn refuses(gateway: &Gateway) -> Result<bool> {
    let status = gateway.status()?;
    Ok(!status["storage"]["refusing"].is_null())
}

/// Writes until nothing fits any more.
fn fill(file: &mut File) -> Result<()> {
    for size in [1 << 20, 4_096, 512, 1] {
        let block = vec![0xA5; size];
        while file.write_all(&block).is_ok() {}
    }
    Ok(())
}

#[test]
fn a_disk_that_somebody_fills_delays_nothing_that_burns() {
    play("disk_filled", |dir| {
        let platform = Platform::https(&dir.join("platform"))?;
        let port = place::free_port()?;
        let toml = bins(port) + &platform.uplink("streams = [\"bins\"]");
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        let disk = Mounted::new(
            &gateway.storage(),
            &["-t", "tmpfs", "-o", "size=64m", "tmpfs"],
        )?;
        gateway.start()?;
        let mut bins = Publisher::new(port, "bins");
        says(&mut bins, 1, json!({"fill": 10, "temperature": 20}))?;
        bins.settle(SOON)?;

        let others = disk.0.join("somebody-elses");
        let mut file = OpenOptions::new().create(true).append(true).open(&others)?;
        let mut number = 1;
        until("the spool to refuse", PATIENT, || {
            fill(&mut file)?;
            number += 1;
            says(&mut bins, number, json!({"fill": 10, "temperature": 20}))?;
            Ok(refuses(&gateway)?.then_some(()))
        })?;
        let acknowledged = bins.acked().len();
        let began = Instant::now();
        number += 1;
        says(&mut bins, number, json!({"fill": 99, "temperature": 20}))?;
        let raised = alert_of(&platform, "bin-1", "bin_overflow", "raised")?;
        let took = began.elapsed();
        ensure!(took < AT_ONCE, "told after {took:?}");
        ensure!(refuses(&gateway)?, "the disk took it: nothing was tried");
        ensure!(
            bins.acked().len() == acknowledged,
            "acknowledged without a disk"
        );

        drop(file);
        fs::remove_file(&others)?;
        bins.settle(PATIENT)?;
        let streams = gateway.drained(PATIENT)?;
        ensure!(streams["alerts"].dropped == 0, "{streams:?}");
        let received = platform.received()?;
        let told = received
            .raised()
            .filter(|e| e.body["data"]["kind"] == "bin_overflow");
        ensure!(told.count() == 1, "told twice");
        let alert = &raised.body["data"]["alert_id"];
        // It is on disk now: a restart goes on with it.
        gateway.kill()?;
        gateway.start()?;
        let mut bins = Publisher::new(port, "bins-2");
        says(&mut bins, number + 1, json!({"fill": 5, "temperature": 20}))?;
        let cleared = alert_of(&platform, "bin-1", "bin_overflow", "cleared")?;
        ensure!(&cleared.body["data"]["alert_id"] == alert, "{cleared:?}");
        gateway.drained(PATIENT)?;
        gateway.stop()
    });
}

#[test]
fn a_disk_that_becomes_read_only_delays_nothing_that_burns() {
    play("disk_read_only", |dir| {
        let platform = Platform::https(&dir.join("platform"))?;
        let port = place::free_port()?;
        let toml = bins(port) + &platform.uplink("streams = [\"bins\"]");
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        let image = dir.join("image");
        File::create(&image)?.set_len(64 << 20)?;
        run(Command::new("mkfs.ext4").arg("-qF").arg(&image))?;
        let image = image.to_string_lossy().into_owned();
        let disk = Mounted::new(&gateway.storage(), &["-o", "loop", &image])?;
        gateway.start()?;
        let mut bins = Publisher::new(port, "bins");
        says(&mut bins, 1, json!({"fill": 10, "temperature": 20}))?;
        bins.settle(SOON)?;

        run(Command::new("mount")
            .args(["-o", "remount,abort"])
            .arg(&disk.0))?;
        let began = Instant::now();
        says(&mut bins, 2, json!({"fill": 10, "temperature": 90}))?;
        alert_of(&platform, "bin-1", "bin_fire", "raised")?;
        ensure!(
            began.elapsed() < AT_ONCE,
            "told after {:?}",
            began.elapsed()
        );
        until("status to say so", AT_ONCE, || {
            Ok(refuses(&gateway)?.then_some(()))
        })?;
        ensure!(bins.acked().len() == 1, "acknowledged without a disk");

        // Somebody mends the disk. What was never acknowledged comes again.
        gateway.kill()?;
        drop(disk);
        let _disk = Mounted::new(&gateway.storage(), &["-o", "loop", &image])?;
        gateway.start()?;
        bins.settle(PATIENT)?;
        gateway.drained(PATIENT)?;
        let fires = platform.received()?;
        let fires = fires
            .raised()
            .filter(|e| e.body["data"]["kind"] == "bin_fire");
        ensure!(fires.count() >= 1, "nothing burns any more");
        gateway.stop()
    });
}
