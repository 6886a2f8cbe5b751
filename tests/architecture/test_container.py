"""The container files: what they promise, read as text, since not every machine has an engine to build them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_image_runs_as_somebody_without_rights_and_answers_a_health_check():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER (?!root|0)\S+", text, flags=re.MULTILINE)
    assert "HEALTHCHECK" in text
    assert re.search(r"^ENTRYPOINT \[", text, flags=re.MULTILINE), "the exec form passes signals on"


def test_the_services_are_read_only_and_redis_never_evicts():
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    services = re.findall(r"^  (\w+):\n", text.split("services:", 1)[1].split("\nvolumes:", 1)[0], flags=re.MULTILINE)
    assert {"redis", "server", "materialize"} <= set(services)
    assert "maxmemory-policy noeviction" in text
    assert "appendonly yes" in text
    # Our own services share one anchor; Redis has the line for itself.
    assert text.count("read_only: true") == 2
    assert "no-new-privileges:true" in text
