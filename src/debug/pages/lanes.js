// SPDX-License-Identifier: MIT
// What the time line knows: slices of processors and threads, and marks, from the answers of the
// flight recorder. Each answer has the whole of the time since it was asked for, so that takes the
// place of what was known of it. Times are nanoseconds of the program's clock.
//
// A slice: {from, to, id, name, file, steps, end, open}; a mark: {at, word, number, id}.
"use strict";

aglet.Lanes = class {
  constructor() {
    this.procs = new Map();   // number -> slices, in the order of their ends
    this.threads = new Map();
    this.marks = [];
    this.first = Infinity;
    this.now = 0;
    this.cut = false;
  }

  static KEPT_NS = 120e9;
  static KEPT = 400000;

  add(answer, since) {
    for (const lanes of [this.procs, this.threads])
      for (const [key, slices] of lanes)
        lanes.set(key, slices.filter((one) => !one.open && one.to < since));
    this.marks = this.marks.filter((one) => one.at < since);
    const { base, sites, words } = answer;
    for (const [kind, lane, from, b, c, d, e] of answer.lanes) {
      if (kind === 1) {
        this.marks.push({ at: base + from, lane, word: words[b], number: c, id: d });
        this.first = Math.min(this.first, base + from);
        continue;
      }
      const lanes = kind === 0 ? this.procs : this.threads;
      if (!lanes.has(lane)) lanes.set(lane, []);
      const site = d > 0 ? sites[d - 1] : null;
      lanes.get(lane).push({ from: base + from, to: base + from + b, id: c,
        name: d < 0 ? "goroutines in turn" : site ? site[0] : "?",
        file: site ? `${site[1]}:${site[2]}` : "", steps: d < 0 ? -d : 0,
        end: e < 0 ? "" : words[e], open: e < 0 });
      this.first = Math.min(this.first, base + from);
    }
    this.now = Math.max(this.now, answer.now);
    this.cut = answer.cut;
    this.forget();
  }

  // The oldest, where there is too much.
  forget() {
    let count = this.marks.length;
    for (const lanes of [this.procs, this.threads])
      for (const slices of lanes.values()) {
        slices.sort((a, b) => a.to - b.to);
        count += slices.length;
      }
    this.marks.sort((a, b) => a.at - b.at);
    const kept = count > aglet.Lanes.KEPT ? (this.now - this.first) / 2 : aglet.Lanes.KEPT_NS;
    const until = this.now - kept;
    if (until <= this.first) return;
    for (const lanes of [this.procs, this.threads])
      for (const [key, slices] of lanes) lanes.set(key, slices.filter((one) => one.to >= until));
    for (const [key, slices] of this.threads) if (!slices.length) this.threads.delete(key);
    this.marks = this.marks.filter((one) => one.at >= until);
    this.first = until;
  }

  // The slices that reach into [from, to]. They follow each other, so their beginnings are in
  // order, too.
  static within(slices, from, to) {
    let lo = 0, hi = slices.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (slices[mid].to < from) lo = mid + 1;
      else hi = mid;
    }
    const found = [];
    for (; lo < slices.length && slices[lo].from <= to; lo++) found.push(slices[lo]);
    return found;
  }

  // For each function how long it ran in [from, to], and all together, by processor.
  sums(from, to) {
    const byName = new Map(), byProc = new Map();
    for (const [lane, slices] of this.procs) {
      let busy = 0;
      for (const one of aglet.Lanes.within(slices, from, to)) {
        const length = Math.min(one.to, to) - Math.max(one.from, from);
        const sum = byName.get(one.name) || { ns: 0, runs: 0, file: one.file };
        busy += length;
        sum.ns += length;
        sum.runs += one.steps || 1;
        byName.set(one.name, sum);
      }
      byProc.set(lane, busy);
    }
    return { byName, byProc };
  }
};
