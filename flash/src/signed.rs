//! Signed images and the keys that they are trusted by.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use wangge_protocol::node::{
    NodeKind, UPDATE_KEYS, UpdateError,
    image::{self, Manifest, SecretKey},
    layout::Part,
};

/// An image whose signature was checked.
#[derive(Clone, Debug)]
pub struct Image {
    /// What it says about itself.
    pub manifest: Manifest,
    /// The program.
    pub binary: Vec<u8>,
}

/// Why an image is not flashed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It cannot be read.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not to be believed.
    #[error("{path}: {}. {}", .error.says(), advice(*.error))]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        error: UpdateError,
    },
    /// It is for another place than its part's images are.
    #[error("{path}: it is linked for 0x{there:08X}, where this part has no {what}")]
    Place {
        /// The file.
        path: PathBuf,
        /// Its address.
        there: u32,
        /// Bootloader or image.
        what: &'static str,
    },
    /// A key that is none.
    #[error(
        "{path}: this is no public key: 64 hex digits are wanted, as `wangge node keygen` prints them"
    )]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// The secret half in the public one's place.
    #[error(
        "--trust was given the secret half of the key that signed the image, which must not get into \
         nodes: give the public half, which `wangge node keygen` printed"
    )]
    SecretHalf,
    /// More keys than a node has room for.
    #[error("a node trusts {UPDATE_KEYS} keys at most; {0} were given")]
    Keys(usize),
    /// Nothing says whose images are trusted.
    #[error(
        "say whose images to trust with --trust KEYFILE; for images of your own development, --development"
    )]
    NoKey,
    /// It serves several kinds.
    #[error(
        "this image serves bins and meters alike; say what the node will be: a bin by --height-mm, \
         a meter by --pulses-per-m3, or --kind"
    )]
    WhichKind,
    /// It does not serve this one.
    #[error("wrong product: this image is not for a {0}")]
    Product(&'static str),
}

fn advice(error: UpdateError) -> &'static str {
    match error {
        UpdateError::Development => {
            "Take the release's image, or give --development for a node that never leaves the bench"
        }
        UpdateError::UnknownKey => "Give the key of whoever released it with --trust",
        UpdateError::Hash | UpdateError::Signature | UpdateError::Length => {
            "The file is damaged, cut short or altered: fetch it again"
        }
        UpdateError::Unsigned => "Take the signed file, whose name ends in .wgn",
        _ => "Is it the right file?",
    }
}

/// The public keys that a node will trust.
#[derive(Clone, Debug)]
pub struct Trust {
    keys: Vec<[u8; 32]>,
    development: bool,
}

impl Trust {
    /// From files with a key each; `development` adds the one that everybody has.
    ///
    /// # Errors
    /// [`ImageError::Io`], [`ImageError::Key`], [`ImageError::Keys`], [`ImageError::NoKey`].
    pub fn read(files: &[PathBuf], development: bool) -> Result<Trust, ImageError> {
        let mut keys = Vec::new();
        for path in files {
            let text = fs::read_to_string(path).map_err(io_error(path))?;
            // Comments say whose it is.
            let line = text
                .lines()
                .map(str::trim)
                .find(|l| !l.is_empty() && !l.starts_with('#'));
            let mut key = [0; 32];
            let is_key = line.is_some_and(|line| hex::decode_to_slice(line, &mut key).is_ok());
            if !is_key || key == [0; 32] {
                return Err(ImageError::Key { path: path.clone() });
            }
            keys.push(key);
        }
        if development {
            keys.push(SecretKey::development().public());
        }
        match keys.len() {
            0 => Err(ImageError::NoKey),
            1..=UPDATE_KEYS => Ok(Trust { keys, development }),
            more => Err(ImageError::Keys(more)),
        }
    }

    /// As they stand in the identity page.
    pub fn page(&self) -> [Option<[u8; 32]>; UPDATE_KEYS] {
        let mut page = [None; UPDATE_KEYS];
        for (place, key) in page.iter_mut().zip(&self.keys) {
            *place = Some(*key);
        }
        page
    }

    /// Whether a trusted key is the secret half of the one that signed this file.
    fn is_secret_of(&self, file: &[u8]) -> bool {
        let signer = image::split(file).map(|(manifest, _)| manifest.key);
        let mut halves = self.keys.iter().map(|key| SecretKey::from_seed(*key).id());
        signer.is_ok_and(|signer| halves.any(|half| half == signer))
    }

