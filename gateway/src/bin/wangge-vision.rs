//! The vision child, which `wangge run` starts: see [`wangge::vision`].

fn main() -> std::process::ExitCode {
    wangge::vision::child_main()
}
