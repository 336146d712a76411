//! What the child gives up before it looks at the first hostile byte.
//!
//! The kernel's part is best effort: old or restricted kernels lack pieces, which is reported
//! and not fatal, since a station without pictures is worse off than one whose video parser is
//! confined by user and service limits alone.

use std::{
    os::fd::RawFd,
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// What name resolution, the time zone and ONNX Runtime's look at the processor read. Nothing
/// else of /etc: the gateway's own configuration, with its secrets, is there.
const READABLE: &[&str] = &[
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/lib",
    "/lib64",
    "/etc/resolv.conf",
    "/run/systemd/resolve",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/dev/null",
    "/dev/urandom",
];

/// Calls that no video work needs and that a break-in would: other programs, other processes,
/// the kernel, the clock, listening sockets. They fail with EPERM.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kill,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_listen,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
];

/// Kinds of sockets that lead anywhere but to a camera: services of this machine (a container
/// engine, the message bus), the kernel's ciphers, raw frames, the hypervisor. The one socket
/// that the child has to the gateway is open already.
const REFUSED_SOCKETS: &[libc::c_int] = &[
    libc::AF_UNIX,
    libc::AF_PACKET,
    libc::AF_ALG,
    libc::AF_VSOCK,
    libc::AF_BLUETOOTH,
    libc::AF_CAN,
];

/// Long answers of a name server come over TCP.
const DNS_PORT: u16 = 53;

/// What a station's cameras need besides.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    /// Files and folders to be read.
    pub files: Vec<PathBuf>,
    /// Folders whose names may be listed, and nothing in them read.
    pub listed: Vec<PathBuf>,
    /// TCP ports to connect to: those of the cameras.
    pub ports: Vec<u16>,
    /// Sockets that listen already and may accept.
    pub accepting: Vec<RawFd>,
    /// Device files to be read and written.
    pub devices: Vec<PathBuf>,
}

/// Confines the process (all its threads to come). Besides what is allowed, the model and the
/// library stay readable; nothing but devices stays writable.
///
/// Returns what could not be done, one sentence each.
pub fn enter(allowed: &Allowed) -> Vec<String> {
    let mut weaknesses = Vec::new();
    if let Err(e) = no_core_dumps() {
        weaknesses.push(format!("core dumps stay possible: {e}"));
    }
    match confine_access(allowed) {
        Ok(RulesetStatus::FullyEnforced) => {}
        Ok(RulesetStatus::PartiallyEnforced) => {
            weaknesses.push(
                "the kernel's landlock is old: files are confined, or in part, and not the network"
                    .into(),
            );
        }
        Ok(RulesetStatus::NotEnforced) => {
            weaknesses.push("the kernel has no landlock: file access is not confined".into());
        }
        Err(e) => weaknesses.push(format!("file access is not confined: {e}")),
    }
    if let Err(e) = confine_calls(&allowed.accepting) {
        weaknesses.push(format!("system calls are not confined: {e}"));
    }
    weaknesses
}

/// Address space beyond what may be resident: code, libraries, thread stacks and what allocators
/// reserve without using it.
const ADDRESS_SPACE: u64 = 6 << 30;
/// Open files besides those of cameras.
const OWN_FILES: u64 = 128;
/// Sockets that one camera may have: RTSP, RTP and RTCP, and as much again while it is taken leave
/// of.
const FILES_A_CAMERA: u64 = 8;

/// Ceilings that the kernel keeps: one request for more address space than any honest work needs
/// fails at once, and so does one socket too many. What is resident is watched besides. There
/// is no limit on processor seconds, which the kernel counts over the whole life of a process.
///
/// Returns what could not be done, one sentence each.
pub fn limit(memory: u64, cameras: usize) -> Option<String> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limits = [
        (Resource::As, memory.saturating_add(ADDRESS_SPACE)),
        (
            Resource::Nofile,
            OWN_FILES + FILES_A_CAMERA * cameras as u64,
        ),
    ];
    for (resource, most) in limits {
        let most = getrlimit(resource)
            .maximum
            .map_or(most, |hard| hard.min(most));
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        if let Err(e) = setrlimit(resource, limit) {
            return Some(format!(
                "memory and files are not limited by the kernel: {e}"
            ));
        }
    }
    None
}