    /// Reads an image and checks signature, length and hash.
    ///
    /// # Errors
    /// [`ImageError::Io`], [`ImageError::Refused`], [`ImageError::SecretHalf`].
    pub fn open(&self, path: &Path) -> Result<Image, ImageError> {
        let file = fs::read(path).map_err(io_error(path))?;
        let (manifest, binary) =
            image::open(&file, &self.keys, self.development).map_err(|error| {
                match self.is_secret_of(&file) {
                    true => ImageError::SecretHalf,
                    false => ImageError::Refused {
                        path: path.to_owned(),
                        error,
                    },
                }
            })?;
        Ok(Image {
            manifest,
            binary: binary.to_vec(),
        })
    }
}

impl Image {
    /// Checks that it is linked for where this part runs images.
    ///
    /// # Errors
    /// [`ImageError::Place`].
    pub fn check_place(&self, path: &Path, part: &Part) -> Result<(), ImageError> {
        self.placed(path, part.active.from, "image")
    }

    /// Checks that it is linked for where this part has its bootloader.
    ///
    /// # Errors
    /// [`ImageError::Place`].
    pub fn check_boot(&self, path: &Path, part: &Part) -> Result<(), ImageError> {
        self.placed(path, part.flash.from, "bootloader")
    }

    fn placed(&self, path: &Path, from: u32, what: &'static str) -> Result<(), ImageError> {
        match self.manifest.address == from {
            true => Ok(()),
            false => Err(ImageError::Place {
                path: path.to_owned(),
                there: self.manifest.address,
                what,
            }),
        }
    }

    /// What the node will be: what was asked for, or the only kind that the image serves.
    ///
    /// # Errors
    /// [`ImageError::WhichKind`], [`ImageError::Product`].
    pub fn kind(&self, wanted: Option<NodeKind>) -> Result<NodeKind, ImageError> {
        let serves = |kind: &NodeKind| self.manifest.serves(*kind);
        match wanted {
            Some(kind) if serves(&kind) => Ok(kind),
            Some(kind) => Err(ImageError::Product(kind.slug())),
            None => {
                let mut kinds = NodeKind::ALL.iter().copied().filter(serves);
                match (kinds.next(), kinds.next()) {
                    (Some(only), None) => Ok(only),
                    _ => Err(ImageError::WhichKind),
                }
            }
        }
    }

