#![no_main]

use quorate_ceremony::{RetireRequest, StepKind};

libfuzzer_sys::fuzz_target!(|data: &[u8]| quorate_fuzz::request::<RetireRequest>(
    StepKind::Retire,
    data
));
