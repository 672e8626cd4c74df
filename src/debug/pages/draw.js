// SPDX-License-Identifier: MIT
// What the views that draw share: SVG elements, the tooltip, colours, controls, values as text.
"use strict";

// An element of SVG: svg("rect", {x: 1}, child...).
aglet.svg = (name, attributes = {}, ...content) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...content);
  return element;
};

// Shows lines of text at the pointer, the first as a title; null: none.
aglet.tip = (lines, x = 0, y = 0) => {
  const tip = document.getElementById("tip");
  tip.hidden = !lines;
  if (!lines) return;
  tip.replaceChildren(...lines.filter(Boolean).map((line, i) =>
    aglet.make(i ? "div" : "strong", line)));
  const { width, height } = tip.getBoundingClientRect();
  const left = x + 14 + width > innerWidth ? x - 14 - width : x + 14;
  const top = y + 16 + height > innerHeight ? y - 10 - height : y + 16;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, top)}px`;
};

// Colours for texts: the same text has the same one, and those that come after each other are far
// apart. Black text on the light ones can be read, and white text on the dark ones.
aglet.colours = () => {
  const numbers = new Map();
  return (text, dark = aglet.isDark()) => {
    if (!numbers.has(text)) numbers.set(text, numbers.size);
    const n = numbers.get(text), step = Math.floor(n / 9) % 3;
    const hue = ((212 + n * 137.508) % 360).toFixed(0);
    return dark ? `hsl(${hue} 36% ${32 + step * 4}%)` : `hsl(${hue} 66% ${80 - step * 4}%)`;
  };
};
aglet.style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A length of time in its best unit: "312 ns", "4.21 ms".
aglet.exact = (ns) => {
  const units = [["ns", 1], ["µs", 1e3], ["ms", 1e6], ["s", 1e9]];
  const size = Math.abs(ns);
  if (size >= 120e9) return aglet.time(ns);
  const [unit, per] = units.findLast(([, from]) => size >= from) || units[0];
  const value = ns / per;
  const digits = per === 1 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${unit}`;
};
aglet.percent = (part, whole) => {
  const value = whole ? (100 * part) / whole : 0;
  return `${value.toFixed(value >= 99.95 || value === 0 ? 0 : value < 1 ? 2 : 1)} %`;
};
aglet.count = (n, one, many = `${one}s`) => `${aglet.number(n)} ${n === 1 ? one : many}`;
aglet.fileOf = (path) => path.slice(path.lastIndexOf("/") + 1);

// The head of a table: heads(["Function"], ["Self", "number"]), texts and classes.
aglet.heads = (...columns) => aglet.make("thead", aglet.make("tr", ...columns.map(([text, kind]) =>
  aglet.make(kind ? `th.${kind}` : "th", text))));
// What a colour means, below a drawing; name: its class.
aglet.legend = (name, what) => aglet.make("span.key", aglet.make(`i.${name}`), what);

// Controls. choice: [value, text] pairs.
aglet.button = (text, title, onClick) => {
  const button = aglet.make("button", text);
  if (title) button.title = title;
  button.addEventListener("click", onClick);
  return button;
};
aglet.choice = (name, options, value, onChange) => {
  const select = aglet.make("select");
  for (const [key, text] of options) {
    const option = aglet.make("option", text);
    option.value = key;
    select.append(option);
  }
  select.value = value;
  select.setAttribute("aria-label", name);
  select.addEventListener("change", () => onChange(select.value));
  return select;
};
aglet.check = (text, on, onChange) => {
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = on;
  box.addEventListener("change", () => onChange(box.checked));
  return aglet.make("label", box, text);
};
// Whether a text has all the words, whatever their case; null: there are no words.
aglet.matcher = (words) => {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  if (!wanted.length) return null;
  return (text) => {
    const low = text.toLowerCase();
    return wanted.every((word) => low.includes(word));
  };
};
aglet.searchBox = (hint, value, onInput) => {
  const search = document.createElement("input");
  search.type = "search";
  search.placeholder = hint;
  search.setAttribute("aria-label", hint);
  search.value = value;
  search.addEventListener("input", () => onInput(search.value));
  return search;
};

// As much of the text as fits into so many pixels.
const ruler = document.createElement("canvas").getContext("2d");
aglet.fit = (text, width, font) => {
  ruler.font = font;
  if (ruler.measureText(text).width <= width) return text;
  let n = Math.min(text.length, Math.ceil(width / 3));
  while (n > 0 && ruler.measureText(`${text.slice(0, n)}…`).width > width) n--;
  return n ? `${text.slice(0, n)}…` : "";
};

// A canvas as sharp as the screen; returns its context, in CSS pixels.
aglet.sharp = (canvas, width, height) => {
  const scale = devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return context;
};

// The backtrace of a goroutine, in `place`.
aglet.backtrace = async (place, id) => {
  place.textContent = "asking…";
  try {
    place.textContent = (await aglet.ask(`goroutines?id=${id}`)).trimEnd();
  } catch (error) {
    place.textContent = error.message;
  }
};
