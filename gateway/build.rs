//! Notes when the program was built: no clock that says an earlier time is right.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    // Reproducible builds give the time that the build is to have.
    let built = std::env::var("SOURCE_DATE_EPOCH").unwrap_or_else(|_| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(0, |since| since.as_secs()).to_string()
    });
    println!("cargo:rustc-env=WANGGE_BUILT={built}");
}
