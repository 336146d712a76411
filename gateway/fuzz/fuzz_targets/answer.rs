#![no_main]

use std::sync::Once;

// The gateway's child survives a panic of the parser, so one is no finding here: the fuzzer's
// hook, which aborts, is replaced. Hangs, aborts and memory are what is looked for.
static HOOK: Once = Once::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    HOOK.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let _ = wangge::vision::fuzz::answer(data);
});
