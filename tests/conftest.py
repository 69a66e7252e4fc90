"""Settings of every test."""

import os

# One thread each: the tests run in as many processes as there are cores, and threads that wait for each other on a
# busy machine are forty times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import HealthCheck, settings

# The same examples in every run, and no time limits: other work may slow this machine.
settings.register_profile(
    "steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# Fresh examples, many of them: `HYPOTHESIS_PROFILE=explore python -m pytest tests/property`.
settings.register_profile("explore", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
