//! Sans-IO ceremonies that change shares: the node's steps and the conductor's
