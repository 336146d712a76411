//! What the child works on, written where its parent can read it after its death.
//!
//! The slate is a small piece of memory that both processes hold as a file: the child's standard
//! output. Before a thread works on a compressed frame it notes camera and fingerprint in its own
//! place, and wipes it afterwards; that costs two short system calls a decoded frame. When the
//! child dies, is killed or hangs, the parent reads who was being worked on. The file is sealed
//! against growing, so that a child that was taken over cannot fill the memory with it.

use std::{
    cell::Cell,
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

/// Threads that have a place at most; as many as the child may have.
pub const PLACES: usize = 64;
/// Bytes of a place: camera + 1 (0 is nothing), fingerprint.
const PLACE: usize = 12;

/// A frame that was being worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Suspect {
    /// Position in the set-up.
    pub camera: u16,
    /// See [`fingerprint`].
    pub fingerprint: u64,
}

/// Tells compressed frames apart: their length and checksum.
pub fn fingerprint(data: &[u8]) -> u64 {
    (data.len() as u64) << 32 | u64::from(crc32c::crc32c(data))
}

/// The parent's side.
#[derive(Debug)]
pub struct Slate(File);

impl Slate {
    /// An empty slate, and the child's standard output that leads to it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(memfd_create("wangge-slate", flags)?);
        file.set_len((PLACES * PLACE) as u64)?;
        fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        let theirs = file.as_fd().try_clone_to_owned()?;
        Ok((Slate(file), theirs))
    }

    /// Everything that is being worked on; not to be trusted more than its writer.
    pub fn suspects(&self) -> Vec<Suspect> {
        let mut bytes = [0; PLACES * PLACE];
        if self.0.read_exact_at(&mut bytes, 0).is_err() {
            return Vec::new();
        }
        let places = bytes.as_chunks::<PLACE>().0.iter();
        places
            .filter_map(|[a, b, c, d, print @ ..]| {
                let camera = u32::from_le_bytes([*a, *b, *c, *d]).checked_sub(1)?;
                Some(Suspect {
                    camera: u16::try_from(camera).ok()?,
                    fingerprint: u64::from_le_bytes(*print),
                })
            })
            .collect()
    }
}

static WRITER: OnceLock<Option<File>> = OnceLock::new();
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OWN: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The child's side: standard output, if it is a slate and not somebody's file.
fn writer() -> Option<&'static File> {
    let writer = WRITER.get_or_init(|| {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned().ok()?);
        let seals = fcntl_get_seals(&file).ok()?;
        seals.contains(SealFlags::GROW).then_some(file)
    });
    writer.as_ref()
}

/// Wipes a thread's place when the work is done.
#[derive(Debug)]
pub struct Work(Option<usize>);

impl Drop for Work {
    fn drop(&mut self) {
        if let (Some(place), Some(file)) = (self.0, writer()) {
            write(file, place, 0, 0);
        }
    }
}

/// This thread works on a frame until the answer is dropped.
pub fn begin(camera: u16, fingerprint: u64) -> Work {
    let place = OWN.get().unwrap_or_else(|| {
        let place = NEXT.fetch_add(1, Ordering::Relaxed);
        OWN.set(Some(place));
        place
    });
    let place = (place < PLACES).then_some(place);
    if let (Some(place), Some(file)) = (place, writer()) {
        write(file, place, u32::from(camera) + 1, fingerprint);
    }
    Work(place)
}

fn write(file: &File, place: usize, camera: u32, fingerprint: u64) {
    let mut bytes = [0; PLACE];
    let (head, tail) = bytes.split_at_mut(4);
    head.copy_from_slice(&camera.to_le_bytes());
    tail.copy_from_slice(&fingerprint.to_le_bytes());
    // Without a slate a death has no suspect; the work goes on.
    let _ = file.write_all_at(&bytes, (place * PLACE) as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_reads_what_was_begun_and_not_ended() {
        let (slate, theirs) = Slate::new().unwrap();
        let theirs = File::from(theirs);
        assert!(slate.suspects().is_empty());
        write(&theirs, 0, 1, 77);
        write(&theirs, PLACES - 1, 300, u64::MAX);
        let suspect = |camera, fingerprint| Suspect {
            camera,
            fingerprint,
        };
        assert_eq!(slate.suspects(), [suspect(0, 77), suspect(299, u64::MAX)]);
        write(&theirs, 0, 0, 0);
        assert_eq!(slate.suspects(), [suspect(299, u64::MAX)]);
        // What cannot be a camera is nobody.
        write(&theirs, PLACES - 1, u32::MAX, 5);
        assert!(slate.suspects().is_empty());
    }

    #[test]
    fn a_child_cannot_fill_the_memory_with_it() {
        let (slate, theirs) = Slate::new().unwrap();
        let theirs = File::from(theirs);
        assert!(
            theirs
                .write_all_at(&[1; 64], (PLACES * PLACE) as u64)
                .is_err()
        );
        assert!(theirs.set_len(1 << 30).is_err());
        assert!(theirs.set_len(0).is_err());
        assert_eq!(slate.0.metadata().unwrap().len(), (PLACES * PLACE) as u64);
    }

    #[test]
    fn fingerprints_tell_frames_apart() {
        let frame = vec![7; 5_000];
        let mut other = frame.clone();
        other[4_999] ^= 1;
        assert_eq!(fingerprint(&frame), fingerprint(&frame.clone()));
        assert_ne!(fingerprint(&frame), fingerprint(&other));
        assert_ne!(fingerprint(&frame), fingerprint(&frame[..4_999]));
    }
}
