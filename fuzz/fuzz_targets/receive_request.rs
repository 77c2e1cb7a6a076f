#![no_main]

use quorate_ceremony::{ReceiveRequest, StepKind};

libfuzzer_sys::fuzz_target!(|data: &[u8]| quorate_fuzz::request::<ReceiveRequest>(
    StepKind::Receive,
    data
));
