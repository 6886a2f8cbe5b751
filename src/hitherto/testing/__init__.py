"""Public, for tests of feature stores: the reference implementation of the semantics, and a fake clock."""

from hitherto.testing.clock import FakeClock
from hitherto.testing.reference import Answer, Publication, ReferenceStore, Row, RunCounts, Status, Stored, read_row

__all__ = ["Answer", "FakeClock", "Publication", "ReferenceStore", "Row", "RunCounts", "Status", "Stored", "read_row"]
