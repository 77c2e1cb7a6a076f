//! The Merkle root over a request's items (RFC 6962 §2.1, SHA-256): binds the items to the
//! signed head.

use sha2::{Digest, Sha256};

/// The most items that one root covers.
pub const MAX_LEAVES: usize = 1024;

/// Why there is no root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a Merkle root covers 1 to {MAX_LEAVES} items, got {got}")]
pub struct MerkleError {
    /// Items offered.
    pub got: usize,
}

/// The root: `H(0x00 ‖ item)` for one item, else `H(0x01 ‖ left ‖ right)` with the largest
/// power of two below the number of items on the left.
///
/// # Security
/// Leaves and nodes have different prefixes, so no item passes for a subtree, and the root
/// fixes number and order of the items.
///
/// # Errors
/// [`MerkleError`] for no item, or more than [`MAX_LEAVES`].
pub fn merkle_root(items: &[impl AsRef<[u8]>]) -> Result<[u8; 32], MerkleError> {
    if items.is_empty() || items.len() > MAX_LEAVES {
        return Err(MerkleError { got: items.len() });
    }
    Ok(subtree(items))
}

/// `items` is not empty.
fn subtree(items: &[impl AsRef<[u8]>]) -> [u8; 32] {
    if let [item] = items {
        return Sha256::new().chain_update([0]).chain_update(item.as_ref()).finalize().into();
    }
    let (left, right) = items.split_at(items.len().next_power_of_two() / 2);
    let (left, right) = (subtree(left), subtree(right));
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The inputs and roots of the test suite of certificate-transparency (merkle_tree_test).
    const ITEMS: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let items: Vec<Vec<u8>> = ITEMS.iter().map(|i| hex::decode(i).unwrap()).collect();
        for (n, root) in ROOTS.iter().enumerate() {
            assert_eq!(hex::encode(merkle_root(&items[..=n]).unwrap()), *root, "{} items", n + 1);
        }
    }

    #[test]
    fn an_item_that_looks_like_a_node_has_another_root() {
        let leaf = |item: &[u8]| merkle_root(&[item]).unwrap();
        let forged = [&[1][..], &leaf(b"a"), &leaf(b"b")].concat();
        let children = [&leaf(b"a")[..], &leaf(b"b")].concat();
        let root = merkle_root(&[b"a", b"b"]).unwrap();
        assert_ne!(merkle_root(&[forged]).unwrap(), root);
        assert_ne!(merkle_root(&[children]).unwrap(), root);
    }

    #[test]
    fn order_number_and_repeats_change_the_root() {
        let root = merkle_root(&[b"a", b"b", b"c"]).unwrap();
        assert_ne!(merkle_root(&[b"b", b"a", b"c"]).unwrap(), root);
        assert_ne!(merkle_root(&[b"a", b"b"]).unwrap(), root);
        assert_ne!(merkle_root(&[b"a", b"b", b"c", b"c"]).unwrap(), root); // CVE-2012-2459
    }

    #[test]
    fn no_item_and_too_many_are_refused() {
        assert_eq!(merkle_root(&[[0; 1]; 0]), Err(MerkleError { got: 0 }));
        assert!(merkle_root(&[[0]; MAX_LEAVES]).is_ok());
        assert_eq!(merkle_root(&[[0]; MAX_LEAVES + 1]), Err(MerkleError { got: 1025 }));
    }
}
