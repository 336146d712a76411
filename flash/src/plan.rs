//! What goes where in a chip's flash.

use wangge_protocol::node::{
    Identity,
    layout::{Part, Region},
};

/// A piece of flash and what it has to hold afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is, for people.
    pub what: &'static str,
    /// Address of its first byte; the beginning of a page.
    pub address: u32,
    /// Its bytes, whole words; pages are erased as far as they reach.
    pub bytes: Vec<u8>,
}

/// Why there is no way to lay it out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// It does not fit.
    #[error("the {what} has {bytes} bytes; the {part} has room for {room}")]
    TooLong {
        /// Bootloader or image.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// How much fits.
        room: u32,
        /// The part.
        part: &'static str,
    },
    /// A part with two images needs a bootloader.
    #[error("the {0} needs a bootloader beside the image: give it with --boot FILE")]
    NoBootloader(&'static str),
}

/// Everything that is written to one board.
#[derive(Debug)]
pub struct Content<'a> {
    /// The program, linked for where it runs.
    pub image: &'a [u8],
    /// The bootloader, for parts that have one.
    pub boot: Option<&'a [u8]>,
    /// Who the node will be.
    pub identity: &'a Identity,
    /// Leave what the node stored (totals, its own set-up).
    pub keep_storage: bool,
}

/// The pieces, in the order in which they are written. Nothing else is erased.
///
/// # Errors
/// See [`PlanError`].
pub fn plan(part: &'static Part, content: &Content<'_>) -> Result<Vec<Piece>, PlanError> {
    let mut pieces = Vec::new();
    if let Some(swap) = part.swap {
        let boot = content.boot.ok_or(PlanError::NoBootloader(part.name))?;
        pieces.push(filled("bootloader", swap.boot, boot, part)?);
        // Of an earlier life: a swap that was under way must not go on.
        pieces.push(blank("boot state", swap.state));
    }
    pieces.push(filled("image", part.active, content.image, part)?);
    pieces.extend(without_programs(
        part,
        content.identity,
        content.keep_storage,
    )?);
    Ok(pieces)
}

/// All but the programs: the identity page, and nothing in storage unless that is kept.
///
/// # Errors
/// See [`PlanError`].
pub fn without_programs(
    part: &'static Part,
    identity: &Identity,
    keep_storage: bool,
) -> Result<Vec<Piece>, PlanError> {
    let mut pieces = Vec::new();
    if !keep_storage {
        pieces.push(blank("storage", part.storage));
    }
    pieces.push(filled(
        "identity",
        part.identity,
        &identity.to_bytes(),
        part,
    )?);
    Ok(pieces)
}

/// Numbers of the pages that have to be erased, in order.
pub fn pages(part: &Part, pieces: &[Piece]) -> Vec<u16> {
    let mut pages: Vec<u16> = pieces
        .iter()
        .flat_map(|piece| {
            let from = piece.address - part.flash.from;
            let to = from + piece.bytes.len() as u32;
            // Flash has hundreds of pages at most.
            (from / part.page..to.div_ceil(part.page)).map(|page| page as u16)
        })
        .collect();
    pages.sort_unstable();
    pages.dedup();
    pages
}

fn filled(
    what: &'static str,
    region: Region,
    bytes: &[u8],
    part: &'static Part,
) -> Result<Piece, PlanError> {
    if bytes.len() > region.size as usize {
        return Err(PlanError::TooLong {
            what,
            bytes: bytes.len(),
            room: region.size,
            part: part.name,
        });
    }
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0xFF);
    Ok(Piece {
        what,
        address: region.from,
        bytes,
    })
}

fn blank(what: &'static str, region: Region) -> Piece {
    Piece {
        what,
        address: region.from,
        bytes: vec![0xFF; region.size as usize],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use wangge_protocol::node::{
        NodeKind,
        layout::{BLUEPILL, DISCOVERY},
    };

    use super::*;

    fn who() -> Identity {
        Identity {
            kind: NodeKind::Bin,
            hardware: BLUEPILL.hardware,
            serial: 1,
            update_keys: [None; 2],
            initial: Default::default(),
        }
    }

    fn content<'a>(image: &'a [u8], boot: Option<&'a [u8]>, who: &'a Identity) -> Content<'a> {
        Content {
            image,
            boot,
            identity: who,
            keep_storage: false,
        }
    }

    #[test]
    fn nothing_reaches_over_its_region() {
        let who = who();
        for part in [&DISCOVERY, &BLUEPILL] {
            let boot = part.swap.map(|swap| vec![1; swap.boot.size as usize]);
            let room = part.active.size as usize;
            let image = vec![2; room];
            let pieces = plan(part, &content(&image, boot.as_deref(), &who)).unwrap();
            let all: Vec<u16> = pages(part, &pieces);
            assert!(
                all.iter()
                    .all(|page| u32::from(*page) * part.page < part.flash.size)
            );
            // All but the second image and what is free behind the identity.
            let spare =
                part.swap.map_or(0, |swap| swap.dfu.size) + part.flash.end() - part.identity.end();
            assert_eq!(all.len() as u32, (part.flash.size - spare) / part.page);
            for beyond in [room + 1, room * 10] {
                let image = vec![2; beyond];
                let error = plan(part, &content(&image, boot.as_deref(), &who)).unwrap_err();
                assert!(matches!(error, PlanError::TooLong { .. }));
            }
        }
        let boot = vec![1; DISCOVERY.swap.unwrap().boot.size as usize + 1];
        assert!(plan(&DISCOVERY, &content(&[1], Some(&boot), &who)).is_err());
    }

    #[test]
    fn only_what_must_be_is_erased() {
        let who = who();
        let mut content = content(&[1; 1_025], None, &who);
        content.keep_storage = true;
        let pieces = plan(&BLUEPILL, &content).unwrap();
        let identity = (BLUEPILL.identity.from - BLUEPILL.flash.from) / BLUEPILL.page;
        assert_eq!(pages(&BLUEPILL, &pieces), [0, 1, identity as u16]);
    }

    #[test]
    fn a_part_with_two_images_wants_a_bootloader() {
        let error = plan(&DISCOVERY, &content(&[1], None, &who())).unwrap_err();
        assert_eq!(error, PlanError::NoBootloader("STM32F100RB"));
    }
}
