//! Asks a set of nodes, hedges, collects
