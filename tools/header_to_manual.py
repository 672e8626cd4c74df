#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the reference of the public headers: HTML pages and man pages.

    tools/header_to_manual.py INCLUDE_DIR OUTPUT_DIR

Writes OUTPUT_DIR/html/index.html, a page for each header beside it, and in OUTPUT_DIR/man/man3 a
page for each header (aglet-chan.3) and a short one for each name, so that `man ag_send` finds it.

What a header says is taken as it stands. The comment on top is the page's introduction; a comment
covers the declarations below it up to the next empty line; a comment like `--- Server ---` is a
heading. In the text `code` is code, lines indented by four more are an example, lines that begin
with a dash are a list, and the words of LABELS with a colon begin a paragraph of their own. Names
that begin with ag__ or AG__ are left out. The bare words of aglet/short.h have no man pages of
their own, which would hide those of the system.
"""
import argparse
import html
import re
import sys
from pathlib import Path

LABELS = ["Waits", "Returns", "Panics", "Order", "From", "Owns", "Limit", "Go", "Kotlin",
          "Usable when zero", "Copyable", "Threads", "Freed by"]
LABEL = re.compile(r"(?:(?<=^)|(?<=[.;)\s]))((?:" + "|".join(LABELS) + r")(?:, (?:" +
                   "|".join(LABELS) + r"))*):\s+", re.M)
NAME = re.compile(r"\b(?:ag_(?!_)|AG_(?!_))\w+")
HIDDEN = {"AG_API"}


class Entry:
    """What one comment covers."""

    def __init__(self, comment):
        self.comment, self.names, self.code = comment, [], []


class Header:
    """A public header: its introduction, then headings (str) and entries in their order."""

    def __init__(self, name, text):
        self.name, self.items, self.intro = name, [], ""
        self.seen = set()
        self.parse(text)
        title = re.match(r"aglet[\w/]*\.h - (.+?)(?=\.\s|\.$|\n\n|\Z)", self.intro, re.S)
        self.title = re.sub(r"\s+", " ", title.group(1)) if title else ""
        self.intro = re.sub(r"^aglet[\w/]*\.h - ", "", self.intro)
        self.intro = self.intro[:1].upper() + self.intro[1:]

    def entries(self):
        return [item for item in self.items if isinstance(item, Entry)]

    def parse(self, text):
        entry = None
        for kind, piece in pieces(text):
            if kind == "empty":
                entry = None
            elif kind == "comment":
                plain = comment_text(piece)
                heading = re.fullmatch(r"-+ (.*?)\.? -+", plain)
                if heading:
                    if heading.group(1).startswith("Below"):
                        break
                    self.items.append(heading.group(1))
                elif not self.intro and plain.startswith("aglet"):
                    self.intro = plain
                else:
                    entry = Entry(plain)
                    if piece.startswith("/**"):
                        self.items.append(entry)
            else:
                entry = self.declaration(piece, entry)
        self.items = [item for item in self.items if isinstance(item, str) or item.names]
        for item in self.entries():
            use = item.code[0] + ":"
            if len(item.names) == 1 and item.comment.startswith(use):
                rest = item.comment[len(use):].lstrip()
                item.comment = rest[:1].upper() + rest[1:]
        self.items = [item for at, item in enumerate(self.items) if isinstance(item, Entry) or
                      at + 1 < len(self.items) and isinstance(self.items[at + 1], Entry)]

    def declaration(self, code, entry):
        names = [name for name in declared(code) if name not in self.seen]
        if not names:
            return entry
        entry = entry or Entry("")
        if entry not in self.items:
            self.items.append(entry)
        self.seen.update(names)
        entry.names += names
        entry.code.append(shown(code, names, entry.comment))
        return entry


def comment_text(comment):
    """A comment without its stars."""
    body = re.sub(r"^/\*+|\*+/$", "", comment)
    lines = [re.sub(r"^\s*\* ?", "", line).rstrip() for line in body.split("\n")]
    return "\n".join(lines).strip("\n ").strip()


def pieces(text):
    """(kind, text): `empty` lines, a `comment`, or `code`, a whole declaration or directive."""
    text = re.sub(r'extern "C\+\+" \{.*?^\}$', "", text, flags=re.S | re.M)
    at = 0
    while at < len(text):
        if text.startswith("/*", at):
            end = text.index("*/", at) + 2
            yield "comment", text[at:end]
        elif text[at] == "#":
            end = at
            while True:
                end = text.find("\n", end) % (len(text) + 1)
                if end == len(text) or text[end - 1] != "\\":
                    break
                end += 1
            yield "code", text[at:end]
        elif text[at] == "\n":
            end = at + 1
            if text[end:end + 1] == "\n":
                yield "empty", ""
        elif text[at].isspace():
            end = at + 1
        else:
            end = end_of_declaration(text, at)
            yield "code", text[at:end]
        at = end


def end_of_declaration(text, at):
    """Behind its semicolon, or behind the brace of a function's body."""
    depth, is_function = 0, text.startswith("static inline", at)
    while at < len(text):
        if text.startswith("/*", at):
            at = text.index("*/", at) + 2
            continue
        char = text[at]
        depth += char in "({"
        depth -= char in ")}"
        at += 1
        if depth == 0 and char == ";":
            return at
        if depth == 0 and char == "}" and is_function:
            return at
        if depth == 0 and text.endswith(("AG__BEGIN\n", "AG__END\n"), 0, at):
            return at
    return at


