import pytest

from tests.postgres_server import postgres_server as postgres_server

pytest.register_assert_rewrite(
    "tests.contract.reading_rules",
    "tests.contract.writing_rules",
    "tests.contract.request_rules",
    "tests.contract.import_rules",
    "tests.contract.namespace_rules",
    "tests.contract.queue_rules",
    "tests.contract.audit_rules",
    "tests.contract.review_rules",
)
