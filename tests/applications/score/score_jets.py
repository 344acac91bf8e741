"""What the files of jets in these tests hold."""

#: Jets of a file; of these, places of jets that no network can read.
JETS, NOT_FINITE, EMPTY, NEGATIVE = 61, 5, 22, 47
NAMES = ("QCD", "top")
SLOTS = 8
