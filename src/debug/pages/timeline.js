// SPDX-License-Identifier: MIT
// The scheduler's time line: a lane for each processor, what ran there, and where it went from one
// thread to another; below them the threads that went on without a processor, in a blocking call.
// It follows the program, from the flight recorder, which notes what the coarse clock can tell
// apart; a detailed recording has every switch. At the bottom are the program's own regions.
"use strict";

(() => {
  const colour = aglet.colours();
  const LANE = 30, AXIS = 26, LABEL = 104, MARKS = 8, PAD = 8, OVERLAP_NS = 1e9, POLL_MS = 500;
  let lanes = null, detailed = null, following = true, width_ns = 10e9, end_ns = 0, offset = 0;
  let frozen = 0;
  let words = "", chosen = null, hovered = null, timer = 0, mover = 0, frame = 0, running = false;
  let canvas, line, tools, table, detail, follow, box, rows = [];

  const shown = () => detailed || lanes;

  // --- Time and place. ---

  // The program's clock now, as this one goes on since the last answer.
  const clock = () => {
    if (!aglet.paused) frozen = 0;
    else frozen ||= performance.now() * 1e6 + offset;
    return frozen || performance.now() * 1e6 + offset;
  };
  const right = () => (following && !detailed ? clock() - 0.6e9 : end_ns);
  const chartWidth = () => Math.max(50, box.clientWidth - LABEL - PAD);
  const timeAt = (x) => right() - width_ns + ((x - LABEL) / chartWidth()) * width_ns;

  const laneRows = () => {
    const known = shown();
    if (!known) return [];
    const procs = [...known.procs.keys()].sort((a, b) => a - b);
    const [from, to] = [right() - width_ns, right()];
    const threads = [...known.threads.entries()]
      .filter(([, slices]) => slices.some((one) => one.to >= from && one.from <= to))
      .map(([tid]) => tid).sort((a, b) => a - b).slice(0, 24);
    return [...procs.map((lane) => ({ kind: "P", lane, slices: known.procs.get(lane) })),
      ...threads.map((lane) => ({ kind: "thread", lane, slices: known.threads.get(lane) })),
      ...known.regions.filter((row) => row.some((one) => one.to >= from && one.from <= to))
        .map((slices, lane) => ({ kind: "region", lane, slices }))];
  };

  // --- Drawing. ---

  const niceStep = (ns, most) => {
    for (let step = 1; ; step *= 10)
      for (const by of [1, 2, 5]) if (ns / (step * by) <= most) return step * by;
  };

  const drawAxis = (to, from, end, scale, height) => {
    const step = niceStep(width_ns, Math.max(2, chartWidth() / 110));
    to.strokeStyle = aglet.style("--line");
    to.fillStyle = aglet.style("--dim");
    to.textAlign = "center";
    const zero = shown().first;
    for (let at = Math.ceil((from - zero) / step) * step; at <= end - zero; at += step) {
      const x = Math.round(LABEL + (at + zero - from) * scale) + 0.5;
      to.beginPath();
      to.moveTo(x, AXIS - 6);
      to.lineTo(x, height);
      to.stroke();
      if (x > LABEL + 24 && x < LABEL + chartWidth() - 24)
        to.fillText(aglet.exact(at), x, AXIS - 11);
    }
  };

  const isOther = (one) => (chosen !== null && one.id !== chosen)
    || (words && !`${one.name} ${one.id}`.toLowerCase().includes(words));

  // What is too small to be seen alone is drawn together, as dense as it is.
  const drawLane = (to, row, top, from, scale, dark) => {
    const rowHeight = LANE - 6 - (row.kind === "P" ? MARKS : 0);
    const y = top + (row.kind === "P" ? MARKS : 0);
    const text = aglet.style("--front");
    let lastX = -1, filled = 0;
    for (const one of aglet.Lanes.within(row.slices, from, from + width_ns)) {
      const x1 = Math.max(LABEL, LABEL + (one.from - from) * scale);
      const x2 = Math.min(LABEL + chartWidth(), LABEL + (one.to - from) * scale);
      const w = x2 - x1;
      to.globalAlpha = isOther(one) ? 0.18 : one.steps ? 0.55 : 1;
      if (w < 1) {
        const pixel = Math.floor(x1);
        filled = pixel === lastX ? filled + w : w;
        lastX = pixel;
        to.globalAlpha *= Math.min(1, Math.max(0.25, filled));
      }
      to.fillStyle = one.steps ? aglet.style("--turns") : colour(one.name, dark);
      to.fillRect(x1, y, Math.max(w - (w > 4 ? 1 : 0), 0.8), rowHeight);
      if (one === hovered) {
        to.strokeStyle = text;
        to.strokeRect(x1 + 0.5, y + 0.5, Math.max(w - 2, 1), rowHeight - 1);
      }
      if (w > 34) drawName(to, one, x1, y, w, rowHeight, text);
    }
    to.globalAlpha = 1;
  };

  const drawName = (to, one, x, y, w, height, text) => {
    const name = one.steps ? aglet.count(one.steps, "turn") : `${one.name} ${one.id}`;
    const shown_ = aglet.fit(name, w - 9, to.font);
    to.fillStyle = text;
    to.textAlign = "left";
    if (shown_.length > 2) to.fillText(shown_, x + 4, y + height / 2 + 4);
  };

  const drawMarks = (to, from, end, scale) => {
    for (const mark of shown().marks) {
      if (mark.at < from || mark.at > end) continue;
      const row = rows.findIndex((one) => one.kind === "P" && one.lane === mark.lane);
      if (row < 0) continue;
      const x = LABEL + (mark.at - from) * scale, y = AXIS + row * LANE;
      const isHandOn = mark.word.startsWith("hand on");
      to.fillStyle = aglet.style(isHandOn ? "--bad" : "--dim");
      to.beginPath();
      if (isHandOn) {
        to.moveTo(x - 4, y);
        to.lineTo(x + 4, y);
        to.lineTo(x, y + MARKS);
      } else {
        to.rect(x - 0.75, y + 2, 1.5, MARKS - 3);
      }
      to.fill();
    }
  };

  const paint = () => {
    frame = 0;
    if (!canvas.isConnected || !shown()) return;
    rows = laneRows();
    const height = AXIS + Math.max(1, rows.length) * LANE + 6, dark = aglet.isDark();
    const to = aglet.sharp(canvas, box.clientWidth, height);
    const end = right(), from = end - width_ns, scale = chartWidth() / width_ns;
    to.font = "12px system-ui, sans-serif";
    drawAxis(to, from, end, scale, height);
    rows.forEach((row, i) => {
      const y = AXIS + i * LANE;
      to.fillStyle = aglet.style("--dim");
      to.textAlign = "right";
      const label = row.kind === "P" ? `P ${row.lane}` : row.kind === "thread"
        ? `thread ${row.lane}` : row.lane === 0 ? "regions" : "";
      to.fillText(label, LABEL - 8, y + LANE / 2 + 4);
      to.fillStyle = aglet.style("--lane");
      to.fillRect(LABEL, y + (row.kind === "P" ? MARKS : 0), chartWidth(),
        LANE - 6 - (row.kind === "P" ? MARKS : 0));
      drawLane(to, row, y, from, scale, dark);
    });
    drawMarks(to, from, end, scale);
    // It moves; as smooth as it must be, and no more.
    if (following && !detailed && !aglet.paused) mover = setTimeout(repaint, 40);
  };
  const repaint = () => {
    clearTimeout(mover);
    if (!frame) frame = requestAnimationFrame(paint);
  };

  // --- What is at the pointer. ---

  const at = (event) => {
    const { left, top } = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    const row = rows[Math.floor((y - AXIS) / LANE)];
    if (!row || x < LABEL || y < AXIS) return {};
    const time = timeAt(x), reach = (width_ns / chartWidth()) * 4;
    const mark = row.kind === "P" && (y - AXIS) % LANE < MARKS + 1
      && shown().marks.filter((one) => one.lane === row.lane && Math.abs(one.at - time) < reach)
        .sort((a, b) => Math.abs(a.at - time) - Math.abs(b.at - time))[0];
    const slice = aglet.Lanes.within(row.slices, time - reach / 4, time + reach / 4)
      .sort((a, b) => Math.max(0, a.from - time, time - a.to)
        - Math.max(0, b.from - time, time - b.to))[0];
    return { row, mark, slice };
  };

  const describe = ({ row, mark, slice }) => {
    if (mark)
      return [mark.word, mark.word.startsWith("hand on")
        ? `goroutine ${mark.id} went on as thread ${mark.number}`
        : mark.word === "steal" ? `from processor ${mark.number}`
          : `${aglet.number(mark.number)}`];
    if (!slice) return null;
    if (row.kind === "region")
      return [slice.name, `region of goroutine ${slice.id}`,
        slice.task ? `in task ${slice.task}` : "",
        `${aglet.exact(slice.to - slice.from)}${slice.open ? " so far" : ""}`].filter(Boolean);
    const text = slice.steps
      ? [`${aglet.count(slice.steps, "turn")} of several goroutines`,
        "the recorder notes who runs some hundred times a second"]
      : [`goroutine ${slice.id}  ${slice.name}`, slice.file];
    text.push(`${aglet.exact(slice.to - slice.from)} on ${row.kind} ${row.lane}`);
    text.push(slice.open ? "goes on" : slice.end && `until: ${slice.end}`);
    return text;
  };

  const select = (slice) => {
    chosen = slice && slice.id ? slice.id : null;
    detail.hidden = chosen === null;
    if (chosen !== null) {
      const trace = aglet.make("pre", slice.file ? `${slice.name}\n${slice.file}` : slice.name);
      detail.replaceChildren(aglet.button("×", "close", () => select(null)),
        aglet.make("h2", `Goroutine ${slice.id}`),
        aglet.make("p", `${slice.name}, ${slice.file ? "ran" : "a region of"} `
          + `${aglet.exact(slice.to - slice.from)}`
          + `${slice.end ? ` until: ${slice.end}` : ""}`), trace,
        aglet.make("p", aglet.button("Where it is now", "its backtrace",
          () => aglet.backtrace(trace, slice.id))));
    }
    repaint();
  };

  // --- Moving. ---

  const stopFollowing = () => {
    if (!following || detailed) return;
    end_ns = right();
    setFollowing(false);
  };
  const setFollowing = (on) => {
    following = on;
    if (on && detailed) {
      detailed = null;
      width_ns = 10e9;
    }
    follow.setAttribute("aria-pressed", String(following && !detailed));
    say();
    repaint();
  };
  const bound = () => {
    const known = shown();
    width_ns = Math.min(Math.max(width_ns, 1000), 130e9);
    if (known)
      end_ns = Math.min(Math.max(end_ns, known.first + width_ns * 0.1),
        known.now + width_ns * 0.9);
  };
  const pan = (ns) => {
    stopFollowing();
    end_ns += ns;
    bound();
    repaint();
    summarise();
  };
  const zoom = (by, x) => {
    const part = x === undefined ? (following && !detailed ? 1 : 0.5)
      : Math.min(1, Math.max(0, (x - LABEL) / chartWidth()));
    if (part < 0.98) stopFollowing();
    const pivot = right() - width_ns * (1 - part);
    width_ns *= by;
    bound();
    end_ns = pivot + width_ns * (1 - part);
    bound();
    repaint();
    summarise();
  };
  const whole = () => {
    const known = shown();
    if (!known || known.first === Infinity) return;
    stopFollowing();
    width_ns = Math.max(1000, known.now - known.first) * 1.02;
    end_ns = known.now + width_ns * 0.01;
    repaint();
    summarise();
  };

  const drag = (event) => {
    const start = event.clientX, from = right();
    let moved = false;
    const go = (to) => {
      if (Math.abs(to.clientX - start) > 4) moved = true;
      if (!moved) return;
      stopFollowing();
      end_ns = from - ((to.clientX - start) / chartWidth()) * width_ns;
      bound();
      repaint();
    };
    const end = (last) => {
      removeEventListener("pointermove", go);
      removeEventListener("pointerup", end);
      if (!moved) select(at(last).slice || null);
      summarise();
    };
    addEventListener("pointermove", go);
    addEventListener("pointerup", end);
  };

  // --- Words. ---

  const say = () => {
    const known = shown();
    if (!known) return;
    line.textContent = [
      detailed ? "a recording with every switch" : following ? "following the flight recorder"
        : "standing still",
      `${aglet.exact(width_ns)} shown`,
      aglet.count(known.procs.size, "processor"),
      aglet.count(known.marks.filter((mark) => mark.word.startsWith("hand on")).length, "hand-on"),
      known.rowless ? `${aglet.count(known.rowless, "region")} more than there are rows` : "",
      known.cut ? "cut: there was more than can be shown" : ""].filter(Boolean).join(" · ");
  };

  const summarise = () => {
    const known = shown();
    if (!known || !table) return;
    const to = right(), from = to - width_ns;
    const { byName, byProc } = known.sums(from, to);
    const all = [...byProc.values()].reduce((sum, ns) => sum + ns, 0);
    const list = [...byName].sort((a, b) => b[1].ns - a[1].ns).slice(0, 12);
    table.replaceChildren(...list.map(([name, sum]) => {
      const dot = aglet.make("span.dot"), bar = aglet.make("div.bar");
      dot.style.background = name === "goroutines in turn" ? aglet.style("--turns")
        : colour(name);
      bar.style.width = `${(100 * sum.ns) / all}%`;
      return aglet.make("tr", aglet.make("td.place", dot, name),
        aglet.make("td.place", sum.file ? aglet.fileOf(sum.file) : ""),
        aglet.make("td.number", aglet.exact(sum.ns)),
        aglet.make("td.number", aglet.percent(sum.ns, all)),
        aglet.make("td.number", aglet.number(sum.runs)), aglet.make("td", bar));
    }));
    canvas.setAttribute("aria-label", `Time line of ${known.procs.size} processors, busy: `
      + [...byProc].sort((a, b) => a[0] - b[0])
        .map(([lane, ns]) => `P ${lane} ${aglet.percent(ns, width_ns)}`).join(", "));
    say();
  };

  // --- Asking. ---

  const poll = async () => {
    if (!aglet.paused && !document.hidden && !detailed) {
      try {
        const since = lanes ? Math.round(lanes.now - OVERLAP_NS) : 0;
        const answer = JSON.parse(
          await aglet.ask(`trace?format=lanes&seconds=0&since=${since}`));
        if (!canvas.isConnected) return;
        lanes ||= new aglet.Lanes();
        lanes.add(answer, since);
        const now = answer.now - performance.now() * 1e6;
        // The clocks run alike; what the answer was late by is left out.
        offset = offset && Math.abs(now - offset) < 1e9 ? Math.max(offset, now) : now;
        if (!lanes.procs.size) line.textContent = "nothing is recorded (AGLET_RECORD=0?)";
        else summarise();
        repaint();
      } catch (error) {
        line.textContent = `no answer: ${error.message}`;
      }
    }
    if (canvas.isConnected) timer = setTimeout(poll, POLL_MS);
  };

  const record = async (button) => {
    if (running) return;
    running = button.disabled = true;
    line.textContent = "recording every switch for a second…";
    try {
      const answer = JSON.parse(await aglet.ask("trace?format=lanes&seconds=1"));
      if (!canvas.isConnected) return;
      detailed = new aglet.Lanes();
      detailed.add(answer, 0);
      follow.setAttribute("aria-pressed", "false");
      whole();
    } catch (error) {
      line.textContent = `no recording: ${error.message}`;
    } finally {
      running = button.disabled = false;
    }
  };

  const show = (place) => {
    tools = aglet.make("div.tools");
    line = aglet.make("p.note.line", "asking…");
    follow = aglet.button("Follow", "f", () => setFollowing(true));
    const detailButton = aglet.button("Record 1 s in detail", "d", () => record(detailButton));
    tools.append(follow, detailButton, aglet.searchBox("Search goroutines", words, (text) => {
      words = text.trim().toLowerCase();
      repaint();
    }), aglet.button("All", "0", whole), aglet.button("+", "+", () => zoom(0.6)),
    aglet.button("−", "-", () => zoom(1 / 0.6)), aglet.button("←", "ArrowLeft",
      () => pan(-width_ns / 4)), aglet.button("→", "ArrowRight", () => pan(width_ns / 4)));
    canvas = document.createElement("canvas");
    canvas.className = "lanes";
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "Time line");
    canvas.addEventListener("pointerdown", drag);
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))
        pan(((event.deltaX || event.deltaY) / chartWidth()) * width_ns);
      else zoom(Math.exp(event.deltaY / 400), event.clientX - canvas.getBoundingClientRect().left);
    }, { passive: false });
    canvas.addEventListener("mousemove", (event) => {
      const found = at(event);
      hovered = found.slice || null;
      aglet.tip(describe(found), event.clientX, event.clientY);
      repaint();
    });
    canvas.addEventListener("mouseleave", () => {
      hovered = null;
      aglet.tip(null);
    });
    box = aglet.make("div.lanebox", canvas);
    detail = aglet.make("aside.detail");
    detail.hidden = true;
    table = aglet.make("tbody");
    const head = aglet.heads(["Function"], ["Started at"], ["Ran", "number"], ["Share", "number"],
      ["Turns", "number"], ["", "wide-one"]);
    place.append(tools, line, aglet.make("div.stage", box, detail),
      aglet.make("p.keys", aglet.legend("handon", "processor handed on"),
        aglet.legend("tick", "steal, timers, poller"),
        aglet.legend("turns", "goroutines in turn, not told apart"),
        aglet.make("span.key", "a thread's own lane: it went on without a processor"),
        aglet.make("span.key", "regions: what the program names by ag_region")),
      aglet.make("h2", "What ran in this time"),
      aglet.make("div.wide", aglet.make("table", head, table)));
    detailed = chosen = hovered = null;
    lanes = null;
    offset = 0;
    setFollowing(true);
    poll();
  };

  const hide = () => {
    clearTimeout(timer);
    clearTimeout(mover);
    cancelAnimationFrame(frame);
    frame = 0;
  };
  const redraw = () => { repaint(); summarise(); };

  aglet.view({ id: "timeline", title: "Time line", show, hide, redraw });
  const key = (name, about, fn) => aglet.key(name, about, fn, "timeline");
  key("f", "follow the program", () => setFollowing(true));
  key("s", "stand still", () => stopFollowing());
  key("d", "record a second in detail", () => tools.children[1].click());
  key("0", "all that is known", whole);
  key("+", "nearer", () => zoom(0.6));
  key("-", "farther", () => zoom(1 / 0.6));
  key("ArrowLeft", "back", () => pan(-width_ns / 4));
  key("ArrowRight", "forward", () => pan(width_ns / 4));
  key("Escape", "no goroutine chosen", () => select(null));
})();
