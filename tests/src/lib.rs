//! Harness: whole clusters of real processes, built in one line.
