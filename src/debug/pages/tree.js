// SPDX-License-Identifier: MIT
// Every goroutine, below the one that started it; with a search. There may be 100,000 and more:
// they come in portions, and only the rows in the window are elements.
"use strict";

(() => {
  const ROW = 26, PORTION = 50000, MOST = 1000000, OPEN_BELOW = 200;
  let all = new Map(), roots = [], rows = [], words = "", byTree = true, at = 0, turn = 0;
  let loading = false;
  let closed = new Set(), opened = new Set();
  let line, box, space, window_, detail, again;

  // --- The tree. ---

  const take = (answer) => {
    for (const [id, creator, site, state, ms, name] of answer.rows) {
      const [call, by, file, at_] = answer.sites[site] || ["main", "", "", 0];
      const [what, waits] = answer.states[state];
      all.set(id, { id, creator, call, by, file, line: at_, state: what, waits, ms,
        name: name || "", children: null, size: 1 });
    }
  };

  // Who was started by one that has ended hangs below a row that stands for that one.
  const link = () => {
    roots = [];
    for (const g of all.values()) {
      g.children = null;
      g.size = 1;
    }
    const gone = new Map();
    for (const g of [...all.values()]) {
      let parent = all.get(g.creator) || gone.get(g.creator);
      if (!parent && g.creator > 0 && g.creator !== g.id) {
        parent = { id: g.creator, gone: true, call: "", by: "", file: "", line: 0, name: "",
          state: "ended", ms: 0, children: null, size: 0 };
        gone.set(g.creator, parent);
        roots.push(parent);
      }
      if (parent && parent !== g) (parent.children ||= []).push(g);
      else roots.push(g);
    }
    roots.sort((a, b) => a.id - b.id);
    const order = [];
    for (const stack = [...roots]; stack.length;) {
      const g = stack.pop();
      order.push(g);
      for (const child of g.children || []) stack.push(child);
    }
    for (const g of order.reverse())
      for (const child of g.children || []) g.size += child.size;
  };

  const isOpen = (g) => opened.has(g.id)
    || (!closed.has(g.id) && !!g.children && g.children.length <= OPEN_BELOW);

  const textOf = (g) => `${g.id} ${g.name} ${g.call} ${g.by} ${g.file}:${g.line} ${g.state}`;

  // The rows that there are, shown or not: [goroutine, depth].
  const layOut = () => {
    const matches = aglet.matcher(words);
    rows = [];
    if (matches || !byTree) {
      for (const g of all.values()) if (!matches || matches(textOf(g))) rows.push([g, 0]);
    } else {
      const stack = roots.map((g) => [g, 0]).reverse();
      while (stack.length) {
        const [g, depth] = stack.pop();
        rows.push([g, depth]);
        if (g.children && isOpen(g))
          for (let i = g.children.length - 1; i >= 0; i--) stack.push([g.children[i], depth + 1]);
      }
    }
    at = Math.min(at, Math.max(0, rows.length - 1));
    space.style.height = `${rows.length * ROW}px`;
    const found = matches ? `${aglet.number(rows.length)} of ` : "";
    line.textContent = `${found}${aglet.count(all.size, "goroutine")}`
      + `${loading ? ", more are coming…" : ""}`;
    paint(true);
  };

  // --- The window. ---

  const rowOf = ([g, depth], i) => {
    const row = aglet.make("div.row");
    const twist = aglet.make("span.twist",
      g.children && byTree && !words.trim() ? (isOpen(g) ? "▾" : "▸") : "");
    const name = aglet.make("span.who", `${g.id}`, g.name ? ` “${g.name}”` : "");
    const kids = g.children && byTree ? ` +${aglet.number(g.size - (g.gone ? 0 : 1))}` : "";
    const call = aglet.make("span.call", g.gone ? "(has ended)" : g.call,
      aglet.make("small", kids));
    row.style.top = `${i * ROW}px`;
    const left = aglet.make("span.left", twist, name, call);
    left.style.paddingLeft = `${Math.min(depth, 24) * 18}px`;
    row.append(left, aglet.make("span.state", g.state),
      aglet.make("span.wait", g.waits ? aglet.time(g.ms * 1e6) : ""),
      aglet.make("span.from", g.line ? `${aglet.fileOf(g.file)}:${g.line}` : ""));
    row.title = g.line ? `${g.call}, started by ${g.by} at ${g.file}:${g.line}` : "";
    row.setAttribute("role", "treeitem");
    row.setAttribute("aria-level", depth + 1);
    row.setAttribute("aria-posinset", i + 1);
    row.setAttribute("aria-setsize", rows.length);
    if (g.children) row.setAttribute("aria-expanded", String(isOpen(g)));
    row.id = `row-${i}`;
    row.index = i;
    if (i === at) {
      row.classList.add("at");
      row.setAttribute("aria-selected", "true");
    }
    return row;
  };

  let painted = [-1, -1];
  const paint = (anew) => {
    const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 10);
    const last = Math.min(rows.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + 10);
    if (!anew && painted[0] === first && painted[1] === last) return;
    painted = [first, last];
    window_.replaceChildren(...rows.slice(first, last).map((row, i) => rowOf(row, first + i)));
    box.setAttribute("aria-activedescendant", `row-${at}`);
  };

  const goTo = (i) => {
    at = Math.max(0, Math.min(rows.length - 1, i));
    if (at * ROW < box.scrollTop) box.scrollTop = at * ROW;
    else if ((at + 2) * ROW > box.scrollTop + box.clientHeight) // with the head's row
      box.scrollTop = (at + 2) * ROW - box.clientHeight;
    paint(true);
  };

  const setOpen = (g, on) => {
    if (!g.children) return;
    (on ? opened : closed).add(g.id);
    (on ? closed : opened).delete(g.id);
    layOut();
  };

  const look = (g) => {
    if (g.gone) return;
    const trace = aglet.make("pre");
    detail.replaceChildren(aglet.button("×", "close", () => { detail.hidden = true; }),
      aglet.make("h2", `Goroutine ${g.id}`), trace);
    detail.hidden = false;
    aglet.backtrace(trace, g.id);
  };

  const onKey = (event) => {
    const g = rows[at]?.[0], page = Math.floor(box.clientHeight / ROW) - 1;
    const moves = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1, PageDown: page, PageUp: -page,
      Home: -Infinity, End: Infinity };
    if (event.ctrlKey || event.metaKey || event.altKey || !g) return;
    if (event.key in moves) goTo(Math.min(rows.length - 1, Math.max(0, at + moves[event.key])));
    else if (event.key === "ArrowRight") setOpen(g, true);
    else if (event.key === "ArrowLeft" && g.children && isOpen(g)) setOpen(g, false);
    else if (event.key === "ArrowLeft") {
      const up = rows.findIndex(([one]) => one.id === g.creator);
      if (up >= 0) goTo(up);
    } else if (event.key === "Enter" || event.key === " ") look(g);
    else return;
    event.preventDefault();
  };

  const onClick = (event) => {
    const row = event.target.closest(".row");
    if (!row || row.index === undefined) return;
    const g = rows[row.index][0];
    at = row.index;
    if (event.target.classList.contains("twist") || g.gone) setOpen(g, !isOpen(g));
    else look(g);
    paint(true);
  };

  // --- Asking. ---

  const ask = async () => {
    const mine = ++turn, isMine = () => mine === turn && box.isConnected;
    again.disabled = loading = true;
    try {
      let after = 0, more = 1;
      const had = all;
      all = new Map();
      while (more && all.size < MOST) {
        const answer = JSON.parse(await aglet.ask(`each?after=${after}&limit=${PORTION}`));
        if (!isMine()) return;
        if (!answer.rows.length) break;
        take(answer);
        after = answer.rows.at(-1)[0];
        more = answer.more;
        if (more && (had.size === 0 || all.size >= had.size)) {
          link();
          layOut();
        }
      }
      loading = false;
      link();
      layOut();
    } catch (error) {
      if (isMine()) line.textContent = `no answer: ${error.message}`;
    } finally {
      if (isMine()) again.disabled = loading = false;
    }
  };

  let later = 0;
  const show = (place) => {
    again = aglet.button("Again", "r", ask);
    const search = aglet.searchBox("Search: number, name, function, state", words, (text) => {
      words = text;
      clearTimeout(later);
      later = setTimeout(() => {
        box.scrollTop = at = 0;
        layOut();
      }, all.size > 20000 ? 150 : 0);
    });
    line = aglet.make("p.note.line", "asking…");
    line.setAttribute("aria-live", "polite");
    space = aglet.make("div.space");
    window_ = aglet.make("div.window");
    const head = aglet.make("div.row.head", aglet.make("span.left", "Goroutine"),
      aglet.make("span.state", "State"), aglet.make("span.wait", "For"),
      aglet.make("span.from", "Started at"));
    space.append(window_);
    box = aglet.make("div.rows", head, space);
    box.tabIndex = 0;
    box.setAttribute("role", "tree");
    box.setAttribute("aria-label", "Goroutines");
    box.addEventListener("scroll", () => paint(false));
    box.addEventListener("keydown", onKey);
    box.addEventListener("click", onClick);
    detail = aglet.make("aside.detail");
    detail.hidden = true;
    place.append(aglet.make("div.tools", again, search, aglet.check("as a tree", byTree, (on) => {
      byTree = on;
      layOut();
    })), line, aglet.make("div.stage", aglet.make("div.listing", box), detail));
    all = new Map();
    ask();
  };

  const hide = () => { turn++; };
  const redraw = () => { if (box?.isConnected) paint(true); };

  aglet.view({ id: "tree", title: "Tree", show, hide, redraw });
  aglet.key("r", "look again", () => ask(), "tree");
  for (const [key, about] of [["j", "next row"], ["k", "row before"],
    ["ArrowRight", "show whom it started"], ["ArrowLeft", "hide them; to who started it"],
    ["Enter", "its backtrace"]])
    aglet.key(key, about, () => {
      box.focus();
      onKey(new KeyboardEvent("keydown", { key, cancelable: true }));
    }, "tree");
  aglet.key("Escape", "close the backtrace", () => { detail.hidden = true; box.focus(); }, "tree");
})();