    /// Version, as people write it.
    pub fn version(&self) -> String {
        let [major, minor] = self.manifest.firmware.to_be_bytes();
        format!("{major}.{minor}")
    }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> ImageError {
    let path = path.to_owned();
    move |error| ImageError::Io {
        path: path.clone(),
        error,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use wangge_protocol::node::{
        image::kind_bit,
        layout::{BLUEPILL, DISCOVERY},
    };

    use super::*;

    /// A file signed by `key`.
    pub(crate) fn file(key: &SecretKey, part: &Part, address: u32, binary: &[u8]) -> Vec<u8> {
        let manifest = Manifest {
            development: false,
            kinds: kind_bit(NodeKind::Bin),
            hardware: part.hardware,
            firmware: 0x0102,
            address,
            counter: 7,
            length: 0,
            hash: [0; 32],
            key: [0; 8],
            signature: [0; 64],
        };
        let mut file = key.sign(manifest, binary).unwrap().to_vec();
        file.extend(binary);
        file
    }

    struct Case {
        dir: tempfile::TempDir,
        release: SecretKey,
    }

    impl Case {
        fn new() -> Case {
            Case {
                dir: tempfile::tempdir().unwrap(),
                release: SecretKey::from_seed([3; 32]),
            }
        }

        fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        }

        fn trust(&self) -> Trust {
            let key = format!(
                "# the release's key\n{}\n",
                hex::encode(self.release.public())
            );
            Trust::read(&[self.put("release.key", key.as_bytes())], false).unwrap()
        }

        fn refused(&self, file: &[u8]) -> UpdateError {
            match self.trust().open(&self.put("image.wgn", file)) {
                Err(ImageError::Refused { error, .. }) => error,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn only_what_was_signed_for_release_is_opened() {
        let case = Case::new();
        let good = file(&case.release, &BLUEPILL, BLUEPILL.active.from, &[5; 300]);
        let image = case.trust().open(&case.put("image.wgn", &good)).unwrap();
        assert_eq!((image.binary.len(), image.version().as_str()), (300, "1.2"));
        let mut corrupted = good.clone();
        corrupted[200] ^= 1;
        assert_eq!(case.refused(&corrupted), UpdateError::Hash);
        let mut forged = good.clone();
        forged[19] ^= 1;
        assert_eq!(case.refused(&forged), UpdateError::Signature);
        assert_eq!(case.refused(&good[..good.len() - 1]), UpdateError::Length);
        assert_eq!(case.refused(&good[..40]), UpdateError::Length);
        assert_eq!(case.refused(b""), UpdateError::NotAnImage);
        assert_eq!(case.refused(b"\x7FELF"), UpdateError::NotAnImage);
        let mut unsigned = good.clone();
        unsigned[56..128].fill(0);
        assert_eq!(case.refused(&unsigned), UpdateError::Unsigned);
        let other = file(&SecretKey::from_seed([4; 32]), &BLUEPILL, 0, &[5; 300]);
        assert_eq!(case.refused(&other), UpdateError::UnknownKey);
    }

    #[test]
    fn the_secret_half_is_no_key_to_trust() {
        let case = Case::new();
        let good = file(&case.release, &BLUEPILL, BLUEPILL.active.from, &[5; 300]);
        let secret = case.put("release.key", hex::encode([3; 32]).as_bytes());
        let trust = Trust::read(&[secret], false).unwrap();
        let told = trust.open(&case.put("image.wgn", &good)).unwrap_err();
        assert!(matches!(told, ImageError::SecretHalf), "{told}");
    }

    #[test]
    fn development_has_to_be_asked_for() {
        let case = Case::new();
        let dev = file(&SecretKey::development(), &BLUEPILL, 0, &[5; 300]);
        assert_eq!(case.refused(&dev), UpdateError::Development);
        let told = case.trust().open(&case.put("dev.wgn", &dev)).unwrap_err();
        assert!(told.to_string().contains("--development"), "{told}");
        let trust = Trust::read(&[], true).unwrap();
        assert!(trust.open(&case.put("dev.wgn", &dev)).is_ok());
        assert_eq!(
            trust.page(),
            [Some(SecretKey::development().public()), None]
        );
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        let case = Case::new();
        for bad in [
            "",
            "zz",
            &"0".repeat(64),
            &"ab".repeat(31),
            &"ab".repeat(33),
        ] {
            let path = case.put("bad.key", bad.as_bytes());
            assert!(
                matches!(Trust::read(&[path], false), Err(ImageError::Key { .. })),
                "{bad}"
            );
        }
        assert!(matches!(Trust::read(&[], false), Err(ImageError::NoKey)));
        let key = case.put("good.key", "ab".repeat(32).as_bytes());
        assert!(Trust::read(&[key.clone(), key.clone()], false).is_ok());
        let three = [key.clone(), key.clone(), key];
        assert!(matches!(
            Trust::read(&three, false),
            Err(ImageError::Keys(3))
        ));
        assert!(matches!(
            Trust::read(&three[1..], true),
            Err(ImageError::Keys(3))
        ));
    }

    #[test]
    fn product_and_place_are_checked() {
        let case = Case::new();
        let good = file(&case.release, &DISCOVERY, DISCOVERY.active.from, &[5; 300]);
        let path = case.put("image.wgn", &good);
        let mut image = case.trust().open(&path).unwrap();
        assert_eq!(image.kind(None).unwrap(), NodeKind::Bin);
        assert!(matches!(
            image.kind(Some(NodeKind::Meter)),
            Err(ImageError::Product("meter"))
        ));
        assert!(image.check_place(&path, &DISCOVERY).is_ok());
        assert!(image.check_boot(&path, &DISCOVERY).is_err());
        assert!(image.check_place(&path, &BLUEPILL).is_err());
        image.manifest.kinds |= kind_bit(NodeKind::Meter);
        assert!(matches!(image.kind(None), Err(ImageError::WhichKind)));
        assert_eq!(image.kind(Some(NodeKind::Meter)).unwrap(), NodeKind::Meter);
    }
}
