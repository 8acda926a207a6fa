"""One script for all backends."""

from modelkeep_conformance import script
from modelkeep_conformance.kit import Kit
from modelkeep_conformance.suite import clause


@clause("E3")
def test_the_recorded_script_has_the_recorded_outcomes(kit: Kit) -> None:
    for call, owed, outcome in script.compare(kit):
        raise AssertionError(f"{call} gave {outcome}, where it owes {owed}")
