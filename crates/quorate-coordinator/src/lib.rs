//! A Quorate coordinator: gathers quorums, holds no share
