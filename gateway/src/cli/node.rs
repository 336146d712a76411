//! `wangge node`: sensor nodes and their images.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use wangge_node_update::{Ask, Heard, Node, Session, Step};
use wangge_protocol::node::{
    NodeKind, UpdateError,
    image::{self, DEV_KEY_ID, MANIFEST, Manifest, SecretKey},
    layout::Part,
    status,
};

use super::{FAILED, File, OK, UNREACHABLE, USAGE, complain, print};
use crate::{
    config::{self, Bus, BusLink, Device, DeviceLink, Parity},
    nodes::{Door, DoorError},
    source::modbus::Direct,
};

/// Largest image file that is read, bytes; no part has more flash.
const MOST: u64 = 16 * 1024 * 1024;
/// Waits for an answer on a bus of our own.
const TIMEOUT: Duration = Duration::from_secs(1);
/// A gateway that restarts is waited for so long.
const GATEWAY_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Subcommand)]
pub(super) enum NodeCommand {
    /// Ask every sensor node of the station who it is, through the running gateway.
    List {
        #[command(flatten)]
        file: File,
    },
    /// Put a new image on a node, over its bus.
    ///
    /// Goes through the running gateway, which asks the other units of the bus as before. What
    /// was broken off goes on where it was when the command is given again. The node starts the
    /// new image on trial, and keeps it when it was found to answer; otherwise the old one comes
    /// back.
    Update {
        #[command(flatten)]
        file: File,
        /// The node, as it is called in the station's file.
        #[arg(long, required_unless_present = "serial")]
        device: Option<String>,
        /// Without a gateway: the serial port that the node is on.
        #[arg(long, value_name = "PORT", conflicts_with_all = ["device", "config"])]
        serial: Option<PathBuf>,
        /// With --serial: the node's unit id.
        #[arg(long, default_value_t = 247, value_parser = clap::value_parser!(u8).range(1..=247))]
        unit: u8,
        /// With --serial: the line's speed.
        #[arg(long, default_value_t = 9_600)]
        baud: u32,
        /// The image, a .wgn file.
        image: PathBuf,
    },
    /// Say what an image file is: for which nodes, which version, who signed it.
    Inspect {
        /// File with public keys to check the signature with, one a line, as `wangge node
        /// keygen` prints them.
        #[arg(long, value_name = "FILE")]
        keys: Option<PathBuf>,
        /// The image, a .wgn file.
        image: PathBuf,
    },
    /// Make a key to sign images with; not on the gateway.
    ///
    /// Writes the secret half to a new file, for `cargo xtask firmware --sign`, and prints the
    /// public half, which goes into nodes when they are flashed.
    Keygen {
        /// Where the secret half goes; lose it, and no node takes a new image.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

pub(super) fn node(command: NodeCommand) -> u8 {
    match command {
        NodeCommand::List { file } => list(&file.config),
        NodeCommand::Update {
            file,
            device,
            serial,
            unit,
            baud,
            image,
        } => {
            let session = match read(&image).map(Session::new) {
                Ok(Ok(session)) => session,
                Ok(Err(error)) => return complain(&format!("{}: {error}", image.display())),
                Err(reason) => return wrong(&image, &reason),
            };
            match (device, serial) {
                (_, Some(path)) => {
                    let link = BusLink::Rtu {
                        path,
                        baud,
                        parity: Parity::None,
                        stop_bits: 1,
                    };
                    directly(session, link, unit)
                }
                (Some(device), None) => through_gateway(session, &file.config, &device),
                // clap asks for one of them.
                (None, None) => USAGE,
            }
        }
        NodeCommand::Inspect { keys, image } => inspect(&image, keys.as_deref()),
        NodeCommand::Keygen { out } => keygen(&out),
    }
}

fn through_gateway(session: Session, file: &Path, device: &str) -> u8 {
    let config = match config::load(file) {
        Ok(config) => config,
        Err(faults) => {
            complain(&format!("the configuration cannot be used\n\n{faults}"));
            return USAGE;
        }
    };
    let mut door = match Door::open(&config.storage.path) {
        Ok(door) => door,
        Err(error) => {
            complain(&error.to_string());
            if let Some((bus, unit)) = of(&config.buses, &config.devices, device) {
                complain(&format!(
                    "without a gateway: wangge node update --serial {bus} --unit {unit} …"
                ));
            }
            return UNREACHABLE;
        }
    };
    let storage = config.storage.path;
    run(session, |ask| {
        let begun = Instant::now();
        loop {
            match door.ask(device, ask.clone()) {
                Err(DoorError::Closed { .. }) if begun.elapsed() < GATEWAY_WITHIN => {
                    thread::sleep(Duration::from_secs(1));
                    if let Ok(again) = Door::open(&storage) {
                        door = again;
                    }
                }
                Err(error) => {
                    let code = match error {
                        DoorError::Refused(_) => USAGE,
                        _ => UNREACHABLE,
                    };
                    return Err((code, error.to_string()));
                }
                Ok(heard) => return Ok(heard),
            }
        }
    })
}

/// Serial port and unit of a device.
fn of(buses: &[Bus], devices: &[std::sync::Arc<Device>], device: &str) -> Option<(String, u8)> {
    let device = devices.iter().find(|d| *d.id == *device)?;
    let DeviceLink::Modbus { bus, unit_id, .. } = &device.link else {
        return None;
    };
    let bus = buses.iter().find(|b| b.name == *bus)?;
    match &bus.link {
        BusLink::Rtu { path, .. } => Some((path.display().to_string(), *unit_id)),
        BusLink::Tcp { .. } => None,
    }
}

fn directly(session: Session, link: BusLink, unit: u8) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start: {error}")),
    };
    let mut direct = Direct::new(link, unit, TIMEOUT);
    run(session, |ask| {
        let asked = runtime.block_on(direct.ask(ask));
        asked.map_err(|error| (UNREACHABLE, error.to_string()))
    })
}

