//! A disk whose power can be cut: ext4 on a loop device.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::Failure;

const IMAGE_BYTES: u64 = 32 << 20;

/// Why there can be no such disk here, if there cannot.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".into());
    }
    let disk = match Disk::new() {
        Ok(disk) => disk,
        Err(why) => return Some(format!("needs loop devices and mkfs.ext4 ({why})")),
    };
    let cut = disk.cut_power().err();
    cut.map(|why| format!("the file system cannot be shut down ({why})"))
}

/// An image with ext4 on it, mounted; unmounted and deleted when dropped.
pub struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    pub fn new() -> Result<Disk, Failure> {
        let disk = Disk {
            dir: tempfile::tempdir()?,
        };
        File::create(disk.image())?.set_len(IMAGE_BYTES)?;
        run(Command::new("mkfs.ext4").arg("-qF").arg(disk.image()))?;
        fs::create_dir(disk.path())?;
        disk.mount("loop")?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    pub fn mount(&self, options: &str) -> Result<(), Failure> {
        run(Command::new("mount")
            .args(["-o", options])
            .args([self.image(), self.path()]))
    }

    pub fn remount(&self, how: &str) -> Result<(), Failure> {
        run(Command::new("mount")
            .args(["-o", &format!("remount,{how}")])
            .arg(self.path()))
    }

    pub fn unmount(&self) -> Result<(), Failure> {
        run(Command::new("umount").arg(self.path()))
    }

    /// What was not synced is gone, like at a power cut; only unmounting works afterwards.
    #[allow(unsafe_code, reason = "an ioctl that rustix has no name for")]
    pub fn cut_power(&self) -> Result<(), Failure> {
        const EXT4_IOC_SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
        const NO_LOG_FLUSH: u32 = 2;
        let root = File::open(self.path())?;
        // SAFETY: the kernel reads one u32 behind the pointer that `Setter` passes
        // (fs/ext4/ioctl.c, ext4_ioctl_shutdown).
        unsafe {
            let shutdown = rustix::ioctl::Setter::<EXT4_IOC_SHUTDOWN, u32>::new(NO_LOG_FLUSH);
            rustix::ioctl::ioctl(&root, shutdown)?;
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.path())
            .stderr(Stdio::null())
            .status();
    }
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{command:?}: {said}").into());
    }
    Ok(())
}
