//! The operator's and user's tool of Quorate
