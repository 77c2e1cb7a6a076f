#!/usr/bin/env python3
"""Checks tdh2, voprf, wrap, frost, sign, stream and answer.json with nothing but Python's standard library.

An implementation of its own, straight from RFC 9496 (ristretto255), RFC 9497 (VOPRF), RFC 8032
and RFC 9591 (Ed25519, FROST), FIPS 197 and SP 800-38D (AES-GCM), RFC 8439 (ChaCha20-Poly1305), RFC
7748 (X25519), RFC 9180 (HPKE) and the pages beside
it. Slow, and not constant time: for checking only. Run it without arguments.
"""

import hashlib
import hmac
import json
import pathlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493

# --- ristretto255 -------------------------------------------------------------------------------

D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def negative(x):
    return x % P & 1


def absolute(x):
    return -x % P if negative(x) else x % P


def sqrt_ratio(u, v):
    """(u/v is a square, its non-negative root, or that of i*u/v)."""
    r = u * v**3 * pow(u * v**7, (P - 5) // 8, P) % P
    check = v * r * r % P
    correct, flipped, flipped_i = check == u % P, check == -u % P, check == -u * SQRT_M1 % P
    if flipped or flipped_i:
        r = r * SQRT_M1 % P
    return correct or flipped, absolute(r)


INVSQRT_A_MINUS_D = sqrt_ratio(1, -1 - D)[1]
SQRT_AD_MINUS_ONE = 25063068953384623474111414158702152701244531502492656460079210482610430750235
IDENTITY = (0, 1, 1, 0)


def add(p, q):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = p, q
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * D * t1 * t2 % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def neg(p):
    return -p[0] % P, p[1], p[2], -p[3] % P


def mul(k, p):
    total = IDENTITY
    for bit in bin(k % L)[2:]:
        total = add(total, total)
        if bit == "1":
            total = add(total, p)
    return total


def equal(p, q):
    return p[0] * q[1] % P == p[1] * q[0] % P or p[1] * q[1] % P == p[0] * q[0] % P


def decode(b):
    s = int.from_bytes(b, "little")
    assert len(b) == 32 and s < P and not negative(s), "not canonical"
    ss = s * s % P
    u1, u2 = (1 - ss) % P, (1 + ss) % P
    v = (-D * u1 * u1 - u2 * u2) % P
    square, inv = sqrt_ratio(1, v * u2 * u2)
    den_x, den_y = inv * u2 % P, inv * inv * u2 * v % P
    x, y = absolute(2 * s * den_x), u1 * den_y % P
    t = x * y % P
    assert square and not negative(t) and y != 0, "not canonical"
    assert s != 0, "the identity"
    return x, y, 1, t


def encode(p):
    x, y, z, t = p
    u1, u2 = (z + y) * (z - y) % P, x * y % P
    inv = sqrt_ratio(1, u1 * u2 * u2)[1]
    den1, den2 = inv * u1 % P, inv * u2 % P
    z_inv = den1 * den2 * t % P
    den_inv = den2
    if negative(t * z_inv):
        x, y, den_inv = y * SQRT_M1 % P, x * SQRT_M1 % P, den1 * INVSQRT_A_MINUS_D % P
    if negative(x * z_inv):
        y = -y
    return absolute(den_inv * (z - y)).to_bytes(32, "little")


def elligator(t):
    r = SQRT_M1 * t * t % P
    u = (r + 1) * (1 - D * D) % P
    v = (-1 - r * D) * (r + D) % P
    square, s = sqrt_ratio(u, v)
    c = -1
    if not square:
        s, c = -absolute(s * t) % P, r
    n = (c * (r - 1) * (D - 1) ** 2 - v) % P
    w0, w1 = 2 * s * v % P, n * SQRT_AD_MINUS_ONE % P
    w2, w3 = (1 - s * s) % P, (1 + s * s) % P
    return w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P


def from_uniform(b):
    half = lambda c: elligator((int.from_bytes(c, "little") % 2**255) % P)
    return add(half(b[:32]), half(b[32:]))


def scalar(b):
    s = int.from_bytes(b, "little")
    assert len(b) == 32 and s < L, "not canonical"
    return s


B = decode(bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"))
B2 = from_uniform(hashlib.sha512(b"quorate/v1/group/second-generator.").digest())


def H(label, *parts):
    data = b""
    for part in (b"quorate/v1/" + label, *parts):
        data += len(part).to_bytes(8, "big") + part
    return hashlib.sha512(data).digest()


def H_scalar(label, *parts):
    return int.from_bytes(H(label, *parts), "little") % L


# --- AES-256-GCM --------------------------------------------------------------------------------


def xtime(a):
    return (a << 1 ^ (0x1B if a & 0x80 else 0)) & 0xFF


def make_sbox():
    box, p, q = [0x63] * 256, 1, 1
    while True:
        p ^= xtime(p)
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        if q & 0x80:
            q ^= 0x09
        rotate = lambda n: (q << n | q >> 8 - n) & 0xFF
        box[p] = q ^ rotate(1) ^ rotate(2) ^ rotate(3) ^ rotate(4) ^ 0x63
        if p == 1:
            return box


SBOX = make_sbox()
DOUBLE = [xtime(a) for a in range(256)]


def expand_key(key):
    words = [list(key[i : i + 4]) for i in range(0, 32, 4)]
    rcon = 1
    for i in range(8, 60):
        w = words[-1][:]
        if i % 8 == 0:
            w = [SBOX[b] for b in w[1:] + w[:1]]
            w[0] ^= rcon
            rcon = xtime(rcon)
        elif i % 8 == 4:
            w = [SBOX[b] for b in w]
        words.append([a ^ b for a, b in zip(words[-8], w)])
    return [sum(words[i : i + 4], []) for i in range(0, 60, 4)]


SHIFT = [0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11]


def encrypt_block(keys, block):
    s = [a ^ b for a, b in zip(block, keys[0])]
    for rnd in range(1, 15):
        s = [SBOX[s[i]] for i in SHIFT]
        if rnd < 14:
            out = []
            for c in range(0, 16, 4):
                a, b, d, e = s[c : c + 4]
                x = a ^ b ^ d ^ e
                out += [
                    a ^ x ^ DOUBLE[a ^ b],
                    b ^ x ^ DOUBLE[b ^ d],
                    d ^ x ^ DOUBLE[d ^ e],
                    e ^ x ^ DOUBLE[e ^ a],
                ]
            s = out
        s = [a ^ b for a, b in zip(s, keys[rnd])]
    return bytes(s)


def ghash(h, data):
    table, v = [], int.from_bytes(h, "big")
    for _ in range(128):
        table.append(v)
        v = v >> 1 ^ 0xE1 << 120 if v & 1 else v >> 1
    y = 0
    for i in range(0, len(data), 16):
        x, y = y ^ int.from_bytes(data[i : i + 16], "big"), 0
        for bit in range(128):
            if x >> 127 - bit & 1:
                y ^= table[bit]
    return y.to_bytes(16, "big")


def pad16(b):
    return b + bytes(-len(b) % 16)


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def aes_gcm_seal(key, nonce, aad, text):
    keys = expand_key(key)
    stream = (encrypt_block(keys, nonce + i.to_bytes(4, "big")) for i in range(2, 2**32))
    body = b"".join(xor(text[i : i + 16], next(stream)) for i in range(0, len(text), 16))
    lengths = (8 * len(aad)).to_bytes(8, "big") + (8 * len(body)).to_bytes(8, "big")
    tag = ghash(encrypt_block(keys, bytes(16)), pad16(aad) + pad16(body) + lengths)
    return body + xor(tag, encrypt_block(keys, nonce + b"\0\0\0\1"))


# --- HPKE: X25519, HKDF-SHA256, ChaCha20-Poly1305 -----------------------------------------------


def x25519(k, u):
    k = int.from_bytes(k, "little") & ~7 & (1 << 255) - 1 | 1 << 254
    x1 = int.from_bytes(u, "little") % 2**255
    x2, z2, x3, z3 = 1, 0, x1, 1
    for t in range(254, -1, -1):
        bit = k >> t & 1
        if bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
        if bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
    return (x2 * pow(z2, -1, P) % P).to_bytes(32, "little")


KEM, SUITE = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x03"


def extract(suite, salt, label, ikm):
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def expand(suite, prk, label, info):
    return hmac.digest(prk, b"\x00\x20HPKE-v1" + suite + label + info + b"\x01", "sha256")


def chacha_block(key, counter, nonce):
    words = lambda b: [int.from_bytes(b[i : i + 4], "little") for i in range(0, len(b), 4)]
    start = words(b"expand 32-byte k" + key + counter.to_bytes(4, "little") + nonce)
    s = start[:]

    def quarter(a, b, c, d):
        for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = s[x] + s[y] & 0xFFFFFFFF
            v = s[z] ^ s[x]
            s[z] = (v << n | v >> 32 - n) & 0xFFFFFFFF

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return b"".join((a + b & 0xFFFFFFFF).to_bytes(4, "little") for a, b in zip(s, start))


def chacha_seal(key, nonce, aad, text):
    body = b"".join(
        xor(text[i : i + 64], chacha_block(key, 1 + i // 64, nonce)) for i in range(0, len(text), 64)
    )
    data = pad16(aad) + pad16(body) + len(aad).to_bytes(8, "little") + len(body).to_bytes(8, "little")
    one_time = chacha_block(key, 0, nonce)[:32]
    r = int.from_bytes(one_time[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    acc = 0
    for i in range(0, len(data), 16):
        acc = (acc + int.from_bytes(data[i : i + 16] + b"\x01", "little")) * r % (2**130 - 5)
    tag = (acc + int.from_bytes(one_time[16:], "little")) % 2**128
    return body + tag.to_bytes(16, "little")


# --- the vectors --------------------------------------------------------------------------------


def hexed(value):
    return bytes.fromhex(value)


def check_proof(case):
    """The proof of one partial: see docs/protocol/tdh2.md."""
    proof = case["proof"]
    node = next(p for p in case["partials"] if p["index"] == proof["node"])
    public, u, answer = hexed(node["share_public"]), hexed(case["U"]), hexed(node["partial"])
    c, s = scalar(hexed(proof["proof"])[:32]), scalar(hexed(proof["proof"])[32:])
    seed = H(b"dleq/seed.", hexed(proof["context"]), encode(B), public, u, answer)
    m, z = decode(u), decode(answer)
    a = add(mul(s, B), mul(c, decode(public)))
    a_bar = add(mul(s, m), mul(c, z))
    said = H_scalar(b"dleq/challenge.", seed, *map(encode, (m, z, a, a_bar)))
    assert said == c, "proof of a partial"


def check_tdh2(file):
    assert encode(B2) == hexed(file["B2"])
    for case in file["cases"]:
        get = lambda name: hexed(case[name])
        f, key, version = get("fingerprint"), get("key"), case["version"].to_bytes(4, "big")
        y, label, header = get("public_key"), get("label"), get("header")
        r, s = scalar(get("r")), scalar(get("s"))
        coefficients = [scalar(hexed(c)) for c in case["coefficients"]]
        assert encode(mul(coefficients[0], B)) == y
        points = [encode(mul(k, p)) for k, p in ((r, B), (r, B2), (s, B), (s, B2))]
        assert points == [get(n) for n in ("U", "U2", "W", "W2")]
        shared = encode(mul(r, decode(y)))
        assert shared == get("shared")
        dem = H(b"tdh2/dem.", f, key, version, points[0], shared, label)
        assert dem == get("wrapping_key") + get("commitment")
        wrapped = aes_gcm_seal(dem[:32], bytes(12), header, get("payload_key"))
        assert wrapped == get("wrapped")
        e = H_scalar(
            b"tdh2/proof.", f, key, version, y, label, *points, header, dem[32:], wrapped
        )
        assert e == scalar(get("e"))
        z = (s + e * r) % L
        ciphertext = b"".join(points) + z.to_bytes(32, "little") + dem[32:] + wrapped
        assert ciphertext == get("ciphertext") and len(ciphertext) == 240
        u, u2, w, w2 = map(decode, points)
        assert equal(mul(z, B), add(w, mul(e, u))) and equal(mul(z, B2), add(w2, mul(e, u2)))

        total = IDENTITY
        indices = [p["index"] for p in case["partials"]]
        for p in case["partials"]:
            i = p["index"]
            share = sum(c * pow(i, k, L) for k, c in enumerate(coefficients)) % L
            assert share == scalar(hexed(p["share"]))
            assert encode(mul(share, B)) == hexed(p["share_public"])
            assert encode(mul(share, u)) == hexed(p["partial"])
            lam = 1
            for j in indices:
                if j != i:
                    lam = lam * j * pow(j - i, -1, L) % L
            total = add(total, mul(lam, decode(hexed(p["partial"]))))
        assert encode(total) == shared
        check_proof(case)


# RFC 9497, mode 1 (VOPRF), ristretto255-SHA512.
VOPRF = b"OPRFV1-\x01-ristretto255-SHA512"


def prefixed(b):
    return len(b).to_bytes(2, "big") + b


def expand_message_xmd(message, dst):
    dst += bytes([len(dst)])
    b0 = hashlib.sha512(bytes(128) + message + b"\x00\x40\x00" + dst).digest()
    return hashlib.sha512(b0 + b"\x01" + dst).digest()


def hash_to_scalar(message):
    return int.from_bytes(expand_message_xmd(message, b"HashToScalar-" + VOPRF), "little") % L


def voprf_blind(message, r):
    return encode(mul(r, from_uniform(expand_message_xmd(message, b"HashToGroup-" + VOPRF))))


def voprf_output(message, point):
    return hashlib.sha512(prefixed(message) + prefixed(encode(point)) + b"Finalize").digest()


def voprf_proof(secret, elements, partials, r):
    """GenerateProof, and what it goes through: seed, weights, M, Z, proof."""
    public = encode(mul(secret, B))
    seed = hashlib.sha512(prefixed(public) + prefixed(b"Seed-" + VOPRF)).digest()
    weights = [
        hash_to_scalar(
            prefixed(seed) + i.to_bytes(2, "big") + prefixed(c) + prefixed(d) + b"Composite"
        )
        for i, (c, d) in enumerate(zip(elements, partials))
    ]
    m = z = IDENTITY
    for w, c, d in zip(weights, elements, partials):
        m, z = add(m, mul(w, decode(c))), add(z, mul(w, decode(d)))
    points = [public] + [encode(p) for p in (m, z, mul(r, B), mul(r, m))]
    c = hash_to_scalar(b"".join(map(prefixed, points)) + b"Challenge")
    proof = c.to_bytes(32, "little") + ((r - c * secret) % L).to_bytes(32, "little")
    return seed, weights, points[1], points[2], proof


def check_voprf(file):
    many = lambda values: [hexed(v) for v in values]
    scalars = lambda values: [scalar(hexed(v)) for v in values]
    key = scalar(hexed(file["rfc9497"]["key"]))
    assert encode(mul(key, B)) == hexed(file["rfc9497"]["public_key"])
    for case in file["rfc9497"]["cases"]:
        inputs, blinds = many(case["inputs"]), scalars(case["blinds"])
        elements = [voprf_blind(i, r) for i, r in zip(inputs, blinds)]
        assert elements == many(case["elements"])
        evaluated = [encode(mul(key, decode(e))) for e in elements]
        assert evaluated == many(case["evaluated"])
        r = scalar(hexed(case["proof_scalar"]))
        assert voprf_proof(key, elements, evaluated, r)[-1] == hexed(case["proof"])
        unblinded = [mul(pow(r, -1, L), decode(e)) for r, e in zip(blinds, evaluated)]
        outputs = [voprf_output(i, n) for i, n in zip(inputs, unblinded)]
        assert outputs == many(case["outputs"])

    case = file["derivation"]
    coefficients, blinds = scalars(case["coefficients"]), scalars(case["blinds"])
    assert encode(mul(coefficients[0], B)) == hexed(case["public_key"])
    inputs = [H(b"voprf/input.", hexed(case["context"]), i) for i in many(case["inputs"])]
    assert inputs == many(case["private_inputs"])
    elements = [voprf_blind(i, r) for i, r in zip(inputs, blinds)]
    rho = scalars(case["check_weights"])

    def weighted(points):
        total = IDENTITY
        for w, p in zip(rho, points):
            total = add(total, mul(w, decode(p)))
        return encode(total)

    elements.append(weighted(elements))
    assert elements == many(case["elements"])
    totals = [IDENTITY] * len(inputs)
    indices = [n["index"] for n in case["nodes"]]
    for node in case["nodes"]:
        i, partials = node["index"], many(node["partials"])
        share = sum(c * pow(i, k, L) for k, c in enumerate(coefficients)) % L
        assert share == scalar(hexed(node["share"]))
        assert encode(mul(share, B)) == hexed(node["share_public"])
        assert partials == [encode(mul(share, decode(e))) for e in elements]
        r = scalar(hexed(node["proof_scalar"]))
        seed, weights, m, z, proof = voprf_proof(share, elements, partials, r)
        assert (seed, m, z, proof) == tuple(hexed(node[n]) for n in ("seed", "M", "Z", "proof"))
        assert weights == scalars(node["weights"])
        assert weighted(partials[:-1]) == partials[-1]
        lam = 1
        for j in indices:
            if j != i:
                lam = lam * j * pow(j - i, -1, L) % L
        totals = [add(t, mul(lam, decode(p))) for t, p in zip(totals, partials)]
    unblinded = [mul(pow(r, -1, L), t) for r, t in zip(blinds, totals)]
    assert [voprf_output(i, n) for i, n in zip(inputs, unblinded)] == many(case["outputs"])


def check_wrap(file):
    context, other = hexed(file["context"]), hexed(file["other_data"])
    version = file["version"].to_bytes(4, "big")
    scope = (hexed(file["fingerprint"]), file["key_name"].encode(), version)
    coefficients = [scalar(hexed(c)) for c in file["coefficients"]]
    for case in file["wrappings"]:
        header, nonce = hexed(case["header"]), hexed(case["nonce"])
        hashed = H(b"wrap/input.", *scope, context, nonce)
        assert hashed == hexed(case["hashed_input"])
        point = voprf_blind(hashed, 1)
        assert point == hexed(case["point"])
        total = IDENTITY
        for i, share, partial in zip(file["nodes"], file["shares"], case["partials"]):
            own = sum(c * pow(i, k, L) for k, c in enumerate(coefficients)) % L
            assert own == scalar(hexed(share))
            assert encode(mul(own, decode(point))) == hexed(partial)
            lam = 1
            for j in file["nodes"]:
                if j != i:
                    lam = lam * j * pow(j - i, -1, L) % L
            total = add(total, mul(lam, decode(hexed(partial))))
        shared = encode(total)
        assert shared == hexed(case["shared"]) == encode(mul(coefficients[0], decode(point)))
        wide = H(b"wrap/dem.", *scope, header, context, nonce, shared)
        assert (wide[:32], wide[32:]) == (hexed(case["key"]), hexed(case["commitment"]))
        sealed = aes_gcm_seal(wide[:32], bytes(12), other, hexed(file["plaintext"]))
        assert sealed == hexed(case["ciphertext"]) + hexed(case["tag"])


# --- FROST(Ed25519, SHA-512) --------------------------------------------------------------------


FROST = b"FROST-ED25519-SHA512-v1"


def ed_base():
    """RFC 8032's base point. That of ristretto255 stands for it and for others beside it."""
    y = 4 * pow(5, -1, P) % P
    x = sqrt_ratio(y * y - 1, D * y * y + 1)[1]
    return x, y, 1, x * y % P


ED_B = ed_base()


def ed_encode(p):
    x, y, z, _ = p
    x, y = x * pow(z, -1, P) % P, y * pow(z, -1, P) % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def sha512_scalar(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L


def to_bytes(k):
    return (k % L).to_bytes(32, "little")


def check_frost(file):
    case = file["rfc9591"]
    coefficients = [scalar(hexed(c)) for c in case["coefficients"]]
    public, message = hexed(case["public_key"]), hexed(case["message"])
    assert ed_encode(mul(coefficients[0], ED_B)) == public
    share = lambda i: sum(a * i**k for k, a in enumerate(coefficients)) % L
    for s in case["shares"]:
        assert to_bytes(share(s["index"])) == hexed(s["share"])
    points, listed = {}, b""
    for s in case["signers"]:
        i, secret = s["index"], to_bytes(share(s["index"]))
        nonces = []
        for which in ("hiding", "binding"):
            fresh = hexed(s[which + "_randomness"])
            nonce = sha512_scalar(FROST, b"nonce", fresh, secret)
            assert to_bytes(nonce) == hexed(s[which + "_nonce"])
            assert ed_encode(mul(nonce, ED_B)) == hexed(s[which])
            nonces.append(nonce)
        points[i] = nonces
        listed += to_bytes(i) + hexed(s["hiding"]) + hexed(s["binding"])
    h4 = hashlib.sha512(FROST + b"msg" + message).digest()
    h5 = hashlib.sha512(FROST + b"com" + listed).digest()
    r, rho = IDENTITY, {}
    for s in case["signers"]:
        i = s["index"]
        bound = public + h4 + h5 + to_bytes(i)
        assert bound == hexed(s["binding_factor_input"])
        rho[i] = sha512_scalar(FROST, b"rho", bound)
        assert to_bytes(rho[i]) == hexed(s["binding_factor"])
        hiding, binding = points[i]
        r = add(r, add(mul(hiding, ED_B), mul(rho[i] * binding, ED_B)))
    c, z = sha512_scalar(ed_encode(r), public, message), 0
    for s in case["signers"]:
        i, others = s["index"], [o for o in points if o != s["index"]]
        weight = 1
        for o in others:
            weight = weight * o * pow(o - i, -1, L) % L
        hiding, binding = points[i]
        part = (hiding + rho[i] * binding + weight * share(i) * c) % L
        assert to_bytes(part) == hexed(s["signature_share"])
        z += part
    assert ed_encode(r) + to_bytes(z) == hexed(case["signature"])
    # RFC 8032: z*B = R + c*Y.
    assert equal_ed(mul(z, ED_B), add(r, mul(c, mul(coefficients[0], ED_B))))
    check_edwards_dealing(file["dealing"])


def ed_decode(b):
    """A canonical point of prime order, not the identity; None for all else."""
    sign, y = b[31] >> 7, int.from_bytes(b, "little") & (1 << 255) - 1
    square, x = sqrt_ratio(y * y - 1, D * y * y + 1)
    if y >= P or not square or (x == 0 and sign):
        return None
    x = -x % P if x & 1 != sign else x
    point, total = (x, y, 1, x * y % P), IDENTITY
    for bit in bin(L)[2:]:
        total = add(total, total)
        if bit == "1":
            total = add(total, point)
    return point if equal_ed(total, IDENTITY) and not equal_ed(point, IDENTITY) else None


def ed_verify(public, message, signature):
    """RFC 8032 without the cofactor, `R` of more than small order."""
    y, z = ed_decode(public), int.from_bytes(signature[32:], "little")
    if y is None or z >= L:
        return False
    r = add(mul(z, ED_B), neg(mul(sha512_scalar(signature[:32], public, message), y)))
    small = equal_ed(mul(8, r), IDENTITY)
    return not small and ed_encode(r) == signature[:32]


def check_sign(file):
    coefficients = [scalar(hexed(c)) for c in file["coefficients"]]
    commitments = [ed_encode(mul(c, ED_B)) for c in coefficients]
    assert commitments == [hexed(c) for c in file["commitments"]]
    public, shares = commitments[0], {}
    assert public == hexed(file["public_key"]) and len(coefficients) == file["threshold"]
    for node in file["nodes"]:
        share = shares[node["index"]] = sum(a * node["index"] ** k for k, a in enumerate(coefficients)) % L
        assert to_bytes(share) == hexed(node["share"])
        assert ed_encode(mul(share, ED_B)) == hexed(node["verifying_key"])
    for case in file["signatures"]:
        check_signature(case, public, shares)
    for case in file["refused_points"]:
        assert ed_decode(hexed(case["point"])) is None, case["what"]
    for case in file["refused_signatures"]:
        given = [hexed(case[n]) for n in ("public_key", "message", "signature")]
        assert not ed_verify(*given), case["what"]


def check_signature(case, public, shares):
    message, signers = hexed(case["message"]), case["signers"]
    who, nonces, listed, r = [s["index"] for s in signers], {}, b"", IDENTITY
    for s in signers:
        i, pair = s["index"], []
        for which in ("hiding", "binding"):
            nonce = sha512_scalar(FROST, b"nonce", hexed(s[which + "_randomness"]), to_bytes(shares[i]))
            assert ed_encode(mul(nonce, ED_B)) == hexed(s[which])
            pair.append(nonce)
        nonces[i] = pair
        listed += to_bytes(i) + hexed(s["hiding"]) + hexed(s["binding"])
    assert listed == hexed(case["encoded_commitments"])
    h4 = hashlib.sha512(FROST + b"msg" + message).digest()
    h5 = hashlib.sha512(FROST + b"com" + listed).digest()
    rho, weights = {}, {}
    for s in signers:
        i = s["index"]
        rho[i] = sha512_scalar(FROST, b"rho", public + h4 + h5 + to_bytes(i))
        assert to_bytes(rho[i]) == hexed(s["binding_factor"])
        weights[i] = 1
        for j in who:
            if j != i:
                weights[i] = weights[i] * j * pow(j - i, -1, L) % L
        assert to_bytes(weights[i]) == hexed(s["lagrange"])
        r = add(r, mul((nonces[i][0] + rho[i] * nonces[i][1]) % L, ED_B))
    assert ed_encode(r) == hexed(case["group_commitment"])
    c = sha512_scalar(ed_encode(r), public, message)
    assert to_bytes(c) == hexed(case["challenge"])
    right = {i: to_bytes(d + rho[i] * e + weights[i] * shares[i] * c) for i, (d, e) in nonces.items()}
    assert [right[i] for i in who] == [hexed(s["signature_share"]) for s in signers]
    z = sum(int.from_bytes(share, "little") for share in right.values())
    signature = ed_encode(r) + to_bytes(z)
    assert signature == hexed(case["signature"]) and ed_verify(public, message, signature)
    for spoilt in case["spoilt"]:
        given = dict(zip(who, map(hexed, spoilt["signature_shares"])))
        wrong = [i for i in who if given[i] != right[i]]
        total = sum(int.from_bytes(share, "little") for share in given.values())
        scalars = all(int.from_bytes(share, "little") < L for share in given.values())
        # Errors that cancel name nobody: the sum is the signature's.
        assert spoilt["cheaters"] == ([] if scalars and total % L == z % L else wrong), spoilt["what"]
        assert wrong, spoilt["what"]


def hkdf_sha512(salt, ikm, info):
    """32 bytes: one block."""
    prk = hmac.digest(salt, ikm, "sha512")
    return hmac.digest(prk, info + b"\x01", "sha512")[:32]


def knowledge(encoder, base, fresh, secret, label, *parts):
    """A proof of knowledge; the nonce hashes the whole label."""
    whole = b"quorate/v1/" + label
    nonce = H_scalar(b"schnorr/nonce.", fresh, to_bytes(secret), whole, *parts)
    public, commitment = encoder(mul(secret, base)), encoder(mul(nonce, base))
    c = H_scalar(label, *parts, public, commitment)
    return to_bytes(c) + to_bytes(nonce + c * secret)


def check_edwards_dealing(case):
    ctx, identity, u16 = hexed(case["ctx"]), hexed(case["dealer_identity"]), lambda i: i.to_bytes(2, "big")
    dealer, fresh = u16(case["dealer"]), [hexed(f) for f in case["fresh"]]
    coefficients = [scalar(hexed(c)) for c in case["coefficients"]]
    commitments = b"".join(ed_encode(mul(c, ED_B)) for c in coefficients)
    group = b"edwards25519"
    statement = H(b"dealing/statement.", ctx, dealer, identity, commitments, group)[:32]
    proof = knowledge(ed_encode, ED_B, fresh[0], coefficients[0], b"dealing/pok.", statement)
    stored = b"".join(map(to_bytes, coefficients))
    secret = H_scalar(b"dealing/ephemeral-secret.", fresh[1], stored, statement)
    ephemeral = encode(mul(secret, B))
    body = u16(len(coefficients)) + commitments + proof + ephemeral + u16(len(case["receivers"]))
    for receiver in case["receivers"]:
        i, key = receiver["index"], hexed(receiver["key"])
        assert encode(mul(scalar(hexed(receiver["secret"])), B)) == key
        binding = H(b"dealing/seal.", statement, ephemeral, u16(i), key)
        shared = encode(mul(secret, decode(key)))
        sealing = hkdf_sha512(b"quorate/v1/dealing/seal.", shared, binding)
        value = sum(a * i**k for k, a in enumerate(coefficients))
        body += u16(i) + chacha_seal(sealing, bytes(12), binding, to_bytes(value))
    last = knowledge(encode, B, fresh[2], secret, b"dealing/ephemeral.", statement, body)
    assert body + last == hexed(case["bytes"])
    assert H(b"dealing/hash.", ctx, body + last)[:32] == hexed(case["hash"])
    named = H(b"dealing/commit.", hexed(case["scope"]), dealer, identity, commitments, group)[:32]
    assert named == hexed(case["commitment_hash"])


def equal_ed(p, q):
    return ed_encode(p) == ed_encode(q)


def check_stream(file):
    for case in file["cases"]:
        size = case["plaintext_len"]
        text = bytes((7 * i + i // 251) % 256 for i in range(size))
        chunks = [text[i : i + 65536] for i in range(0, size, 65536)] or [b""]
        sealed = b""
        assert len(chunks) == len(case["chunks"])
        for i, (chunk, said) in enumerate(zip(chunks, case["chunks"])):
            nonce = bytes(7) + i.to_bytes(4, "big") + bytes([i + 1 == len(chunks)])
            out = aes_gcm_seal(hexed(file["key"]), nonce, b"", chunk)
            assert (nonce, len(out), out[-16:]) == (hexed(said["nonce"]), said["len"], hexed(said["tag"]))
            sealed += out
        assert hashlib.sha256(sealed).digest() == hexed(case["sealed_sha256"])
        assert "sealed" not in case or sealed == hexed(case["sealed"])


def check_answer(file):
    secrets = {}
    for name in ("node_answer_key", "client_reply_key", "ephemeral_key"):
        pair = file[name]
        secret = expand(KEM, extract(KEM, b"", b"dkp_prk", hexed(pair["ikm"])), b"sk", b"")
        assert secret == hexed(pair["secret"])
        assert x25519(secret, (9).to_bytes(32, "little")) == hexed(pair["public"])
        secrets[name] = secret
    node, client, ephemeral = (hexed(file[n]["public"]) for n in secrets)
    # The receiver's side: AuthDecap.
    mine = secrets["client_reply_key"]
    prk = extract(KEM, b"", b"eae_prk", x25519(mine, ephemeral) + x25519(mine, node))
    shared = expand(KEM, prk, b"shared_secret", ephemeral + client + node)
    assert shared == hexed(file["shared_secret"])
    info = b"quorate/v1/answer/info." + hexed(file["caller_info"])
    assert info == hexed(file["info"])
    psk_id_hash = extract(SUITE, b"", b"psk_id_hash", b"")
    context = b"\x02" + psk_id_hash + extract(SUITE, b"", b"info_hash", info)
    secret = extract(SUITE, shared, b"secret", b"")
    exporter = expand(SUITE, secret, b"exp", context)
    assert exporter == hexed(file["exporter_secret"])
    key = expand(SUITE, exporter, b"sec", b"quorate/v1/answer/key.")
    assert key == hexed(file["answer_key"])
    for answer in file["answers"]:
        nonce = bytes(4) + answer["counter"].to_bytes(8, "big")
        sealed = chacha_seal(key, nonce, hexed(file["aad"]), hexed(file["plaintext"]))
        assert sealed == hexed(answer["sealed"])


if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    checks = {
        "tdh2": check_tdh2,
        "voprf": check_voprf,
        "wrap": check_wrap,
        "frost": check_frost,
        "sign": check_sign,
        "answer": check_answer,
        "stream": check_stream,
    }
    for name, check in checks.items():
        check(json.loads((here / f"{name}.json").read_text()))
        print(f"{name}.json: good")
