#![no_main]

use quorate_ceremony::{ActivateRequest, StepKind};

libfuzzer_sys::fuzz_target!(|data: &[u8]| quorate_fuzz::request::<ActivateRequest>(
    StepKind::Activate,
    data
));
