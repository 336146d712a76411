//! Updates of the real image, with the real bootloader, over a line at real speed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use wangge_node::update::TRIAL_MS;
use wangge_protocol::node::{
    image::{MANIFEST, Manifest, SecretKey},
    layout::MPS2,
    status,
};
use wangge_tests::{
    Process,
    gateway::{Gateway, wangge},
    place, play,
    street::{NODE, OTHER, Street, image, put},
    until,
};

use super::{PATIENT, values};

/// Every block of the image goes once.
fn blocks() -> Result<u64> {
    let image = fs::metadata(image("mps2-next.wgn")?)?.len() - MANIFEST as u64;
    Ok(image.div_ceil(128))
}

fn station(street: &Street, baud: u32) -> String {
    format!(
        "[[bus]]\nname = \"street\"\nserial = \"{}\"\nbaud = {baud}\ntimeout = \"500ms\"\n\n\
         [[device]]\nid = \"bin-1\"\nprofile = \"wangge-bin-node\"\nbus = \"street\"\nunit_id = {NODE}\nevery = \"2s\"\n\n\
         [[device]]\nid = \"meter-1\"\nprofile = \"electromagnetic-meter\"\nbus = \"street\"\nunit_id = {OTHER}\nevery = \"1s\"\n",
        street.port().display(),
    )
}

fn update_arguments(gateway: &Gateway, device: &str) -> Result<Vec<String>> {
    Ok(vec![
        "node".into(),
        "update".into(),
        "--config".into(),
        gateway.config().display().to_string(),
        "--device".into(),
        device.into(),
        image("mps2-next.wgn")?.display().to_string(),
    ])
}

fn run(arguments: &[String]) -> Result<Output> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    wangge(&arguments)
}

/// What `wangge node list` says of the node.
fn listed(gateway: &Gateway) -> Result<String> {
    let config = gateway.config().display().to_string();
    let output = wangge(&["node", "list", "--config", &config])?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn runs(gateway: &Gateway, counter: u32) -> Result<()> {
    let wanted = format!("(counter {counter})");
    until(&wanted, PATIENT, || {
        let list = listed(gateway)?;
        Ok((list.contains(&wanted) && !list.contains("on trial")).then_some(()))
    })
}

/// Says how long it took.
fn through_the_gateway(dir: &Path, baud: u32) -> Result<String> {
    let mut street = Street::new(dir, baud, |_| Ok(()))?;
    street.power_on()?;
    let mut gateway = Gateway::new(&dir.join("gateway"), &station(&street, baud))?;
    gateway.start()?;
    runs(&gateway, 1)?;
    // Somebody else's meter is read and never written.
    let meter = run(&update_arguments(&gateway, "meter-1")?)?;
    ensure!(!meter.status.success(), "a meter was updated: {meter:?}");
    let begun = Instant::now();
    let output = run(&update_arguments(&gateway, "bin-1")?)?;
    ensure!(output.status.success(), "{output:?}");
    let (took, stats) = (begun.elapsed(), street.stats()?);
    runs(&gateway, 2)?;
    ensure!(stats.polls > 5, "the other unit was not asked");
    // Asked every second; one turn may be missed.
    ensure!(stats.longest < 2.5, "the other unit waited: {stats:?}");
    ensure!(stats.blocks < blocks()? * 3 / 2, "too many: {stats:?}");
    // What was confirmed stays.
    street.power_cut()?;
    street.power_on()?;
    runs(&gateway, 2)?;
    let again = run(&update_arguments(&gateway, "bin-1")?)?;
    let text = String::from_utf8_lossy(&again.stderr);
    ensure!(text.contains("not newer"), "the same image again: {text}");
    gateway.stop()?;
    Ok(format!(
        "{baud} baud: {:.1} s, {stats:?}",
        took.as_secs_f64()
    ))
}

#[test]
fn a_node_is_updated_through_the_gateway_at_9600_baud() {
    play("firmware_update_9600", |dir| {
        println!("{}", through_the_gateway(dir, 9_600)?);
        Ok(())
    });
}

#[test]
fn a_node_is_updated_through_the_gateway_at_115200_baud() {
    play("firmware_update_115200", |dir| {
        println!("{}", through_the_gateway(dir, 115_200)?);
        Ok(())
    });
}

#[test]
fn an_update_that_was_broken_off_goes_on_where_it_was() {
    play("firmware_update_resumes", |dir| {
        let mut street = Street::new(dir, 115_200, |_| Ok(()))?;
        street.power_on()?;
        let mut gateway = Gateway::new(&dir.join("gateway"), &station(&street, 115_200))?;
        gateway.start()?;
        runs(&gateway, 1)?;
        for part in 1..4 {
            let mut command = Command::new(place::program("wangge")?);
            command.args(update_arguments(&gateway, "bin-1")?);
            let mut cli = Process::start("update", &command, &dir.join("update.log"))?;
            let until_blocks = blocks()? * part / 4;
            until("a part of the image", PATIENT, || {
                Ok((street.stats()?.blocks >= until_blocks).then_some(()))
            })?;
            cli.kill()?;
            if part == 2 {
                gateway.kill()?;
                gateway.start()?;
            }
        }
        let output = run(&update_arguments(&gateway, "bin-1")?)?;
        ensure!(output.status.success(), "{output:?}");
        runs(&gateway, 2)?;
        let stats = street.stats()?;
        ensure!(
            stats.blocks < blocks()? * 3 / 2,
            "blocks went again: {stats:?} of {}",
            blocks()?
        );
        gateway.stop()
    });
}

/// Uptime, counter, and status of the node, asked by somebody else's master.
fn who(street: &Street) -> Result<(u32, u16)> {
    let mut command = Command::new("mbpoll");
    command
        .args(["-m", "rtu", "-a", &NODE.to_string(), "-b", "115200"])
        .args(["-P", "none", "-0", "-1", "-o", "3", "-t", "3", "-r", "0"])
        .arg(street.port());
    let words = values(command, 20)?;
    let counter = wangge_protocol::node::long([words[4], words[5]]);
    Ok((counter, words[13]))
}

fn answers(street: &Street) -> Result<(u32, u16)> {
    until("the node", PATIENT, || Ok(who(street).ok()))
}

/// A street whose node starts the new image on trial, as after an update.
fn on_trial(dir: &Path) -> Result<Street> {
    let mut street = Street::new(dir, 115_200, |flash| {
        let swap = MPS2.swap.context("no second image")?;
        let file = fs::read(image("mps2-next.wgn")?)?;
        put(flash, swap.dfu, &file[MANIFEST..]);
        put(flash, swap.state, &[0xF0; 2]);
        Ok(())
    })?;
    street.power_on()?;
    let (counter, bits) = answers(&street)?;
    ensure!(counter == 2 && bits & status::TRIAL != 0, "no trial");
    Ok(street)
}

#[test]
fn an_image_that_nobody_confirms_goes_back() {
    play("firmware_update_reverts", |dir| {
        let mut street = on_trial(dir)?;
        street.power_cut()?;
        street.power_on()?;
        let (counter, bits) = answers(&street)?;
        ensure!(counter == 1 && bits & status::TRIAL == 0, "it stayed");
        Ok(())
    });
}

/// It boots and works, but no round trip ever comes about: three minutes, then it goes back by
/// itself, with its power on all the time.
#[test]
fn an_image_that_never_reaches_its_gateway_goes_back_by_itself() {
    play("firmware_update_deaf", |dir| {
        let mut street = on_trial(dir)?;
        street.cut_line()?;
        thread::sleep(Duration::from_millis(TRIAL_MS) + Duration::from_secs(5));
        street.join_line()?;
        let (counter, bits) = answers(&street)?;
        ensure!(counter == 1 && bits & status::TRIAL == 0, "it stayed");
        Ok(())
    });
}

/// A newer image that is signed and whole, and hangs at its first instruction.
fn hanging(dir: &Path) -> Result<PathBuf> {
    let file = fs::read(image("mps2-next.wgn")?)?;
    let (manifest, mut binary) = (Manifest::from_bytes(&file)?, file[MANIFEST..].to_vec());
    let reset = u32::from_le_bytes(binary[4..8].try_into()?) & !1;
    let at = (reset - MPS2.active.from) as usize;
    // Thumb for "branch to here".
    binary[at..at + 2].copy_from_slice(&0xE7FE_u16.to_le_bytes());
    let mut file = SecretKey::development().sign(manifest, &binary)?.to_vec();
    file.extend(binary);
    let path = dir.join("hanging.wgn");
    fs::write(&path, file)?;
    Ok(path)
}

#[test]
fn an_image_that_hangs_is_taken_back_by_the_watchdog() {
    play("firmware_update_hangs", |dir| {
        let mut street = Street::new(dir, 115_200, |_| Ok(()))?;
        street.power_on()?;
        answers(&street)?;
        let (port, file) = (street.port(), hanging(dir)?);
        let [port, file] = [&port, &file].map(|path| path.display().to_string());
        let unit = NODE.to_string();
        let output = wangge(&[
            "node", "update", "--serial", &port, "--unit", &unit, "--baud", "115200", &file,
        ])?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(1) && text.contains("runs its old image again"),
            "{output:?}"
        );
        let (counter, bits) = answers(&street)?;
        ensure!(counter == 1 && bits & status::TRIAL == 0, "it stayed");
        Ok(())
    });
}

