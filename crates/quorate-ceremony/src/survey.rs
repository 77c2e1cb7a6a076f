//! What a node shows of a key version. Reads, and changes nothing.

use crate::{
    Fault,
    message::{SurveyAnswer, SurveyRequest, survey_bundle_fits},
    state::{Attempt, VersionState},
    step::Done,
};
use quorate_types::Format;

pub(crate) fn survey(state: &VersionState, request: &SurveyRequest) -> Result<Done, Fault> {
    let standing = &state.standing;
    // Of a genesis that was born, and of what is not above, nothing is left to be finished.
    let active = match (&state.attempt, standing.highest_active()) {
        (Some(Attempt::Active(_, _, Some(proof))), Some(_)) if request.bundle == 0 => {
            Some((**proof).clone())
        }
        _ if standing.in_force.is_none() => standing.active.clone(),
        _ => None,
    };
    let answer = SurveyAnswer {
        birth: state.record.clone(),
        newest: state.newest.clone(),
        active,
        noted: standing.noted.clone(),
        live: standing.live.clone(),
        bundle: state.bundle.clone().filter(|b| request.bundle != 0 && survey_bundle_fits(b)),
    };
    Ok(Done { persist: Vec::new(), audit: Vec::new(), send: answer.to_bytes() })
}
