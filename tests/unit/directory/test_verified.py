"""The table of verified passwords: shared by forked processes, bounded, forgetful."""

import os

from shared.directory.verified import BUCKET_ENTRIES, BUCKETS, REMEMBERED, VerifiedPasswords


def test_a_pair_is_known_in_every_process_and_for_a_while():
    now = [1000.0]
    verified = VerifiedPasswords(lambda: now[0])
    assert not verified.knows("$hash", "secret")
    child = os.fork()
    if not child:
        verified.add("$hash", "secret")
        os._exit(0)
    os.waitpid(child, 0)
    assert verified.knows("$hash", "secret")
    assert not verified.knows("$hash", "Secret")
    assert not verified.knows("$other hash", "secret")
    now[0] += REMEMBERED
    assert not verified.knows("$hash", "secret")


def test_the_oldest_of_a_bucket_gives_way():
    now = [0.0]
    verified = VerifiedPasswords(lambda: now[0])
    count = BUCKETS * BUCKET_ENTRIES * 2
    for number in range(count):
        now[0] += 0.001
        verified.add("$hash", str(number))
    known = [number for number in range(count) if verified.knows("$hash", str(number))]
    assert BUCKETS * BUCKET_ENTRIES * 0.9 < len(known) <= BUCKETS * BUCKET_ENTRIES
    assert known[-1] == count - 1


def test_a_pair_that_is_added_again_takes_one_place():
    verified = VerifiedPasswords()
    for _ in range(BUCKET_ENTRIES + 1):
        verified.add("$hash", "\udc80")
    assert sum(any(digest) for _, digest, _ in verified._bucket(verified._digest("$hash", "\udc80"))) == 1
