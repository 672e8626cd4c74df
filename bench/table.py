# SPDX-License-Identifier: MIT
"""Collects samples and prints them: medians with the ratio to Go, and the spread. Without Go the
ratio is to aglet without its flight recorder, if that was asked for."""
import os
import resource
import statistics
from pathlib import Path

from rows import COLUMNS, MORE_IS_BETTER


def number(value):
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


class Table:
    """Rows in the order of their first sample: id -> title, unit, samples of each peer."""

    def __init__(self):
        self.titles, self.units, self.samples, self.notes = {}, {}, {}, {}

    def row(self, row, title):
        self.titles.setdefault(row, title)
        self.samples.setdefault(row, {})

    def add(self, row, peer, value, unit):
        self.units[row] = unit
        self.samples[row].setdefault(peer, []).append(value)

    def note(self, peer, text):
        """Keeps a failure once, however many runs had it."""
        self.notes.setdefault(f"{COLUMNS[peer]}: {text}")

    def _cell(self, row, peer):
        samples = self.samples[row]
        if peer not in samples:
            return "-"
        median = statistics.median(samples[peer])
        text = number(median)
        base = self._base(row)
        if base and peer != base:
            text += f" ({median / statistics.median(samples[base]):.{3 if base != 'go' else 2}f})"
        return text

    def _base(self, row):
        return next((peer for peer in ("go", "unrecorded")
                     if any(self.samples[row].get(peer, []))), None)

    def mean_ratio(self, peer, base):
        """The geometric mean over the rows that have both."""
        ratios = [statistics.median(samples[peer]) / statistics.median(samples[base])
                  for samples in self.samples.values()
                  if any(samples.get(base, [])) and any(samples.get(peer, []))]
        return statistics.geometric_mean(ratios) if ratios else None

    def _range(self, row, peer):
        values = self.samples[row].get(peer)
        return f"{number(min(values))} .. {number(max(values))}" if values else "-"

    def _label(self, row):
        unit = self.units.get(row, "")
        return unit + (", more is better" if unit == MORE_IS_BETTER else "")

    def markdown(self, peers, cell=None):
        peers = [p for p in peers if any(p in s for s in self.samples.values())]
        lines = [["row", "what", "unit", *(COLUMNS[p] for p in peers)]]
        for row, title in self.titles.items():
            if self.samples[row]:
                cells = [(cell or self._cell)(row, p) for p in peers]
                lines.append([row, title, self._label(row), *cells])
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        # Words to the left, numbers to the right.
        rule = ["-" * w if i < 3 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
        lines.insert(1, rule)
        return "\n".join("| " + " | ".join(
            c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths)))
            + " |" for line in lines)

    def spread(self, peers):
        return self.markdown(peers, self._range)


def machine():
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text()
                  .splitlines() if line.startswith("model name")), os.uname().machine)
    kib = int(Path("/proc/meminfo").read_text().split()[1])
    virtual = ", virtual machine" if "hypervisor" in Path("/proc/cpuinfo").read_text() else ""
    return f"{model}, {os.cpu_count()} cores, {kib / 1024 / 1024:.0f} GiB{virtual}"


class Clock:
    """How much of the machine went to others, from now on: to the host's other guests, and to
    programs here that are none of ours. Figures from a machine that was shared are rough."""

    def __init__(self):
        self.begin = self._read()

    @staticmethod
    def _read():
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        user, nice, system, idle, iowait, irq, softirq, stolen = map(int, fields)
        ours = sum(sum(resource.getrusage(who)[:2])
                   for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        tick = os.sysconf("SC_CLK_TCK")
        busy = (user + nice + system) / tick - ours
        return (user + nice + system + idle + iowait + irq + softirq + stolen) / tick, busy, \
            stolen / tick

    def shares(self):
        """Percent of all processor time: other programs, the host."""
        everything, busy, stolen = (b - a for a, b in zip(self.begin, self._read()))
        return 100 * max(0, busy) / everything, 100 * stolen / everything