/// A core dump would hold pictures and camera passwords; neither it nor a debugger of the same
/// user may see the memory.
fn no_core_dumps() -> Result<(), rustix::io::Errno> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

fn confine_access(allowed: &Allowed) -> Result<RulesetStatus, landlock::RulesetError> {
    let abi = ABI::V4;
    // Not `Execute`: nothing is ever started, and libraries are mapped without it.
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        // UDP needs no rule; a listening TCP socket is nothing that a viewer needs.
        .handle_access(AccessNet::BindTcp)?
        .handle_access(AccessNet::ConnectTcp)?
        .create()?;
    for port in allowed.ports.iter().chain([&DNS_PORT]) {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    let known = READABLE.iter().map(Path::new);
    for path in known.chain(allowed.files.iter().map(PathBuf::as_path)) {
        // What is not there need not be readable.
        let Ok(fd) = PathFd::new(path) else {
            continue;
        };
        let access = if path.is_dir() {
            read
        } else {
            AccessFs::ReadFile.into()
        };
        rules = rules.add_rule(PathBeneath::new(fd, access))?;
    }
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let devices = allowed.devices.iter().map(|path| (path, device));
    let listed = allowed.listed.iter();
    for (path, access) in devices.chain(listed.map(|path| (path, AccessFs::ReadDir.into()))) {
        if let Ok(fd) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(fd, access))?;
        }
    }
    Ok(rules.restrict_self()?.ruleset)
}

