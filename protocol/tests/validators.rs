//! The documents and schemas as programs that others wrote see them: openapi-spec-validator,
//! `@asyncapi/parser`, `jsonschema` of Python, Ajv. `cargo xtask setup` installs them.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test that cannot go on must fail

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A validator's command, if it is installed.
fn openapi(folder: &Path) -> Option<Command> {
    let mut command = Command::new(env::var_os("WANGGE_CONTRACT_PYTHON")?);
    command.arg(validators().join("openapi.py")).arg(folder);
    Some(command)
}

fn asyncapi(folder: &Path) -> Option<Command> {
    let modules = env::var_os("WANGGE_CONTRACT_NODE")?;
    let mut command = Command::new("node");
    command
        .env("NODE_PATH", modules)
        .arg(validators().join("asyncapi.cjs"))
        .arg(folder);
    Some(command)
}

fn protocol() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn validators() -> PathBuf {
    protocol().join("validators")
}

/// What it says, and whether it is content.
fn run(mut command: Command) -> (bool, String) {
    let output = command.output().unwrap();
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

/// A copy of what is validated, with one text in one file replaced.
fn broken(file: &str, good: &str, bad: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["", "schema", "examples"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
        for entry in fs::read_dir(protocol().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.file_name().unwrap();
                fs::copy(&path, dir.path().join(folder).join(name)).unwrap();
            }
        }
    }
    let path = dir.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(good), "{good} is not in {file}");
    fs::write(path, text.replace(good, bad)).unwrap();
    dir
}

/// It is content with what is here, and with nothing that is broken.
fn judges(validator: fn(&Path) -> Option<Command>, breaks: &[(&str, &str, &str)]) {
    let Some(command) = validator(&protocol()) else {
        println!("skipped: the validator is not installed (cargo xtask setup)");
        return;
    };
    let (content, said) = run(command);
    assert!(content && said.trim() == "valid", "{said}");
    for (file, good, bad) in breaks {
        let dir = broken(file, good, bad);
        let (content, said) = run(validator(dir.path()).unwrap());
        assert!(!content, "takes {bad} in {file}: {said}");
        assert!(said.contains(file.rsplit('/').next().unwrap()), "{said}");
    }
}

#[test]
fn openapi_is_valid_and_so_are_the_examples() {
    judges(
        openapi,
        &[
            ("openapi.yaml", "in: path", "in: road"),
            (
                "openapi.yaml",
                "#/components/responses/Busy",
                "#/components/responses/Lazy",
            ),
            ("examples/alert-raised.json", "\"minor\"", "\"big\""),
        ],
    );
}

#[test]
fn asyncapi_is_valid_and_so_are_the_examples() {
    judges(
        asyncapi,
        &[
            ("asyncapi.yaml", "action: send", "action: shout"),
            ("asyncapi.yaml", "./schema/gap.json", "./schema/gaps.json"),
            ("examples/gap.json", "\"count\": 1200", "\"count\": 0"),
        ],
    );
}
