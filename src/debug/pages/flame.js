// SPDX-License-Identifier: MIT
// Flame graphs of every profile that the program offers: the widths are values, the callers lie
// above. A frame that is zoomed to takes the whole width, its callers stay as the way back.
"use strict";

(() => {
  const colour = aglet.colours();
  const titles = {
    profile: "CPU time", offcpu: "Off CPU: waits of now", goroutine: "Goroutines",
    block: "Blocking", mutex: "Lock contention", spawn: "Goroutines by creation",
    threadcreate: "Threads", heap: "Heap", allocs: "Allocations",
  };
  const others = ["cmdline", "trace", "symbol", ""];
  const ROW = 21, NARROW = 0.0006, TOP = 12;
  let names = null;                // profiles that are there
  let name = "profile", span = "2", value = null, inverted = false, words = "";
  let data = null, root = null;    // the answer, and its tree
  let zoomed = null, focused = null, asking = 0, found = 0;
  let place, tools, chart, line, top, spans, values, search, again, reset;

  // --- The tree. ---

  const unitText = (amount) => {
    const unit = data.values[value][1];
    if (unit === "nanoseconds") return aglet.exact(amount);
    if (unit === "bytes") return aglet.bytes(amount);
    return aglet.number(amount);
  };

  const childOf = (node, title, file, line) => {
    const key = `${title}\n${file}`;
    let child = node.children.get(key);
    if (!child) {
      child = { title, file, line, value: 0, self: 0, parent: node, children: new Map() };
      node.children.set(key, child);
    }
    return child;
  };

  // Places from outside in, without the runtime's way to the first function of the program, as far
  // as there is one.
  const wayOf = (places) => {
    const way = places.map((i) => data.places[i]);
    const own = way.findIndex(([title, , , isRuntime]) => !isRuntime && !title.startsWith("["));
    return own > 0 ? way.slice(own) : way;
  };

  const buildTree = () => {
    root = { title: "all", file: "", line: 0, value: 0, self: 0, parent: null,
      children: new Map() };
    for (const [amounts, places, state] of data.stacks) {
      const amount = Math.max(0, amounts[value]);
      if (!amount) continue;
      const way = wayOf(places);
      if (state) way.push([`[${state}]`, "", 0]);
      if (inverted) way.reverse();
      let node = root;
      node.value += amount;
      for (const [title, file, at] of way) {
        node = childOf(node, title, file, at);
        node.value += amount;
      }
      node.self += amount;
    }
  };

  const pathOf = (node) => {
    const path = [];
    for (; node; node = node.parent) path.unshift(node);
    return path;
  };

  const matches = (node) => words && node.title.toLowerCase().includes(words.toLowerCase());

  // What matches, counted once where a match lies below another one.
  const matchedValue = (node) => (matches(node) ? node.value
    : [...node.children.values()].reduce((sum, child) => sum + matchedValue(child), 0));

  // --- Drawing. ---

  const describe = (node) => {
    const text = [node.title];
    if (node.file) text.push(`${node.file}:${node.line}`);
    text.push(`${unitText(node.value)}, ${aglet.percent(node.value, root.value)} of all`);
    if (node.parent && node.parent !== root)
      text.push(`${aglet.percent(node.value, node.parent.value)} of ${node.parent.title}`);
    if (node.self && node.children.size) text.push(`${unitText(node.self)} in itself`);
    return text;
  };

  const say = (node) => {
    const share = words ? `, found ${aglet.percent(found, root.value)}` : "";
    line.textContent = node ? describe(node).join(" · ")
      : `${titles[name] || name}: ${unitText(root.value)} ${data.values[value][0]}, `
        + `${aglet.count(data.stacks.length, "stack")}${share}`;
  };

  const frameOf = (node, left, width, depth, isWay) => {
    const frame = aglet.make("div.frame", width * chart.clientWidth > 26 ? node.title : "");
    if (isWay) frame.classList.add("way");
    if (found) frame.classList.add(matches(node) ? "found" : "other");
    frame.style.left = `${left * 100}%`;
    frame.style.width = `${width * 100}%`;
    frame.style.top = `${depth * ROW}px`;
    if (node !== root && !matches(node)) frame.style.background = colour(node.title);
    frame.setAttribute("role", "treeitem");
    frame.setAttribute("aria-level", depth + 1);
    frame.tabIndex = -1;
    frame.node = node;
    node.frame = frame;
    return frame;
  };

  const placeAll = (frames, node, left, width, depth) => {
    frames.push(frameOf(node, left, width, depth, false));
    let at = left;
    for (const child of [...node.children.values()].sort((a, b) => b.value - a.value)) {
      const part = (width * child.value) / node.value;
      if (part < NARROW) break;
      placeAll(frames, child, at, part, depth + 1);
      at += part;
    }
  };

  const draw = () => {
    if (!root) return;
    const hadFocus = chart.contains(document.activeElement);
    const way = pathOf(zoomed), frames = [];
    found = words ? matchedValue(root) : 0;
    way.slice(0, -1).forEach((node, depth) => frames.push(frameOf(node, 0, 1, depth, true)));
    if (root.value) placeAll(frames, zoomed, 0, 1, way.length - 1);
    const depth = frames.reduce((most, frame) => Math.max(most, Number(frame.ariaLevel)), 1);
    chart.style.height = `${depth * ROW + 4}px`;
    chart.replaceChildren(...frames);
    reset.disabled = zoomed === root;
    focused = frames.find((frame) => frame.node === focused)?.node || zoomed;
    if (focused.frame) focused.frame.tabIndex = 0;
    if (hadFocus) focused.frame?.focus();
    say(null);
    drawTop();
  };

  // Functions by what they took themselves, within what is zoomed to.
  const drawTop = () => {
    const sums = new Map();
    const visit = (node, within) => {
      const sum = sums.get(node.title) || { self: 0, total: 0, file: node.file };
      const isFirst = !within.has(node.title);
      sum.self += node.self;
      if (isFirst) sum.total += node.value;
      sums.set(node.title, sum);
      if (isFirst) within.add(node.title);
      for (const child of node.children.values()) visit(child, within);
      if (isFirst) within.delete(node.title);
    };
    if (!inverted) for (const child of zoomed === root ? root.children.values() : [zoomed])
      visit(child, new Set());
    const rows = [...sums].filter(([, sum]) => sum.self > 0)
      .sort((a, b) => b[1].self - a[1].self || b[1].total - a[1].total);
    top.hidden = !rows.length;
    top.tBodies[0].replaceChildren(...rows.slice(0, TOP).map(([title, sum]) => {
      const bar = aglet.make("div.bar");
      bar.style.width = `${(100 * sum.self) / zoomed.value}%`;
      const find = aglet.button(title, "search it", () => { search.value = title; look(title); });
      return aglet.make("tr", aglet.make("td.place", find),
        aglet.make("td.number", unitText(sum.self)),
        aglet.make("td.number", aglet.percent(sum.self, zoomed.value)),
        aglet.make("td.number", aglet.percent(sum.total, zoomed.value)), aglet.make("td", bar));
    }));
  };

  const look = (text) => { words = text.trim(); draw(); };
  const zoom = (node) => { zoomed = focused = node; aglet.tip(null); draw(); };

  // --- Keys: up to the caller, down into the widest callee, left and right. ---

  const move = (key) => {
    const shown = (node) => node && node.frame && node.frame.isConnected ? node : null;
    const near = (by) => {
      const all = [...chart.children].filter((frame) =>
        frame.ariaLevel === focused.frame.ariaLevel);
      return all[all.indexOf(focused.frame) + by]?.node;
    };
    const next = key === "ArrowUp" ? focused.parent
      : key === "ArrowDown" ? [...focused.children.values()].sort((a, b) => b.value - a.value)
        .find((child) => shown(child))
      : near(key === "ArrowLeft" ? -1 : 1);
    if (!shown(next)) return;
    focused.frame.tabIndex = -1;
    focused = next;
    focused.frame.tabIndex = 0;
    focused.frame.focus();
    say(focused);
  };

  const onKey = (event) => {
    if (event.key.startsWith("Arrow")) move(event.key);
    else if (event.key === "Enter" || event.key === " ") zoom(focused);
    else return;
    event.preventDefault();
  };

  // --- Asking. ---

  const ask = async () => {
    const mine = ++asking, ofTime = name === "profile" || span !== "0";
    const query = ofTime ? `&seconds=${name === "profile" && span === "0" ? 2 : span}` : "";
    const isOther = data && data.profile !== name && !(name === "profile" && data.isCpu);
    if (isOther || !data) chart.replaceChildren();
    line.textContent = ofTime ? `recording for ${span === "0" ? 2 : span} s…` : "asking…";
    again.disabled = true;
    try {
      const answer = JSON.parse(await aglet.ask(`pprof/${name}?format=json${query}`));
      if (mine !== asking || !chart.isConnected) return;
      data = answer;
      data.isCpu = name === "profile";
      if (isOther || value === null || value >= data.values.length) value = data.shown;
      values.replaceWith(values = aglet.choice("Value",
        data.values.map(([type, unit], i) => [String(i), `${type} (${unit})`]), String(value),
        (chosen) => { value = Number(chosen); rebuild(); }));
      values.hidden = data.values.length < 2;
      rebuild();
      if (!root.value) line.textContent = data.notes[0] || "nothing of it was seen";
    } catch (error) {
      if (mine === asking) line.textContent = `no profile: ${error.message}`;
    } finally {
      if (mine === asking) again.disabled = false;
    }
  };

  const rebuild = () => {
    buildTree();
    zoomed = focused = root;
    draw();
  };

  const spanOptions = () => (name === "profile" ? [] : [["0", "all until now"]]).concat(
    [["1", "the next second"], ["2", "the next 2 s"], ["5", "the next 5 s"],
      ["30", "the next 30 s"]]);

  const offerSpans = () => spans.replaceWith(spans = aglet.choice("Time", spanOptions(), span,
    (to) => {
      span = to;
      ask();
    }));

  const choose = (chosen) => {
    name = chosen;
    span = name === "profile" ? "2" : "0";
    offerSpans();
    ask();
  };

  const learnNames = async () => {
    const lines = (await aglet.ask("list")).split("\n");
    names = lines.map((text) => text.match(/^\/debug\/pprof\/(\S*)/)?.[1])
      .filter((one) => one !== undefined && !others.includes(one));
    names.sort((a, b) => (titles[a] ? Object.keys(titles).indexOf(a) : 99)
      - (titles[b] ? Object.keys(titles).indexOf(b) : 99));
  };

  const build = () => {
    spans = aglet.make("select");
    values = aglet.make("select");
    search = aglet.searchBox("Search functions", words, look);
    again = aglet.button("Again", "r", ask);
    reset = aglet.button("Whole", "0", () => zoom(root));
    tools.replaceChildren(
      aglet.choice("Profile", names.map((one) => [one, titles[one] || one]), name, choose),
      spans, values, again, search, reset,
      aglet.check("callees first", inverted, (on) => { inverted = on; if (data) rebuild(); }));
    offerSpans();
    values.hidden = true;
    reset.disabled = true;
    ask();
  };

  const show = async (where) => {
    place = where;
    tools = aglet.make("div.tools");
    line = aglet.make("p.note.line", "asking…");
    line.setAttribute("aria-live", "polite");
    chart = aglet.make("div.flame");
    chart.setAttribute("role", "tree");
    chart.setAttribute("aria-label", "Flame graph");
    chart.addEventListener("click", (event) => event.target.node && zoom(event.target.node));
    chart.addEventListener("mousemove", (event) =>
      aglet.tip(event.target.node ? describe(event.target.node) : null, event.clientX,
        event.clientY));
    chart.addEventListener("mouseleave", () => aglet.tip(null));
    chart.addEventListener("focusin", (event) => event.target.node && say(event.target.node));
    chart.addEventListener("keydown", onKey);
    top = aglet.make("table.top", aglet.heads(["Function"], ["Self", "number"],
      ["Self %", "number"], ["Total %", "number"], ["", "wide-one"]), aglet.make("tbody"));
    top.hidden = true;
    place.append(tools, line, chart, aglet.make("div.wide", top));
    try {
      if (!names) await learnNames();
      build();
    } catch (error) {
      line.textContent = `no answer: ${error.message}`;
    }
  };

  const hide = () => { asking++; };

  aglet.view({ id: "flame", title: "Flame graph", show, hide, redraw: draw });
  aglet.key("r", "take the profile again", () => ask(), "flame");
  aglet.key("0", "the whole graph", () => root && zoom(root), "flame");
  aglet.key("Escape", "the whole graph", () => root && zoom(root), "flame");
  aglet.key("Enter", "zoom to the frame that has the focus; arrows go to others", () => {
    focused?.frame?.focus();
  }, "flame");
  aglet.key("i", "callees first, or callers", () => {
    inverted = !inverted;
    tools.querySelector("input[type=checkbox]").checked = inverted;
    if (data) rebuild();
  }, "flame");
})();
