"""How often the flags of held-back rows are wrong, on facts that are known to be harmless.

    python -m bench.flags --size quick|full --seed N

flagged: of so many built-in facts (quick: the first 5,000; full: all), those that a flag of texts would hold back.
microseconds_per_fact: what looking at one costs.
"""

from __future__ import annotations

import time

from bench.common import Bench
from kb_store.factbank import load_facts
from kb_store.flags import text_flags

_FACTS: dict[str, int | None] = {"quick": 5000, "full": None}


def main() -> None:
    """Prints one JSON object."""
    bench = Bench("flags", description=__doc__ or "")
    facts = list(load_facts(limit=_FACTS[bench.size]))
    began = time.perf_counter()
    flagged = [content for content in facts if text_flags(content)]
    seconds = time.perf_counter() - began
    figures = {"flagged": len(flagged), "microseconds_per_fact": 1e6 * seconds / len(facts)}
    bench.finish(figures, n=len(facts))


if __name__ == "__main__":
    main()
