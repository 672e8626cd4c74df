# SPDX-License-Identifier: MIT
"""OpenMetrics text against the rules of its specification, as far as our metrics use it:
https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md

problems(text) yields what is wrong, line by line.
"""
import re

NUMBER = r"(?:[+-]?Inf|NaN|[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"'
LABELS = rf"\{{(?:{LABEL}(?:,{LABEL})*)?\}}"
SAMPLE = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)({LABELS})? ({NUMBER})(?: ({NUMBER}))?"
                    rf"(?: # ({LABELS}) ({NUMBER})(?: ({NUMBER}))?)?")
META = re.compile(r"# (HELP|TYPE|UNIT) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)")
SUFFIXES = {"counter": ["_total", "_created"], "gauge": [""], "info": ["_info"], "unknown": [""],
            "histogram": ["_bucket", "_count", "_sum", "_created"]}
BACKSLASH = re.compile(r"\\(?![\\n\"])")


class Family:
    def __init__(self, name):
        self.name, self.kind, self.seen, self.samples = name, "unknown", set(), 0
        self.buckets = {}  # by the labels without le: [(le, count)]


def float_of(text):
    return float(text.replace("Inf", "inf"))


def labels_of(text):
    return dict(pair.split("=", 1) for pair in re.findall(LABEL, text or ""))


def exemplar_problems(family, name, labels, exemplar, value):
    if not (family.kind == "counter" and name.endswith("_total")
            or family.kind == "histogram" and name.endswith("_bucket")):
        yield "an exemplar where none may be"
    length = sum(len(k) + len(v[1:-1].encode().decode("unicode_escape", "replace"))
                 for k, v in labels_of(exemplar).items())
    if length > 128:
        yield f"an exemplar with labels of {length} characters"
    if "le" in labels and float_of(value) > float_of(labels["le"].strip('"')):
        yield "an exemplar outside of its bucket"


def sample_problems(family, line):
    match = SAMPLE.fullmatch(line)
    if not match:
        yield "no sample"
        return
    name, labels, value, _, exemplar, exemplar_value, _ = match.groups()
    family.samples += 1
    if name not in [family.name + suffix for suffix in SUFFIXES[family.kind]]:
        yield f"no name of the {family.kind} {family.name}"
    labels = labels_of(labels)
    key = (name, tuple(sorted(labels.items())))
    if key in family.seen:
        yield "the same sample again"
    family.seen.add(key)
    if exemplar:
        yield from exemplar_problems(family, name, labels, exemplar, exemplar_value)
    if name.endswith("_bucket"):
        le = labels.pop("le", '""').strip('"')
        if le != "+Inf" and not re.fullmatch(r"[+-]?\d+\.\d+|[+-]?\d\.\d+e[+-]\d\d", le):
            yield f"le={le} is no canonical number"
        family.buckets.setdefault(tuple(sorted(labels.items())), []).append((le, int(value)))
    if family.kind == "counter" and float_of(value) < 0:
        yield "a negative counter"


def bucket_problems(family):
    for labels, buckets in family.buckets.items():
        limits = [float_of(le) for le, _ in buckets]
        counts = [count for _, count in buckets]
        if limits != sorted(set(limits)) or limits[-1] != float("inf"):
            yield f"buckets {limits} of {family.name}{labels}"
        if counts != sorted(counts):
            yield f"counts {counts} of {family.name}{labels}"


def problems(text):
    lines = text.split("\n")
    if lines[-2:] != ["# EOF", ""] or lines.count("# EOF") != 1:
        yield "no end, or something behind it"
    family, done = None, set()
    for number, line in enumerate(lines[:-2], 1):
        meta = META.fullmatch(line)
        found = []
        if meta and (family is None or meta[2] != family.name):
            found += [*bucket_problems(family)] if family else []
            if meta[2] in done:
                found.append("its family was told before")
            family = Family(meta[2])
            done.add(meta[2])
        if meta:
            if family.samples:
                found.append("meta data behind samples")
            if meta[1] == "TYPE":
                family.kind = meta[3]
                if meta[3] not in SUFFIXES:
                    found.append("no type")
            if meta[1] == "HELP" and BACKSLASH.search(meta[3].replace("\\\\", "")):
                found.append("a backslash alone")
        elif family is None:
            found.append("a sample without a family")
        else:
            found += sample_problems(family, line)
        yield from (f"line {number}: {problem}: {line}" for problem in found)
    if family:
        yield from bucket_problems(family)
