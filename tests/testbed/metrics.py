"""Reads the Prometheus text format, as much of it as tests need: samples by name and labels."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SAMPLE = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?$")
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)",?')


@dataclass(frozen=True, slots=True)
class Sample:
    """One line: a name, its labels and a number."""

    name: str
    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Samples:
    """Everything one `/metrics` answer held."""

    all: tuple[Sample, ...]

    def select(self, name: str, **labels: str) -> Iterator[Sample]:
        """Yield the samples of this name that carry at least these labels."""
        for sample in self.all:
            if sample.name == name and labels.items() <= sample.labels.items():
                yield sample

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of this name that carry at least these labels; 0 for none."""
        return sum(sample.value for sample in self.select(name, **labels))

    def names(self) -> frozenset[str]:
        """Return every name that occurs."""
        return frozenset(sample.name for sample in self.all)


def parse_metrics(text: str) -> Samples:
    """Read an answer of `/metrics`. Raises ValueError with the line that is none."""
    samples: list[Sample] = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        found = _SAMPLE.match(line)
        if found is None:
            raise ValueError(f"not a sample: {line}")
        labels = {name: value.replace(r"\"", '"') for name, value in _LABEL.findall(found[2] or "")}
        samples.append(Sample(found[1], labels, float(found[3])))
    return Samples(tuple(samples))
