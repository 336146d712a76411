//! A folder of pictures as a camera: played in the order of names, or watched for new ones.

use std::{
    collections::HashMap,
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

use crate::{
    bilingual::{Bilingual, text},
    feed::MAX_STILL,
};

use super::{
    lane::Lane,
    stills::{Stills, begins_as_jpeg, ends_as_jpeg, silence},
};

/// Names in a folder; with more it is not used.
pub const MAX_FILES: usize = 100_000;
/// After a fault, until the folder is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// Files passed over that are named in the log.
const MAX_NAMED: u64 = 8;

#[derive(Debug, thiserror::Error)]
enum FolderError {
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("holds more than {MAX_FILES} files")]
    TooMany,
    #[error("holds no JPEG picture")]
    Empty,
    #[error("got no new picture for {} s", .0.as_secs())]
    Silent(Duration),
}

impl Bilingual for FolderError {
    fn zh(&self) -> String {
        match self {
            FolderError::Read(error) => format!("无法读取:{error}"),
            FolderError::TooMany => format!("中的文件超过 {MAX_FILES} 个"),
            FolderError::Empty => "中没有 JPEG 图片".into(),
            FolderError::Silent(time) => format!("已 {} 秒没有新图片", time.as_secs()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Skipped {
    #[error("{0}")]
    Unreadable(#[from] std::io::Error),
    #[error("it is no regular file, or a link that leads out of the folder")]
    NoFile,
    #[error("it is larger than {} MiB", MAX_STILL >> 20)]
    TooLarge,
    #[error("it is no whole JPEG")]
    NoPicture,
}

/// What is done with a folder.
#[derive(Clone, Debug)]
pub struct Folder {
    pub path: PathBuf,
    /// Only what is put into it from now on, and for ever.
    pub watch: bool,
    pub repeat: bool,
    /// Time between two pictures.
    pub every: Duration,
}

/// Plays the folder into the lane; returns when it has been played once and is not repeated.
pub fn play(folder: &Folder, lane: &Arc<Lane>) {
    let mut player = Player {
        folder,
        stills: Stills::new(Arc::clone(lane), folder.every),
        lane,
        begun: Instant::now(),
        next: 0,
        skipped: 0,
    };
    loop {
        let played = if folder.watch {
            player.watch()
        } else {
            player.play_once()
        };
        match played {
            Ok(()) if folder.repeat => {}
            Ok(()) => return player.stills.end(),
            Err(e) => {
                player.fault(&e);
                sleep(RETRY);
                player.begin();
            }
        }
    }
}

struct Player<'a> {
    folder: &'a Folder,
    stills: Stills,
    lane: &'a Arc<Lane>,
    begun: Instant,
    /// Number of the next picture since then.
    next: u32,
    skipped: u64,
}

impl Player<'_> {
    fn begin(&mut self) {
        self.begun = Instant::now();
        self.next = 0;
    }

    /// Plays what is there, in the order of names.
    fn play_once(&mut self) -> Result<(), FolderError> {
        let (root, mut names) = list(&self.folder.path)?;
        alphanumeric_sort::sort_str_slice(&mut names);
        let mut empty = true;
        for name in &names {
            let jpeg = match read(&root, name) {
                Ok(jpeg) => jpeg,
                Err(reason) => {
                    self.skip(name, &reason);
                    continue;
                }
            };
            empty = false;
            // Its place in the order is its time, whatever time it took to read.
            let at = self.folder.every.saturating_mul(self.next);
            sleep(at.saturating_sub(self.begun.elapsed()));
            self.stills.show(&jpeg, at);
            self.next = self.next.saturating_add(1);
        }
        if empty {
            Err(FolderError::Empty)
        } else {
            Ok(())
        }
    }

    /// Shows what is put into the folder, for ever. A file is complete when nothing about it
    /// has changed from one look to the next.
    fn watch(&mut self) -> Result<(), FolderError> {
        let mut known: HashMap<String, Seen> = HashMap::new();
        let (root, names) = list(&self.folder.path)?;
        for name in names {
            known.insert(name, Seen::Done);
        }
        drop(root);
        let mut last = Instant::now();
        loop {
            sleep(self.folder.every);
            let (root, mut names) = list(&self.folder.path)?;
            alphanumeric_sort::sort_str_slice(&mut names);
            let mut there = HashMap::with_capacity(names.len());
            for name in names {
                let before = known.remove(&name);
                let seen = match before {
                    Some(Seen::Done) => Seen::Done,
                    Some(Seen::Growing(then)) => match state(&root, &name) {
                        Some(now) if now == then => {
                            match read(&root, &name) {
                                Ok(jpeg) => {
                                    self.stills.take(&jpeg);
                                    last = Instant::now();
                                }
                                Err(reason) => self.skip(&name, &reason),
                            }
                            Seen::Done
                        }
                        Some(now) => Seen::Growing(now),
                        None => continue,
                    },
                    None => match state(&root, &name) {
                        Some(now) => Seen::Growing(now),
                        None => {
                            self.skip(&name, &Skipped::NoFile);
                            Seen::Done
                        }
                    },
                };
                there.insert(name, seen);
            }
            known = there;
            let limit = silence(self.folder.every);
            if last.elapsed() > limit {
                self.fault(&FolderError::Silent(limit));
            }
        }
    }

    fn fault(&mut self, error: &FolderError) {
        let path = self.folder.path.display();
        let zh = format!("文件夹 {path} {}", error.zh());
        self.stills
            .fault(text(zh, format!("folder {path} {error}")));
    }

    fn skip(&mut self, name: &str, reason: &Skipped) {
        self.lane.lost(1);
        self.skipped += 1;
        if self.skipped <= MAX_NAMED {
            let name: String = name.chars().take(100).collect();
            let skipped = self.skipped;
            tracing::warn!(skipped, "folder: {name:?} passed over: {reason}");
        } else if self.skipped.is_power_of_two() {
            let skipped = self.skipped;
            tracing::warn!(skipped, "folder: more files passed over");
        }
    }
}

/// A file that was there at the last look.
enum Seen {
    /// Shown, passed over, or older than us.
    Done,
    /// Its size and time then.
    Growing((u64, SystemTime)),
}

/// The folder itself, and the names in it that are UTF-8 and not hidden.
fn list(path: &Path) -> Result<(OwnedFd, Vec<String>), FolderError> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let root = open(path, flags, Mode::empty()).map_err(std::io::Error::from)?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        if names.len() >= MAX_FILES {
            return Err(FolderError::TooMany);
        }
        // Uploads in progress are often hidden files.
        if let Ok(name) = entry?.file_name().into_string()
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    Ok((root, names))
}

/// Opens a regular file that lies in the folder. Links are followed as long as they stay in it.
fn open_in(root: &OwnedFd, name: &str) -> Result<File, Skipped> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let opened = openat2(root, name, flags, Mode::empty(), inside);
    let file = match opened {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::XDEV | rustix::io::Errno::LOOP | rustix::io::Errno::ACCESS) => {
            return Err(Skipped::NoFile);
        }
        Err(e) => return Err(std::io::Error::from(e).into()),
    };
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(Skipped::NoFile)
    }
}

