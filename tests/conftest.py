"""For all tests: a property is judged by what it finds, not by how long an example took.

Machines that run these tests are shared, and an example may wait for its turn. What has to be fast is measured in
``bench/``, and what has to end has a limit of its own.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("bilateral", deadline=None)
settings.load_profile("bilateral")
