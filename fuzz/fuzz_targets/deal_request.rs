#![no_main]

use quorate_ceremony::{DealRequest, StepKind};

libfuzzer_sys::fuzz_target!(|data: &[u8]| quorate_fuzz::request::<DealRequest>(
    StepKind::Deal,
    data
));