/// Drives a session to its end.
fn run(mut session: Session, mut ask: impl FnMut(&Ask) -> Result<Heard, (u8, String)>) -> u8 {
    let begun = Instant::now();
    let manifest = session.manifest().clone();
    let bar = ProgressBar::new(u64::from(manifest.length));
    if let Ok(style) = ProgressStyle::with_template(
        "{bar:40} {percent:>3} %  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left",
    ) {
        bar.set_style(style);
    }
    loop {
        match session.step() {
            Step::Done => break,
            Step::Wait(time) => thread::sleep(time),
            Step::Ask(question) => {
                let heard = match ask(&question) {
                    Ok(heard) => heard,
                    Err((code, reason)) => {
                        bar.abandon();
                        complain(&reason);
                        return code;
                    }
                };
                if let Err(failure) = session.heard(&heard, begun.elapsed()) {
                    bar.abandon();
                    return complain(&failure.to_string());
                }
                bar.set_position(u64::from(session.progress().0));
            }
        }
    }
    bar.finish();
    print(&format!(
        "version {} (counter {}) runs and is confirmed, after {:.1} s\n",
        version(manifest.firmware),
        manifest.counter,
        begun.elapsed().as_secs_f64()
    ))
}

fn version(firmware: u16) -> String {
    let [major, minor] = firmware.to_be_bytes();
    format!("{major}.{minor}")
}

fn board(hardware: u16) -> String {
    match Part::of(hardware) {
        Some(part) => format!("{} ({})", part.board, part.name),
        None => format!("unknown board {hardware:#06x}"),
    }
}

fn list(file: &Path) -> u8 {
    let config = match config::load(file) {
        Ok(config) => config,
        Err(faults) => {
            complain(&format!("the configuration cannot be used\n\n{faults}"));
            return USAGE;
        }
    };
    let listed = Door::open(&config.storage.path).and_then(|mut door| {
        let mut lines = Vec::new();
        for device in door.list()? {
            let said = match door.ask(&device, Node::ASK)? {
                Heard::Words(words) => match Node::from_words(&words) {
                    Ok(node) => describe(&node),
                    Err(failure) => failure.to_string(),
                },
                Heard::Exception(code) => format!("refuses with exception {code}"),
                Heard::Written | Heard::Silent => "does not answer".to_owned(),
            };
            lines.push(format!("{device}: {said}\n"));
        }
        Ok(lines.concat())
    });
    match listed {
        Ok(text) => print(&text),
        Err(error) => {
            complain(&error.to_string());
            UNREACHABLE
        }
    }
}

fn describe(node: &Node) -> String {
    let trial = match node.status & status::TRIAL {
        0 => "",
        _ => ", on trial",
    };
    format!(
        "{} node, serial {}, {}, version {} (counter {}){trial}",
        node.kind.slug(),
        node.serial,
        board(node.hardware),
        version(node.firmware),
        node.counter
    )
}

