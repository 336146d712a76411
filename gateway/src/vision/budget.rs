//! How much memory loading a model may take.
//!
//! ONNX Runtime has no such limit: a file of 150 bytes can ask for any size. So the kernel
//! keeps it for the time of loading: beyond the limit, an allocation fails and with it the
//! load, with a reason.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wangge_models::Model;

/// What any network may take, bytes of address space: the library's own needs and the tensors
/// between layers. Three networks of 416 × 416 pixels took 33 to 76 MiB, weights included.
pub const BASE: u64 = 128 << 20;
/// And for each byte of weights: they are kept, packed for the processor, and copied on the way.
pub const PER_BYTE: u64 = 8;

/// What loading this model once may take, bytes.
pub fn of_model(model: &Model) -> u64 {
    BASE + PER_BYTE * model.weights.len() as u64
}

/// Does `work` while the process may not grow by more than `growth` bytes of address space.
/// Where the kernel cannot tell its size, only the limit of the whole process holds.
pub fn within<T>(growth: u64, work: impl FnOnce() -> T) -> T {
    let before = getrlimit(Resource::As);
    let limited = size().is_some_and(|size| {
        let wanted = size.saturating_add(growth);
        let current = before.current.map_or(wanted, |now| now.min(wanted));
        let limit = Rlimit {
            current: Some(current),
            maximum: before.maximum,
        };
        setrlimit(Resource::As, limit).is_ok()
    });
    if !limited {
        tracing::warn!("memory for loading a model is not limited: no /proc");
    }
    let done = work();
    if limited && let Err(e) = setrlimit(Resource::As, before) {
        tracing::warn!("the memory limit for loading a model stays: {e}");
    }
    done
}

/// Address space of this process, bytes.
fn size() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').next()?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