#[test]
fn power_cuts_at_random_leave_a_node_that_runs() {
    play("firmware_update_power_cuts", |dir| {
        let mut chance = StdRng::seed_from_u64(7);
        let (mut cuts, mut seen) = (0, [0, 0]);
        for round in 0..12 {
            let dir = dir.join(round.to_string());
            fs::create_dir(&dir)?;
            let mut street = Street::new(&dir, 115_200, |_| Ok(()))?;
            street.power_on()?;
            answers(&street)?;
            let mut command = Command::new(place::program("wangge")?);
            command
                .args(["node", "update", "--unit", &NODE.to_string()])
                .args(["--baud", "115200", "--serial"])
                .arg(street.port())
                .arg(image("mps2-next.wgn")?);
            let mut cli = Process::start("update", &command, &dir.join("update.log"))?;
            // Anywhere in the transfer; or after it: in the check, the swap, the trial.
            let (all, point) = (blocks()?, chance.random_range(0..2 * blocks()?));
            until("a part of the image", PATIENT, || {
                let sent = street.stats().map_or(0, |stats| stats.blocks);
                Ok((sent >= point.min(all)).then_some(()))
            })?;
            if point >= all {
                thread::sleep(Duration::from_millis(chance.random_range(0..6_000)));
            }
            street.power_cut()?;
            // It may have come to its end.
            let _ = cli.kill();
            // Now and then in the middle of what the bootloader does, too.
            for _ in 0..chance.random_range(0..4) {
                street.power_on()?;
                thread::sleep(Duration::from_millis(chance.random_range(0..400)));
                street.power_cut()?;
                cuts += 1;
            }
            cuts += 1;
            street.power_on()?;
            let (counter, _) = answers(&street)?;
            ensure!(counter == 1 || counter == 2, "image {counter} runs");
            seen[counter as usize - 1] += 1;
        }
        println!(
            "{cuts} cuts; after them the old image ran {} times, the new one {}",
            seen[0], seen[1]
        );
        Ok(())
    });
}
