#![no_main]

libfuzzer_sys::fuzz_target!(
    |data: &[u8]| quorate_fuzz::request::<quorate_ceremony::SurveyRequest>(
        quorate_ceremony::StepKind::Survey,
        data
    )
);