def no_comments(code):
    return re.sub(r"/\*.*?\*/", " ", code, flags=re.S)


def declared(code):
    """The public names that a piece of code declares."""
    plain = no_comments(code)
    macro = re.match(r"#\s*define (\w+)", plain)
    if macro:
        found = [macro.group(1)]
    elif plain.startswith("#"):
        found = []
    elif re.match(r"(typedef )?enum\b", plain):
        body = plain[plain.index("{") + 1:plain.rindex("}")]
        found = re.findall(r"(?:^|,)\s*(\w+)", body) + re.findall(r"\}\s*(\w+)\s*;", plain)
    elif re.match(r"(typedef )?struct (\w+) \{", plain):
        found = re.findall(r"^(?:typedef )?struct (\w+) \{", plain)
        found += re.findall(r"\}\s*(\w+)\s*;\s*$", plain)
    elif plain.startswith("typedef"):
        pointer = re.search(r"\(\*(\w+)\)\(", plain)
        found = [pointer.group(1) if pointer else re.search(r"(\w+)\s*;\s*$", plain).group(1)]
    else:
        # ag_chan(int) may be the type; the name is the last one that is called, or the last one.
        head = plain.split("{")[0].split("__attribute__")[0]
        head = re.sub(r"\bag_chan\([^)]*\)", "ag__chan", head)
        head = re.sub(r"\((\w+)\)\(", r"\1(", head)
        called = re.search(r"\b(\w+)\(", head.replace("AG_API ", ""))
        plain_name = re.search(r"(\w+)\s*;\s*$", head)
        found = [match.group(1) for match in [called or plain_name] if match]
    found = [name for name in dict.fromkeys(found) if NAME.fullmatch(name) and name not in HIDDEN]
    word = re.match(r"#\s*define (\w+)(?:\([^)]*\))? ag_\1\b", plain)
    return [word.group(1)] if word else found


def shown(code, names, comment):
    """How a declaration is shown: macros as they are used, without what is not promised."""
    macro = re.match(r"#\s*define (\w+)(\([^)]*\))?[ \t\\]*(.*)", code, re.S)
    if macro:
        name = re.escape(names[0])
        use = re.search(r"(?:^|\n|[.;] )((?:const )?(?:\w+ \**)?\**" + name + r"\([^)]*\)):",
                        comment)
        if use:
            return re.sub(r"\s+", " ", use.group(1)).strip()
        value = macro.group(3).split("\n")[0].strip().rstrip("\\").strip()
        plain = macro.group(2) is None and re.fullmatch(r"\(?[-\w() +*]+\)?", value) and \
            "ag__" not in value and "AG__" not in value
        return names[0] + (macro.group(2) or "") + (f" = {value}" if plain and value else "")
    code = re.sub(r"\bAG_API\s+", "", code)
    code = re.sub(r"\s*__attribute__\(\(.*?\)\)\s*(?=[;{])", "", code, flags=re.S)
    if code.startswith("static inline"):
        code = code.split("{")[0].removeprefix("static inline ").strip() + ";"
        code = code.replace("void(" + names[0] + ")", "void " + names[0])
    kept = [line for line in code.split("\n") if not re.search(r"\b(ag__|AG__)\w+", line)]
    if len(kept) < len(code.split("\n")) and len(kept) > 1:
        kept.insert(len(kept) - 1, "    /* … */")
        code = "\n".join(kept)
    return code


