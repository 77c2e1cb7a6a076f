//! A Quorate node: holds one share of each key
