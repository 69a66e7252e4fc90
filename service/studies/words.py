"""A check's verdict as one sentence for people."""

from __future__ import annotations

from circuits.hallucination.check import Check, Verdict
from service.commands.checking import Checked

_SUSPECTED = "Nobody knows the right answer here; by what happens inside it is probably made up: "


def explained(checked: Checked) -> str:
    """The sentence. It holds the caller's own texts, and the fact's: untrusted wherever it is shown."""
    found = checked.check
    if found.verdict is Verdict.OK:
        return _fine(checked)
    if checked.source == "none":
        return f"{_SUSPECTED}{_unknown_truth(found.verdict, checked)}{_chance(found)}"
    return f"{_known_truth(found, checked)}{_repaired(found)}"


def _fine(checked: Checked) -> str:
    if checked.source == "none":
        return f"Nothing speaks against “{checked.answer}”, and nobody knows the right answer{_chance(checked.check)}."
    where = "what the store holds" if checked.source == "store" else "the right answer that was given"
    return f"“{checked.answer}” is {where}."


def _unknown_truth(verdict: Verdict, checked: Checked) -> str:
    return {
        Verdict.NO_MOVER: f"no head carries anything about “{checked.subject}” to the answer.",
        Verdict.NEVER_ENRICHED: f"what the model holds of “{checked.subject}” does not hold “{checked.answer}”.",
        Verdict.WRONG_MOVER: f"what heads carry over from “{checked.subject}” is unlike that of right answers.",
    }.get(verdict, "")


def _known_truth(found: Check, checked: Checked) -> str:
    truth, subject = checked.truth, checked.subject
    match found.verdict:
        case Verdict.LATE_OVERRIDE:
            stood = f"“{truth}” stood among the first ten and above “{checked.answer}” at mid-depth"
            return f"{stood}, and below it from layer {(found.overtaken or 0) // 2} on."
        case Verdict.NEVER_ENRICHED:
            return f"The model never held “{truth}” in what it knows of “{subject}”."
        case Verdict.WRONG_MOVER:
            best = max(found.drivers, key=lambda driver: driver.through_subject)
            heads = f"What heads bring from “{subject}” (first of all {best.node})"
            return f"{heads} speaks for “{checked.answer}” rather than “{truth}”."
        case Verdict.OUTWEIGHED:
            heads = f"What heads bring from “{subject}” speaks for “{truth}”"
            return f"{heads}; other parts outweigh it with “{checked.answer}”."
        case Verdict.NOT_PREFERRED:
            return f"The model itself prefers “{truth}” to “{checked.answer}”."
        case _:
            return f"No head carries “{truth}” from “{subject}” to the answer."


def _repaired(found: Check) -> str:
    repair = found.repair
    if repair is None or found.verdict is Verdict.NOT_PREFERRED:
        return ""
    if not repair.repaired:
        return " Injecting the fact does not repair it."
    through = ", ".join(str(head) for head, _, _ in repair.readers[:3])
    return f" Injecting the fact repairs it{f', through {through}' if through else ''}."


def _chance(found: Check) -> str:
    return "" if found.chance_wrong is None else f" (chance of being wrong: {found.chance_wrong:.0%})"
