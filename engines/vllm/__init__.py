"""Facts inside vLLM: a plugin for its workers, a process that runs it, and an engine that the service talks to.

Two sides that share only `wire` and `adapter_file`. In vLLM's environment: `plugin`, `model`, `attention`, `plan`,
`row_table`, `worker` (inside vLLM's workers), `core`, `row_ledger`, `host` (the process around it). In the service's:
`engine`, `supervisor`, `row_shelf`.
"""
