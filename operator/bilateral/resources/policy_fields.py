"""The field types of policies: servers, tools, parameters, amounts and where a feed is.

As in `bilateral.resources.fields`, each has a maximum length and an anchored pattern that the API
server and the operator read alike. No name holds a ``*``: a policy names things one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import Field, Strict, StringConstraints

from bilateral.protocol.numbers import SAFE_INTEGER_MAX
from bilateral.protocol.policies.policy import MAX_ALLOWED_VALUES
from bilateral.resources.fields import PathUrl, ShownName
from bilateral.resources.model import SET, Rule

_NO_STAR: Final = Rule[str]("!self.contains('*')", "must be one name: a policy has no wildcards")

ReachedName = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[!-)+-~]+$"), _NO_STAR
]
"""The name of a tool or of a tool server: printable ASCII without spaces and without ``*``."""

ParameterBound = Annotated[int, Strict(), Field(ge=0, le=SAFE_INTEGER_MAX)]
"""A number that a parameter must not exceed."""

AllowedValues = Annotated[tuple[ShownName, ...], Field(min_length=1, max_length=MAX_ALLOWED_VALUES), SET]
"""The values that a parameter may have, as they are written."""

_PARAMETER: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_PARAMETERS_MESSAGE: Final = "must name parameters with 1 to 128 letters, digits, '_', '.', ':' or '-'"
_CEL_PARAMETERS: Final = "self.all(name, name.matches('^[A-Za-z0-9_.:-]{1,128}$'))"


def are_parameters(names: Iterable[str]) -> bool:
    """Whether all of these may name parameters."""
    return all(_PARAMETER.fullmatch(name) is not None for name in names)


ParameterBounds = Annotated[
    dict[str, ParameterBound],
    Field(max_length=32),
    Rule[dict[str, int]](_CEL_PARAMETERS, _PARAMETERS_MESSAGE, are_parameters),
]
"""Upper bounds by the name of the parameter."""

ParameterValues = Annotated[
    dict[str, AllowedValues],
    Field(max_length=32),
    Rule[dict[str, tuple[str, ...]]](_CEL_PARAMETERS, _PARAMETERS_MESSAGE, are_parameters),
]
"""Allowed values by the name of the parameter."""

Currency = Annotated[str, StringConstraints(max_length=16, pattern=r"^[A-Z][A-Z0-9]{2,15}$")]
"""A currency as ISO 4217 spells it."""

FeedUrl = PathUrl
"""Where a feed is: https, a host in lower case, an optional port and a path."""

SubjectName = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^\P{Cc}+$")]
"""A whole subject as RFC 4514 text."""
