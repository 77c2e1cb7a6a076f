#![no_main]

use quorate_ceremony::{PrepareRequest, StepKind};

libfuzzer_sys::fuzz_target!(|data: &[u8]| quorate_fuzz::request::<PrepareRequest>(
    StepKind::Prepare,
    data
));
