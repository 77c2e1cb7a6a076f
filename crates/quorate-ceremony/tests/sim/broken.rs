//! What an invariant says when it does not hold.

/// An invariant that is broken, by its name, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) rule: &'static str,
    pub(crate) how: String,
}

pub(crate) type Held = Result<(), Broken>;

/// Goes on if the condition holds; else the rule with this name is broken.
macro_rules! holds {
    ($rule:expr, $condition:expr, $($how:tt)+) => {
        if !$condition {
            return Err(crate::broken::Broken { rule: $rule, how: format!($($how)+) });
        }
    };
}
pub(crate) use holds;