# ---- Text ---------------------------------------------------------------------------------------


def paragraphs(comment):
    """[(kind, label, text)]: `text`, `code` or `item`; label is "" or one of LABELS."""
    found = []
    for block in re.split(r"\n\s*\n", comment):
        lines = block.split("\n")
        while lines:
            count = 0
            is_code = lines[0].startswith("    ")
            while count < len(lines) and lines[count].startswith("    ") == is_code:
                count += 1
            part, lines = lines[:count], lines[count:]
            if is_code:
                found.append(("code", "", "\n".join(line[4:] for line in part)))
            else:
                found += plain_paragraphs("\n".join(part))
    return found


def plain_paragraphs(text):
    found = []
    for part in re.split(r"^(?=- )", text, flags=re.M):
        kind = "item" if part.startswith("- ") else "text"
        part = part.removeprefix("- ")
        at, label = 0, ""
        for match in [*LABEL.finditer(part), None]:
            body = part[at:match.start() if match else len(part)]
            body = re.sub(r"\s+", " ", body).strip()
            if body:
                found.append((kind, label, body))
            if match:
                at, label = match.end(), match.group(1)
    return found


class Html:
    """HTML pages."""

    STYLE = ("body{font:16px/1.5 sans-serif;max-width:56em;margin:2em auto;padding:0 1em}"
             "pre{background:#f4f4f2;padding:.6em 1em;overflow-x:auto}code,pre{font-size:14px}"
             "h3{border-top:1px solid #ccc;padding-top:.8em;font:bold 16px monospace}"
             "dt{font-weight:bold}dd{margin-left:1.5em}a{color:#064}nav a{margin-right:.8em}")

    def __init__(self, headers):
        self.headers = headers
        self.page_of = {name: header.name for header in headers for entry in header.entries()
                        for name in entry.names}

    def file(self, header_name):
        return header_name.removeprefix("aglet/").replace("/", "-").removesuffix(".h") + ".html"

    def inline(self, text):
        parts = re.split(r"(`[^`]*`)", text)
        return "".join(f"<code>{self.links(part[1:-1])}</code>" if part[:1] == "`" else
                       self.links(part) for part in parts)

    def links(self, text):
        text = html.escape(text, quote=False)

        def link(match):
            name = match.group()
            page = self.page_of.get(name)
            return f'<a href="{self.file(page)}#{name}">{name}</a>' if page else name

        return NAME.sub(link, text)

    def body(self, comment):
        out, in_list = [], ""
        for kind, label, text in paragraphs(comment):
            wanted = "ul" if kind == "item" else "dl" if label else ""
            if wanted != in_list:
                out += [f"</{in_list}>"] * bool(in_list) + [f"<{wanted}>"] * bool(wanted)
                in_list = wanted
            if kind == "code":
                out.append(f"<pre>{html.escape(text, quote=False)}</pre>")
            elif kind == "item":
                start = f"<b>{label}:</b> " if label else ""
                out.append(f"<li>{start}{self.inline(text)}</li>")
            elif label:
                out.append(f"<dt>{label}</dt><dd>{self.inline(text)}</dd>")
            else:
                out.append(f"<p>{self.inline(text)}</p>")
        return "\n".join(out + [f"</{in_list}>"] * bool(in_list))

    def page(self, title, body):
        nav = "".join(f'<a href="{self.file(header.name)}">{html.escape(header.name)}</a>'
                      for header in self.headers if header.items or header.intro)
        return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
                f"<title>{html.escape(title)}</title><style>{self.STYLE}</style></head><body>\n"
                f'<nav><a href="index.html">index</a>{nav}</nav>\n{body}\n</body></html>\n')

    def header(self, header):
        out = [f"<h1>&lt;{html.escape(header.name)}&gt;</h1>", self.body(header.intro)]
        for item in header.items:
            if isinstance(item, str):
                out.append(f"<h2>{html.escape(item)}</h2>")
                continue
            anchors = "".join(f'<a id="{name}"></a>' for name in item.names)
            out.append(f'<h3>{anchors}{html.escape(", ".join(item.names))}</h3>')
            out.append(f'<pre>{html.escape(chr(10).join(item.code), quote=False)}</pre>')
            out.append(self.body(item.comment))
        return self.page(header.name, "\n".join(out))

    def index(self):
        out = ["<h1>aglet</h1>", "<h2>Headers</h2>", "<dl>"]
        for header in self.headers:
            out.append(f'<dt><a href="{self.file(header.name)}">&lt;{html.escape(header.name)}&gt;'
                       f"</a></dt><dd>{self.inline(header.title)}</dd>")
        out += ["</dl>", "<h2>Names</h2>", "<ul>"]
        for name in sorted(self.page_of, key=str.lower):
            page = self.page_of[name]
            out.append(f'<li><a href="{self.file(page)}#{name}">{name}</a>, '
                       f"{html.escape(page)}</li>")
        return self.page("aglet", "\n".join(out + ["</ul>"]))

    def write(self, place):
        place.mkdir(parents=True, exist_ok=True)
        (place / "index.html").write_text(self.index())
        for header in self.headers:
            (place / self.file(header.name)).write_text(self.header(header))


