"""What icp-py-core needs of the binding of blst, which no package index has, on pyblst, which is blst too."""

from __future__ import annotations

import pyblst

BLST_SUCCESS = 0
BLST_VERIFY_FAIL = 5
_G2_GENERATOR = bytes.fromhex(
    "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
    "024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
)


class P2_Affine:  # noqa: N801
    def __init__(self, compressed: bytes) -> None:
        self.point = pyblst.BlstP2Element.uncompress(compressed)


class P1_Affine:  # noqa: N801
    def __init__(self, compressed: bytes) -> None:
        self.point = pyblst.BlstP1Element.uncompress(compressed)

    def core_verify(self, public_key: P2_Affine, hash_or_encode: bool, message: bytes, dst: bytes, _aug: None) -> int:
        assert hash_or_encode
        hashed = pyblst.BlstP1Element.hash_to_group(message, dst)
        signed = pyblst.miller_loop(self.point, pyblst.BlstP2Element.uncompress(_G2_GENERATOR))
        expected = pyblst.miller_loop(hashed, public_key.point)
        return BLST_SUCCESS if pyblst.final_verify(signed, expected) else BLST_VERIFY_FAIL


class Pairing:
    """The second way, asked when the first one fails: it knows nothing more."""

    def __init__(self, *_given: object) -> None:
        pass

    def aggregate(self, *_given: object) -> None:
        pass

    def finalverify(self) -> bool:
        return False