fn state(root: &OwnedFd, name: &str) -> Option<(u64, SystemTime)> {
    let meta = open_in(root, name).ok()?.metadata().ok()?;
    Some((meta.len(), meta.modified().ok()?))
}

fn read(root: &OwnedFd, name: &str) -> Result<Vec<u8>, Skipped> {
    let mut file = open_in(root, name)?.take(MAX_STILL as u64 + 1);
    let mut jpeg = vec![0; 3];
    if file.read_exact(&mut jpeg).is_err() || !begins_as_jpeg(&jpeg) {
        return Err(Skipped::NoPicture);
    }
    file.read_to_end(&mut jpeg)?;
    if jpeg.len() > MAX_STILL {
        return Err(Skipped::TooLarge);
    }
    if !ends_as_jpeg(&jpeg) {
        return Err(Skipped::NoPicture);
    }
    Ok(jpeg)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn jpeg(bytes: usize) -> Vec<u8> {
        let mut jpeg = vec![1; bytes];
        jpeg[..3].copy_from_slice(&[0xff, 0xd8, 0xff]);
        jpeg[bytes - 2..].copy_from_slice(&[0xff, 0xd9]);
        jpeg
    }

    #[test]
    fn names_are_ordered_as_people_count() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b10.jpg", "b9.jpg", "a100.jpg", ".hidden.jpg", "b009.jpg"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let (_, mut names) = list(dir.path()).unwrap();
        alphanumeric_sort::sort_str_slice(&mut names);
        assert_eq!(names.len(), 4);
        assert_eq!((&*names[0], &*names[3]), ("a100.jpg", "b10.jpg"));
    }

    #[test]
    fn only_pictures_of_a_bearable_size_that_lie_in_the_folder_are_read() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret.jpg"), jpeg(9)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let put =
            |name: &str, bytes: Vec<u8>| std::fs::write(dir.path().join(name), bytes).unwrap();
        put("good.jpg", jpeg(100));
        put("largest.jpg", jpeg(MAX_STILL));
        put("over.jpg", jpeg(MAX_STILL + 1));
        put("huge.jpg", jpeg(MAX_STILL * 10));
        put("notes.txt", b"no picture".to_vec());
        put("empty.jpg", Vec::new());
        put("cut.jpg", jpeg(100)[..90].to_vec());
        symlink("good.jpg", dir.path().join("inside.jpg")).unwrap();
        symlink(
            outside.path().join("secret.jpg"),
            dir.path().join("out.jpg"),
        )
        .unwrap();
        symlink("../../../../../../etc/hostname", dir.path().join("up.jpg")).unwrap();
        symlink("loop.jpg", dir.path().join("loop.jpg")).unwrap();
        std::fs::create_dir(dir.path().join("folder.jpg")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("pipe.jpg"),
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let (root, _) = list(dir.path()).unwrap();
        let reads = |name: &str| read(&root, name);
        assert_eq!(reads("good.jpg").unwrap().len(), 100);
        assert_eq!(reads("inside.jpg").unwrap().len(), 100);
        assert_eq!(reads("largest.jpg").unwrap().len(), MAX_STILL);
        for (name, reason) in [
            ("over.jpg", "larger than"),
            ("huge.jpg", "larger than"),
            ("notes.txt", "no whole JPEG"),
            ("cut.jpg", "no whole JPEG"),
            ("empty.jpg", "no whole JPEG"),
            ("out.jpg", "out of the folder"),
            ("up.jpg", "out of the folder"),
            ("loop.jpg", "out of the folder"),
            ("folder.jpg", "no regular file"),
            ("pipe.jpg", "no regular file"),
        ] {
            let error = reads(name).unwrap_err().to_string();
            assert!(error.contains(reason), "{name}: {error}");
        }
    }

    #[test]
    fn every_fault_is_told_in_both_languages() {
        crate::bilingual::assert_bilingual([
            FolderError::Read(std::io::ErrorKind::NotFound.into()),
            FolderError::TooMany,
            FolderError::Empty,
            FolderError::Silent(RETRY),
        ]);
    }
}