# ---- Man pages ----------------------------------------------------------------------------------


def roff(text):
    """Text for roff: no line can be taken for a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    text = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", text)
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)


def man_body(comment):
    out = []
    for kind, label, text in paragraphs(comment):
        if kind == "code":
            out += [".PP", ".nf", ".RS 4", roff(text), ".RE", ".fi"]
        elif kind == "item":
            out += [".IP \\(bu 2", roff(f"{label}: {text}" if label else text)]
        elif label:
            out += [".TP", f".B {label}", roff(text)]
        else:
            out += [".PP", roff(text)]
    return out


def man_page(header):
    page = "aglet-" + header.name.removeprefix("aglet/").removesuffix(".h").replace("/", "-")
    out = ['.\\" Made from the header; see tools/header_to_manual.py.',
           f'.TH {page} 3 "" "aglet" "aglet"', ".SH NAME",
           f"{roff(page)} \\- {roff(header.title)}", ".SH SYNOPSIS", ".nf",
           f".B #include <{header.name}>"]
    out += [".fi", ".SH DESCRIPTION", *man_body(header.intro)]
    for item in header.items:
        if isinstance(item, str):
            out += [f".SH {roff(item.upper())}"]
            continue
        out += [f".SS {roff(', '.join(item.names))}", ".nf", *[roff(code) for code in item.code],
                ".fi", *man_body(item.comment)]
    return page, "\n".join(out) + "\n"


def write_man(headers, place):
    place.mkdir(parents=True, exist_ok=True)
    for header in headers:
        page, text = man_page(header)
        (place / f"{page}.3").write_text(text)
        for entry in header.entries():
            for name in filter(NAME.fullmatch, entry.names):
                (place / f"{name}.3").write_text(f".so man3/{page}.3\n")


def load(include):
    """All headers that say something to users."""
    headers = [Header(str(path.relative_to(include)), path.read_text(encoding="utf-8"))
               for path in sorted(include.rglob("*.h"))]
    return [header for header in headers if "Nothing here is for direct use" not in header.intro]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("include", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    headers = load(args.include)
    Html(headers).write(args.output / "html")
    write_man(headers, args.output / "man" / "man3")
    names = sum(len(entry.names) for header in headers for entry in header.entries())
    print(f"{len(headers)} headers, {names} names: {args.output / 'html' / 'index.html'}, "
          f"man -M {args.output / 'man'} ag_send")


if __name__ == "__main__":
    sys.exit(main())
