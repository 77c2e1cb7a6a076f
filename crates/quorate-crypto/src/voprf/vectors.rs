//! RFC 9497 A.1.2: ristretto255-SHA512, VOPRF mode, every vector, bit for bit; and the same
//! from three of five shares of the vectors' key.

use super::{
    tests::{Toy, hex32, verified_alone},
    *,
};
use crate::{SecretScalar, ShareIndex, Threshold, dleq::Proof, sharing::combine_points};

const KEY: &str = "e6f73f344b79b379f1a0dd37e07ff62e38d9f71345ce62ae3a9bc60b04ccd909";
const PUBLIC: &str = "c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e";

const BLIND: &str = "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706";
const SCALAR: &str = "222a5e897cf59db8145db8d16e597e8facb80ae7d4e26d9881aa6f61d645fc0e";
const OUTPUT_1: &str = "b58cfbe118e0cb94d79b5fd6a6dafb98764dff49c14e1770b566e42402da1a7d\
                        a4d8527693914139caee5bd03903af43a491351d23b430948dd50cde10d32b3c";
const OUTPUT_2: &str = "8a9a2f3c7f085b65933594309041fc1898d42d0858e59f90814ae90571a6df60\
                        356f4610bf816f27afdd84f47719e480906d27ecd994985890e5f539e7ea74b6";

struct Vector {
    inputs: &'static [&'static str],
    blinds: &'static [&'static str],
    blinded: &'static [&'static str],
    evaluated: &'static [&'static str],
    proof: &'static str,
    proof_scalar: &'static str,
    outputs: &'static [&'static str],
}

const VECTORS: [Vector; 3] = [
    Vector {
        inputs: &["00"],
        blinds: &[BLIND],
        blinded: &["863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945"],
        evaluated: &["aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e"],
        proof: "ddef93772692e535d1a53903db24367355cc2cc78de93b3be5a8ffcc6985dd06\
                6d4346421d17bf5117a2a1ff0fcb2a759f58a539dfbe857a40bce4cf49ec600d",
        proof_scalar: SCALAR,
        outputs: &[OUTPUT_1],
    },
    Vector {
        inputs: &["5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"],
        blinds: &[BLIND],
        blinded: &["cc0b2a350101881d8a4cba4c80241d74fb7dcbfde4a61fde2f91443c2bf9ef0c"],
        evaluated: &["60a59a57208d48aca71e9e850d22674b611f752bed48b36f7a91b372bd7ad468"],
        proof: "401a0da6264f8cf45bb2f5264bc31e109155600babb3cd4e5af7d181a2c9dc0a\
                67154fabf031fd936051dec80b0b6ae29c9503493dde7393b722eafdf5a50b02",
        proof_scalar: SCALAR,
        outputs: &[OUTPUT_2],
    },
    Vector {
        inputs: &["00", "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"],
        blinds: &[BLIND, SCALAR],
        blinded: &[
            "863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945",
            "90a0145ea9da29254c3a56be4fe185465ebb3bf2a1801f7124bbbadac751e654",
        ],
        evaluated: &[
            "aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e",
            "cc5ac221950a49ceaa73c8db41b82c20372a4c8d63e5dded2db920b7eee36a2a",
        ],
        proof: "cc203910175d786927eeb44ea847328047892ddf8590e723c37205cb74600b0a\
                5ab5337c8eb4ceae0494c2cf89529dcf94572ed267473d567aeed6ab873dee08",
        proof_scalar: "419c4f4f5052c53c45f3da494d2b67b220d02118e0857cdbcf037f9ea84bbe0c",
        outputs: &[OUTPUT_1, OUTPUT_2],
    },
];

fn scalar(hex: &str) -> SecretScalar {
    SecretScalar::from_bytes(&hex32(hex)).unwrap()
}

fn blindings(vector: &Vector) -> Vec<Blinding> {
    let blind = |(input, blind): (&&str, &&str)| {
        Blinding::with(&hex::decode(input).unwrap(), scalar(blind)).unwrap()
    };
    vector.inputs.iter().zip(vector.blinds).map(blind).collect()
}

#[test]
fn rfc_9497_vectors_with_the_whole_key() {
    let (key, public) = (scalar(KEY), EncodedPoint::decode(&hex32(PUBLIC)).unwrap());
    assert_eq!(key.public(), *public.point());
    for vector in &VECTORS {
        let blindings = blindings(vector);
        let elements: Vec<_> = blindings.iter().map(|b| *b.element()).collect();
        let hex = |bytes: &PointBytes| hex::encode(bytes);
        assert_eq!(elements.iter().map(|e| hex(e.bytes())).collect::<Vec<_>>(), vector.blinded);
        let evaluated = evaluate(&key, &elements);
        assert_eq!(evaluated.iter().map(hex).collect::<Vec<_>>(), vector.evaluated);
        let r = scalar(vector.proof_scalar);
        let proof = proof::prove_with(&key, &public, &elements, &evaluated, &r).unwrap();
        assert_eq!(hex::encode(proof.to_bytes()), vector.proof);
        let bytes = hex::decode(vector.proof).unwrap().try_into().unwrap();
        let points =
            verify(&public, &elements, &evaluated, &Proof::from_bytes(&bytes).unwrap()).unwrap();
        let output =
            |(b, p): (&Blinding, &EncodedPoint)| hex::encode(b.finalize(p.point()).expose());
        let outputs: Vec<_> = blindings.iter().zip(&points).map(output).collect();
        assert_eq!(outputs, vector.outputs);
    }
}

/// Each share proves as a server of the RFC under its verifying key; what `t` of them answer
/// combines to the vectors' evaluation elements and outputs.
#[test]
fn rfc_9497_vectors_from_three_of_five_shares() {
    let toy = Toy::of(&scalar(KEY), 3);
    for vector in &VECTORS {
        let blindings = blindings(vector);
        let elements: Vec<_> = blindings.iter().map(|b| *b.element()).collect();
        for nodes in [[1, 2, 3], [5, 3, 1], [2, 4, 5]] {
            let partials: Vec<_> =
                nodes.iter().map(|i| (*i, verified_alone(&toy, *i, &elements))).collect();
            for (j, blinding) in blindings.iter().enumerate() {
                let points: Vec<_> = partials
                    .iter()
                    .map(|(i, p)| (ShareIndex::new(*i).unwrap(), *p[j].point()))
                    .collect();
                let n = combine_points(Threshold::new(3, 5).unwrap(), &points).unwrap();
                assert_eq!(hex::encode(crate::group::encode_point(&n)), vector.evaluated[j]);
                assert_eq!(hex::encode(blinding.finalize(&n).expose()), vector.outputs[j]);
            }
        }
    }
}
