//! Somebody else's tool, Debian's `stm32flash`, takes the simulator for a chip.
#![allow(clippy::unwrap_used)]

use std::{path::Path, process::Command};

use super::*;

fn stm32flash(board: &Board, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("stm32flash")
        .args(arguments)
        // A pseudo terminal has no parity.
        .args(["-b", "115200", "-m", "8n1"])
        .arg(board.path())
        .output()
        .unwrap_or_else(|e| panic!("stm32flash ({e}): `cargo xtask test` installs it"));
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.into_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn stm32flash_writes_verifies_and_reads() {
    let dir = tempfile::tempdir().unwrap();
    let (image, back) = (dir.path().join("image.bin"), dir.path().join("back.bin"));
    let bytes: Vec<u8> = (0..5_000u32).map(|n| (n * 7 % 251) as u8).collect();
    std::fs::write(&image, &bytes).unwrap();
    for model in [Model::F103C8, Model::F100RB, Model::F051C8] {
        let board = Board::plug(Chip::new(model, *b"chip-no-0002")).unwrap();
        let (fine, told) = stm32flash(&board, &[]);
        assert!(
            fine && told.contains(&format!("0x{:04x}", model.product)),
            "{told}"
        );
        let (fine, told) = stm32flash(&board, &["-v", "-w", text(&image)]);
        assert!(fine, "{told}");
        assert_eq!(board.chip().flash()[..5_000], bytes);
        let (fine, told) = stm32flash(&board, &["-r", text(&back), "-S", "0x08000000:5000"]);
        assert!(fine, "{told}");
        assert_eq!(std::fs::read(&back).unwrap(), bytes);
        let _ = std::fs::remove_file(&back);
        let (fine, told) = stm32flash(&board, &["-o", "-S", "0x08000000:1024"]);
        assert!(fine, "{told}");
        assert!(
            board.chip().flash()[..1_024]
                .iter()
                .all(|cell| *cell == 0xFF)
        );
        assert_eq!(board.chip().flash()[1_024..5_000], bytes[1_024..]);
        let (fine, told) = stm32flash(&board, &["-g", "0x08000000"]);
        assert!(fine, "{told}");
        assert_eq!(board.chip().started(), Some(0x0800_0000));
    }
}

#[test]
fn stm32flash_finds_the_faults_that_are_put_in() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image.bin");
    std::fs::write(&image, [7; 2_048]).unwrap();
    let weak = Chip::new(Model::F103C8, *b"chip-no-0003").with(Fault::UnplugAtWrite(3));
    let board = Board::plug(weak).unwrap();
    assert!(!stm32flash(&board, &["-w", text(&image)]).0);
    let protected = Chip::new(Model::F103C8, *b"chip-no-0003").protected();
    let board = Board::plug(protected).unwrap();
    assert!(!stm32flash(&board, &["-w", text(&image)]).0);
    let (fine, told) = stm32flash(&board, &["-k"]);
    assert!(fine, "{told}");
    let (fine, told) = stm32flash(&board, &["-v", "-w", text(&image)]);
    assert!(fine, "{told}");
}

/// What ours wrote theirs reads, and the other way round.
#[test]
fn both_tools_agree() {
    use crate::rom::Rom;
    let dir = tempfile::tempdir().unwrap();
    let (image, back) = (dir.path().join("image.bin"), dir.path().join("back.bin"));
    let board = Board::plug(Chip::new(Model::F100RB, *b"chip-no-0004")).unwrap();
    let open = || crate::port::open(text(board.path()), 115_200, serialport::Parity::Even).unwrap();
    let ours: Vec<u8> = (0..256u32).map(|n| (n * 3) as u8).collect();
    let mut rom = Rom::connect(open()).unwrap();
    rom.write(0x0800_0000, &ours).unwrap();
    drop(rom);
    let (fine, told) = stm32flash(&board, &["-r", text(&back), "-S", "0x08000000:256"]);
    assert!(fine, "{told}");
    assert_eq!(std::fs::read(&back).unwrap(), ours);
    let theirs = [0x42; 512];
    std::fs::write(&image, theirs).unwrap();
    let (fine, told) = stm32flash(&board, &["-v", "-w", text(&image)]);
    assert!(fine, "{told}");
    let mut rom = Rom::connect(open()).unwrap();
    assert_eq!(rom.read(0x0800_0000, 512).unwrap(), theirs);
}