fn confine_calls(accepting: &[RawFd]) -> Result<(), Box<dyn std::error::Error>> {
    let family = |family: &libc::c_int| {
        let is =
            SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, *family as u64)?;
        SeccompRule::new(vec![is])
    };
    // Refused on every socket that is none of these.
    let strange: Result<Vec<_>, _> = accepting
        .iter()
        .map(|fd| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, *fd as u64))
        .collect();
    let accept = match strange? {
        none if none.is_empty() => Vec::new(),
        strange => vec![SeccompRule::new(strange)?],
    };
    let sockets: Result<Vec<_>, _> = REFUSED_SOCKETS.iter().map(family).collect();
    let rules = REFUSED
        .iter()
        .map(|call| (*call, Vec::new()))
        .chain([
            (libc::SYS_socket, sockets?),
            (libc::SYS_accept, accept.clone()),
            (libc::SYS_accept4, accept),
        ])
        .collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(rustix::io::Errno::PERM.raw_os_error() as u32),
        std::env::consts::ARCH.try_into()?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::ErrorKind,
        net::{TcpListener, TcpStream, UdpSocket},
        os::fd::AsRawFd,
        os::unix::net::{UnixListener, UnixStream},
        process::Command,
    };

    use rustix::{
        io::Errno,
        net::{AddressFamily, SocketType, socket},
        process::{Pid, PidfdFlags, Signal, kill_process},
    };

    use super::*;

    /// Landlock and seccomp bind the thread that enters and those it begins, so a thread of its
    /// own stands for the child.
    fn inside(files: Vec<PathBuf>, ports: Vec<u16>, try_it: impl FnOnce() + Send + 'static) {
        let allowed = Allowed {
            files,
            ports,
            ..Allowed::default()
        };
        inside_of(allowed, try_it);
    }

    fn inside_of(allowed: Allowed, try_it: impl FnOnce() + Send + 'static) {
        let thread = std::thread::spawn(move || {
            let weaknesses = enter(&allowed);
            if weaknesses.is_empty() {
                try_it();
            } else {
                println!("skipped: {weaknesses:?}");
            }
        });
        thread.join().unwrap();
    }

    #[track_caller]
    fn denied<T: std::fmt::Debug>(result: std::io::Result<T>) {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }

    type Escape = (
        &'static str,
        Box<dyn FnOnce() -> std::io::Result<()> + Send>,
    );

    /// What a break-in would try, with what it needs to succeed.
    fn escapes(dir: &Path) -> Vec<Escape> {
        let secret = dir.join("station.toml");
        let engine = dir.join("engine.sock");
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = elsewhere.local_addr().unwrap();
        let listener = UnixListener::bind(&engine).unwrap();
        std::fs::write(&secret, "password").unwrap();
        for name in ["doomed", "moved"] {
            std::fs::write(dir.join(name), "x").unwrap();
        }
        let [new, doomed, moved, link, folder] =
            ["new", "doomed", "moved", "link", "folder"].map(|name| dir.join(name));
        let (read, written) = (secret.clone(), secret.clone());
        let itself = rustix::process::getpid();
        vec![
            ("read a file", Box::new(move || File::open(read).map(drop))),
            (
                "read the machine's accounts",
                Box::new(|| File::open("/etc/passwd").map(drop)),
            ),
            (
                "write a file",
                Box::new(move || File::options().write(true).open(written).map(drop)),
            ),
            ("make a file", Box::new(move || File::create(new).map(drop))),
            ("delete", Box::new(move || std::fs::remove_file(doomed))),
            (
                "rename",
                Box::new(move || std::fs::rename(&moved, moved.with_extension("away"))),
            ),
            (
                "link",
                Box::new(move || std::os::unix::fs::symlink("/etc/passwd", link)),
            ),
            (
                "make a folder",
                Box::new(move || std::fs::create_dir(folder)),
            ),
            (
                "start a program",
                Box::new(|| Command::new("/bin/true").status().map(drop)),
            ),
            (
                "signal a process",
                Box::new(move || Ok(kill_process(itself, Signal::CONT)?)),
            ),
            (
                "hold a process",
                Box::new(move || {
                    let held = rustix::process::pidfd_open(itself, PidfdFlags::empty());
                    Ok(held.map(drop)?)
                }),
            ),
            (
                "connect elsewhere",
                Box::new(move || {
                    let _kept = elsewhere;
                    TcpStream::connect(address).map(drop)
                }),
            ),
            (
                "reach a service of this machine",
                Box::new(move || {
                    let _kept = listener;
                    UnixStream::connect(engine).map(drop)
                }),
            ),
            (
                "listen",
                Box::new(|| TcpListener::bind("127.0.0.1:0").map(drop)),
            ),
            (
                "open a socket to this machine",
                Box::new(|| Ok(socket(AddressFamily::UNIX, SocketType::DGRAM, None).map(drop)?)),
            ),
        ]
    }

    #[test]
    fn every_escape_fails_inside() {
        let dir = tempfile::tempdir().unwrap();
        let tries = escapes(dir.path());
        inside(vec![], vec![], move || {
            for (what, escape) in tries {
                let kind = escape().map_err(|e| e.kind());
                assert_eq!(kind, Err(ErrorKind::PermissionDenied), "{what}");
            }
        });
    }

    /// The control: were these to fail anyway, the test above would prove nothing.
    #[test]
    fn every_escape_succeeds_outside() {
        let dir = tempfile::tempdir().unwrap();
        for (what, escape) in escapes(dir.path()) {
            escape().unwrap_or_else(|e| panic!("{what}: {e}"));
        }
    }

    #[test]
    fn only_what_was_named_can_be_read_and_nothing_written() {
        let dir = tempfile::tempdir().unwrap();
        let clip = dir.path().join("clip.mp4");
        let other = dir.path().join("station.toml");
        for path in [&clip, &other] {
            std::fs::write(path, "x").unwrap();
        }
        let parent = format!("/proc/{}/environ", std::os::unix::process::parent_id());
        inside(vec![clip.clone()], vec![], move || {
            assert!(File::open(&clip).is_ok());
            assert!(File::open("/proc/self/statm").is_ok());
            denied(File::open(&other));
            denied(File::open("/etc/passwd"));
            denied(File::open(parent));
            denied(std::fs::read_dir("/home"));
            denied(File::options().write(true).open(&clip));
            denied(File::create(clip.with_extension("new")));
            denied(std::fs::rename(&clip, clip.with_extension("moved")));
            denied(std::fs::remove_file(&clip));
            denied(std::os::unix::fs::symlink(
                "/etc/passwd",
                clip.with_extension("link"),
            ));
        });
    }

    #[test]
    fn nothing_can_be_started_signalled_or_looked_into() {
        let parent = Pid::from_raw(std::os::unix::process::parent_id() as i32).unwrap();
        inside(vec![], vec![], move || {
            denied(Command::new("/bin/true").status());
            assert_eq!(kill_process(parent, Signal::CONT), Err(Errno::PERM));
            let itself = rustix::process::getpid();
            let looked = rustix::process::pidfd_open(itself, PidfdFlags::empty());
            assert_eq!(looked.unwrap_err(), Errno::PERM);
        });
    }

    #[test]
    fn connections_are_accepted_on_named_sockets_alone() {
        let relay = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = |socket: &TcpListener| socket.local_addr().unwrap().port();
        let allowed = Allowed {
            ports: vec![port(&relay), port(&other)],
            accepting: vec![relay.as_raw_fd()],
            ..Allowed::default()
        };
        inside_of(allowed, move || {
            let _waiting = [&relay, &other].map(|s| TcpStream::connect(s.local_addr().unwrap()));
            assert!(relay.accept().is_ok());
            denied(other.accept());
            let copy = other.try_clone().unwrap();
            denied(copy.accept());
            denied(TcpListener::bind("127.0.0.1:0"));
        });
    }

    #[test]
    fn devices_are_opened_only_when_asked_for() {
        // Stands for a video device: any file that is not readable else.
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("video0");
        std::fs::write(&device, "x").unwrap();
        let open = |path: &Path| File::options().read(true).write(true).open(path);
        let named = device.clone();
        let allowed = Allowed {
            devices: vec![device.clone()],
            listed: vec![dir.path().to_path_buf()],
            ..Allowed::default()
        };
        std::fs::write(dir.path().join("sda"), "x").unwrap();
        inside_of(allowed, move || {
            assert!(open(&named).is_ok());
            let folder = named.parent().unwrap();
            assert_eq!(std::fs::read_dir(folder).unwrap().count(), 2);
            denied(File::open(folder.join("sda")));
            denied(File::create(named.with_extension("new")));
        });
        inside(vec![], vec![], move || denied(open(&device)));
    }

    #[test]
    fn connections_go_to_cameras_alone() {
        let dir = tempfile::tempdir().unwrap();
        let engine = dir.path().join("engine.sock");
        let _engine = UnixListener::bind(&engine).unwrap();
        let camera = TcpListener::bind("127.0.0.1:0").unwrap();
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = |socket: &TcpListener| socket.local_addr().unwrap().port();
        let (allowed, refused) = (port(&camera), port(&elsewhere));
        inside(vec![], vec![allowed], move || {
            assert!(TcpStream::connect(("127.0.0.1", allowed)).is_ok());
            denied(TcpStream::connect(("127.0.0.1", refused)));
            denied(TcpListener::bind("127.0.0.1:0"));
            denied(UnixStream::connect(&engine));
            // RTP comes over UDP.
            assert!(UdpSocket::bind("127.0.0.1:0").is_ok());
            for family in [
                AddressFamily::UNIX,
                AddressFamily::PACKET,
                AddressFamily::VSOCK,
            ] {
                let opened = socket(family, SocketType::DGRAM, None);
                assert_eq!(opened.unwrap_err(), Errno::PERM, "{family:?}");
            }
        });
    }
}