fn inspect(file: &Path, keys: Option<&Path>) -> u8 {
    let bytes = match read(file) {
        Ok(bytes) => bytes,
        Err(reason) => return wrong(file, &reason),
    };
    let keys = match keys.map(public_keys).transpose() {
        Ok(keys) => keys,
        Err(reason) => {
            complain(&reason);
            return USAGE;
        }
    };
    let (manifest, binary) = match image::split(&bytes) {
        Ok(parts) => parts,
        Err(error) => return complain(&format!("{}: {error}", file.display())),
    };
    let mut hasher = image::Hasher::default();
    hasher.update(binary);
    let whole = hasher.finish() == manifest.hash;
    let development = manifest.development || manifest.key == DEV_KEY_ID;
    let (signed, is_sound) = signature(&manifest, keys);
    let verdict = if whole && is_sound { OK } else { FAILED };
    let printed = print(&format!(
        "for        {} on {}\nversion    {} (counter {})\nbinary     {} bytes for {:#010x}, {}\n\
         key        {}{}\nsignature  {signed}\n",
        kinds(&manifest),
        board(manifest.hardware),
        version(manifest.firmware),
        manifest.counter,
        bytes.len() - MANIFEST,
        manifest.address,
        if whole { "whole" } else { "damaged" },
        hex::encode(manifest.key),
        if development {
            ", development: a release refuses it"
        } else {
            ""
        },
    ));
    printed.max(verdict)
}

/// What is to be said of the signature, and whether that is well. Everybody has the development
/// key; the others have to be given, and without them an image may be signed by anybody.
fn signature(manifest: &Manifest, keys: Option<Vec<[u8; 32]>>) -> (String, bool) {
    let keys = match (keys, manifest.key) {
        (Some(keys), _) => keys,
        (None, DEV_KEY_ID) => vec![SecretKey::development().public()],
        (None, _) => Vec::new(),
    };
    match manifest.check(&keys, true) {
        Ok(()) => ("good".to_owned(), true),
        Err(UpdateError::UnknownKey) if keys.is_empty() => {
            ("not checked (give --keys)".to_owned(), true)
        }
        Err(error) => (error.to_string(), false),
    }
}

fn kinds(manifest: &Manifest) -> String {
    let served = NodeKind::ALL.iter().filter(|kind| manifest.serves(**kind));
    let words: Vec<_> = served.map(|kind| kind.slug()).collect();
    words.join(", ")
}

fn public_keys(file: &Path) -> Result<Vec<[u8; 32]>, String> {
    let text = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let bytes = hex::decode(line).ok().and_then(|b| b.try_into().ok());
            bytes.ok_or_else(|| {
                format!(
                    "{}: {line:?} is no public key, which has 64 hexadecimal digits",
                    file.display()
                )
            })
        })
        .collect()
}

fn keygen(out: &Path) -> u8 {
    let seed: [u8; 32] = rand::random();
    let key = SecretKey::from_seed(seed);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(out)
        .and_then(|mut file| {
            file.write_all(format!("{}\n", hex::encode(seed)).as_bytes())?;
            file.sync_all()
        });
    match written {
        Ok(()) => print(&format!("{}\n", hex::encode(key.public()))),
        Err(error) => complain(&format!(
            "{}: {error}; the file must not exist yet",
            out.display()
        )),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    match fs::metadata(file) {
        Ok(found) if found.len() > MOST => Err("it is too long for an image".to_owned()),
        Ok(_) => fs::read(file).map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn wrong(file: &Path, reason: &str) -> u8 {
    complain(&format!("{}: {reason}", file.display()));
    USAGE
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use wangge_protocol::node::{image::kind_bit, layout::MPS2};

    use super::*;

    fn signed(key: &SecretKey) -> Manifest {
        let manifest = Manifest {
            development: false,
            kinds: kind_bit(NodeKind::Bin),
            hardware: MPS2.hardware,
            firmware: 1,
            address: MPS2.active.from,
            counter: 1,
            length: 0,
            hash: [0; 32],
            key: [0; 8],
            signature: [0; 64],
        };
        Manifest::from_bytes(&key.sign(manifest, &[1; 64]).unwrap()).unwrap()
    }

    #[test]
    fn a_signature_is_checked_as_far_as_it_can_be() {
        let release = SecretKey::from_seed([3; 32]);
        let said = |manifest: &Manifest, keys| signature(manifest, keys);
        let (good, dev) = (signed(&release), signed(&SecretKey::development()));
        assert_eq!(said(&dev, None), ("good".to_owned(), true));
        assert!(said(&good, Some(vec![release.public()])).1);
        assert!(said(&good, None).0.contains("--keys"));
        let other = vec![SecretKey::from_seed([4; 32]).public()];
        assert!(said(&good, Some(other)).0.contains("not trusted"));
        for mut manifest in [good, dev.clone()] {
            manifest.key = [0; 8];
            manifest.signature = [0; 64];
            let (told, is_sound) = said(&manifest, None);
            assert!(told.contains("not signed") && !is_sound, "{told}");
        }
        let mut forged = dev;
        forged.signature[9] ^= 1;
        let (told, is_sound) = said(&forged, None);
        assert!(told.contains("signature is wrong") && !is_sound, "{told}");
    }
}
