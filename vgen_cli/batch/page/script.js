"use strict";
// The gallery of a batch. What is shown comes from the JSON in the page, and only ever as text: prompts are anyone's.

const batch = JSON.parse(document.getElementById("batch").textContent);
const rows = batch.rows;
const by = id => document.getElementById(id);
const PAGE = 60; // cards that are added at a time
const NAMES = { all: "All", done: "Done", failed: "Failed", bad: "Bad rows", working: "In work", waiting: "Waiting" };
const MOVES = /\.(mp4|mov|mkv|webm)$/i, PICTURE = /\.(gif|png|jpe?g|webp)$/i;
const still = matchMedia("(prefers-reduced-motion: reduce)");

const state = { text: "", status: "all", sort: "row", size: 240 };
let shown = [], added = 0, open = -1;

function made(tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined && text !== null) element.textContent = text;
  return element;
}

function lasting(seconds) {
  if (seconds < 10) return `${Number(seconds.toFixed(seconds < 1 ? 2 : 1))} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

function weighing(bytes) {
  const power = Math.max(0, Math.min(4, Math.floor(Math.log10(bytes || 1) / 3)));
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

const isMade = row => row.status === "done";
const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

for (const row of rows) {
  const settings = Object.entries(row.settings || {}).map(pair => pair.join(" "));
  const words = [row.prompt, row.negative, row.name, row.model, row.command, `seed ${row.seed}`, `line ${row.line}`, row.error, ...settings];
  row.words = words.filter(Boolean).join("\n").toLowerCase();
}

// ---- the head

function summary() {
  const count = status => rows.filter(row => row.status === status).length;
  const done = count("done"), failed = count("failed") + count("bad");
  const footage = rows.reduce((sum, row) => sum + (isMade(row) && row.duration || 0), 0);
  const parts = [done === rows.length ? counted(done, "clip") : `${done.toLocaleString("en")} of ${counted(rows.length, "clip")}`];
  if (failed) parts.push(`${failed.toLocaleString("en")} failed`);
  if (footage) parts.push(`${lasting(footage)} of footage`);
  if (batch.left_out) parts.push(`${counted(batch.left_out, "row")} more in report.jsonl`);
  const when = new Date(batch.written).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });
  parts.push(batch.running ? `in work, as of ${when}; reload for more` : when);
  by("summary").textContent = parts.join(" · ");
  by("bar").hidden = done === rows.length;
  by("bar").setAttribute("aria-label", `${done} done, ${failed} failed, of ${rows.length}`);
  by("bar").children[0].style.width = `${100 * done / rows.length}%`;
  by("bar").children[1].style.width = `${100 * failed / rows.length}%`;
  for (const status of Object.keys(NAMES)) {
    const number = status === "all" ? rows.length : count(status);
    if (!number) continue;
    const button = made("button", "", `${NAMES[status]} ${number.toLocaleString("en")}`);
    button.type = "button";
    button.dataset.status = status;
    button.addEventListener("click", () => { state.status = status; refresh(); });
    by("states").append(button);
  }
}

/** The shape that most clips have is that of every frame, so that most need no bars. */
function ratio() {
  const tally = new Map();
  for (const row of rows) if (row.width && row.height) {
    const shape = Math.min(2.4, Math.max(0.6, row.width / row.height)).toFixed(3);
    tally.set(shape, (tally.get(shape) || 0) + 1);
  }
  const [most] = [...tally].sort((a, b) => b[1] - a[1])[0] || ["1.6"];
  document.documentElement.style.setProperty("--ratio", most);
}

// ---- cards

function card(row, position) {
  const item = made("li", row.status);
  const button = made("button", "card");
  button.type = "button";
  button.dataset.position = position;
  const frame = made("span", "frame");
  if (isMade(row)) {
    if (row.poster || PICTURE.test(row.href)) {
      const picture = made("img");
      picture.loading = "lazy";
      picture.decoding = "async";
      picture.alt = "";
      picture.src = row.poster || row.href;
      picture.addEventListener("error", () => picture.remove(), { once: true });
      frame.append(picture);
    }
    if (row.frames > 1) frame.append(made("span", "length", lasting(row.duration)));
  } else if (row.error) {
    const why = made("span", "why");
    why.append(made("b", "", row.status === "bad" ? "A row that cannot be" : "Failed"), row.error);
    frame.append(why);
  } else {
    frame.append(row.status === "working" ? "in work" : "waiting");
  }
  const said = made("span", "said");
  said.append(made("span", "prompt", row.prompt || row.name || `line ${row.line}`), made("span", "facts", brief(row)));
  button.append(frame, said);
  button.addEventListener("click", () => view(position));
  if (isMade(row)) playing(button, frame, row);
  item.append(button);
  return item;
}

function brief(row) {
  const parts = [];
  if (row.seed !== null && row.seed !== undefined) parts.push(`seed ${row.seed}`);
  if (row.width) parts.push(`${row.width}×${row.height}`);
  if (row.seconds) parts.push(isMade(row) ? `made in ${lasting(row.seconds)}` : `after ${lasting(row.seconds)}`);
  return parts.join(" · ");
}

/** The clip plays while it is pointed at or reached by the keyboard, and is let go of afterwards. */
function playing(button, frame, row) {
  let clip = null, timer = 0;
  const stop = () => {
    clearTimeout(timer);
    if (!clip) return;
    if (clip.pause) { clip.pause(); clip.removeAttribute("src"); clip.load(); }
    clip.remove();
    clip = null;
  };
  const start = () => {
    clearTimeout(timer);
    if (clip) return;
    if (MOVES.test(row.href)) {
      clip = moving(row);
      clip.muted = true;
      clip.addEventListener("error", stop, { once: true });
      frame.append(clip);
      clip.play().catch(() => {});
    } else if (row.poster && /\.gif$/i.test(row.href)) {
      clip = made("img");
      clip.alt = "";
      clip.src = row.href;
      frame.append(clip);
    }
  };
  const soon = () => { timer = setTimeout(start, 90); };
  button.addEventListener("pointerenter", event => { if (event.pointerType === "mouse") soon(); });
  button.addEventListener("pointerleave", stop);
  button.addEventListener("focus", () => { if (!still.matches && button.matches(":focus-visible")) soon(); });
  button.addEventListener("blur", stop);
}

function moving(row) {
  const clip = made("video");
  clip.loop = clip.playsInline = true;
  clip.preload = "auto";
  clip.src = row.href;
  return clip;
}

// ---- what is shown, and in which order

const ORDERS = {
  row: (a, b) => a.number - b.number,
  new: (a, b) => (b.finished || "").localeCompare(a.finished || "") || a.number - b.number,
  slow: (a, b) => (b.seconds || 0) - (a.seconds || 0) || a.number - b.number,
  prompt: (a, b) => (a.prompt || "\uffff").localeCompare(b.prompt || "\uffff") || a.number - b.number,
  seed: (a, b) => (a.seed ?? Infinity) - (b.seed ?? Infinity) || a.number - b.number,
};
rows.forEach((row, number) => { row.number = number; });

function refresh() {
  const words = (state.text.toLowerCase().match(/"[^"]+"|\S+/g) || []).map(word => word.replaceAll('"', "")); // all of them
  shown = rows.filter(row => (state.status === "all" || row.status === state.status) && words.every(word => row.words.includes(word)));
  shown.sort(ORDERS[state.sort]);
  by("grid").replaceChildren();
  added = 0;
  more();
  by("none").hidden = shown.length > 0;
  by("count").textContent = `${counted(shown.length, "clip")} shown`;
  for (const button of by("states").children) button.setAttribute("aria-pressed", String(button.dataset.status === state.status));
  remember();
}

function more() {
  const end = Math.min(shown.length, added + PAGE);
  const piece = document.createDocumentFragment();
  for (; added < end; added++) piece.append(card(shown[added], added));
  by("grid").append(piece);
}

new IntersectionObserver(seen => {
  if (seen.some(each => each.isIntersecting)) while (added < shown.length && by("more").getBoundingClientRect().top < innerHeight + 1600) more();
}, { rootMargin: "1600px" }).observe(by("more"));

// ---- one clip, large

function view(position) {
  const row = shown[position];
  if (!row) return;
  open = position;
  const stage = by("stage");
  stage.replaceChildren();
  if (isMade(row) && MOVES.test(row.href)) {
    const clip = moving(row);
    clip.controls = true;
    clip.autoplay = !still.matches;
    clip.muted = true;
    if (row.poster) clip.poster = row.poster;
    clip.addEventListener("error", () => stage.replaceChildren(made("p", "", "This browser cannot play the file; open it in another program.")), { once: true });
    stage.append(clip);
  } else if (isMade(row) && (PICTURE.test(row.href) || row.poster)) {
    const picture = made("img");
    picture.alt = row.prompt || row.name;
    picture.src = PICTURE.test(row.href) ? row.href : row.poster;
    stage.append(picture);
  } else {
    stage.append(made("p", "", isMade(row) ? row.name : NAMES[row.status]));
  }
  by("view-where").textContent = [`line ${row.line}`, row.name].filter(Boolean).join(" · ");
  by("view-title").textContent = row.prompt || row.name || "";
  by("view-error").textContent = row.error || "";
  const facts = [
    ["seed", row.seed], ["model", row.model], ["command", row.command],
    ["size", row.width && `${row.width}×${row.height}`],
    ["length", row.frames && `${counted(row.frames, "frame")}${row.duration ? `, ${Number(row.duration.toFixed(3))} s` : ""}`],
    ["rate", row.fps && `${Number(row.fps.toFixed(3))} a second`],
    ["codec", row.codec], ["file", row.bytes && weighing(row.bytes)],
    ["made in", row.seconds && lasting(row.seconds)],
    ["finished", row.finished && new Date(row.finished).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })],
    ["negative", row.negative], ...Object.entries(row.settings || {}).filter(([name]) => !(name in row)),
  ];
  by("view-facts").replaceChildren();
  for (const [name, value] of facts) if (value !== null && value !== undefined && value !== "") {
    by("view-facts").append(made("dt", "", name.replaceAll("_", " ")), made("dd", "", value));
  }
  by("view-file").hidden = !isMade(row);
  if (isMade(row)) by("view-file").href = row.href;
  by("copy").hidden = !row.prompt;
  by("copy").textContent = "Copy the prompt";
  by("view-number").textContent = `${position + 1} of ${shown.length}`;
  by("before").disabled = position === 0;
  by("after").disabled = position === shown.length - 1;
  if (!by("view").open) by("view").showModal();
}

by("view").addEventListener("close", () => {
  by("stage").replaceChildren();
  while (added <= open && added < shown.length) more();
  by("grid").children[open]?.firstChild.focus();
});
by("view").addEventListener("click", event => { if (event.target === by("view")) by("view").close(); });
by("view").addEventListener("keydown", event => {
  if (event.target.tagName === "VIDEO") return;
  if (event.key === "ArrowLeft") view(open - 1);
  if (event.key === "ArrowRight") view(open + 1);
});
by("close").addEventListener("click", () => by("view").close());
by("before").addEventListener("click", () => view(open - 1));
by("after").addEventListener("click", () => view(open + 1));
by("copy").addEventListener("click", async () => {
  const text = shown[open].prompt;
  try {
    await navigator.clipboard.writeText(text);
    by("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(by("view-title"));
    by("copy").textContent = "Selected: press Ctrl+C";
  }
});

// ---- keys

document.addEventListener("keydown", event => {
  if (by("view").open || event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input, select");
  if (event.key === "/" && !typing) { event.preventDefault(); by("text").focus(); return; }
  if (event.key === "Escape" && event.target === by("text")) { by("text").value = state.text = ""; refresh(); return; }
  if (typing && !(event.target === by("text") && event.key === "ArrowDown")) return;
  if (!event.key.startsWith("Arrow")) return;
  const cards = by("grid").children;
  if (!cards.length) return;
  const here = Number(event.target.dataset?.position ?? -1);
  const columns = [...cards].findIndex(each => each.offsetTop !== cards[0].offsetTop);
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns || -1, ArrowDown: columns > 0 ? columns : 1 }[event.key];
  const next = here < 0 ? 0 : here + step;
  if (next < 0 || next >= shown.length) return;
  event.preventDefault();
  while (added <= next) more();
  cards[next].firstChild.focus();
  cards[next].scrollIntoView({ block: "nearest" });
});

// ---- what a person has chosen, kept in the address and for the next time

function remember() {
  const said = new URLSearchParams();
  if (state.text) said.set("q", state.text);
  if (state.status !== "all") said.set("status", state.status);
  if (state.sort !== "row") said.set("sort", state.sort);
  try { history.replaceState(null, "", said.size ? `#${said}` : location.pathname + location.search); } catch { /* from a file, where that is refused */ }
}

function stored(name, value) {
  try {
    if (value !== undefined) localStorage.setItem(`vgen-${name}`, value);
    return localStorage.getItem(`vgen-${name}`);
  } catch {
    return null;
  }
}

function theme(name) { document.documentElement.dataset.theme = name; }

const dark = matchMedia("(prefers-color-scheme: dark)");
theme(stored("theme") || (dark.matches ? "dark" : "light"));
dark.addEventListener("change", () => { if (!stored("theme")) theme(dark.matches ? "dark" : "light"); });
by("theme").addEventListener("click", () => {
  theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  stored("theme", document.documentElement.dataset.theme);
});

function sized(pixels) {
  state.size = pixels;
  document.documentElement.style.setProperty("--card", `${pixels}px`);
}
sized(Number(stored("size")) || 240);
by("size").value = state.size;
by("size").addEventListener("input", () => { sized(Number(by("size").value)); stored("size", state.size); });

let typed = 0;
by("text").addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => { state.text = by("text").value; refresh(); }, 90);
});
by("sort").addEventListener("change", () => { state.sort = by("sort").value; refresh(); });
by("clear").addEventListener("click", () => { state.text = by("text").value = ""; state.status = "all"; refresh(); });

const asked = new URLSearchParams(location.hash.slice(1));
state.text = by("text").value = asked.get("q") || "";
if (asked.get("status") in NAMES) state.status = asked.get("status");
if (asked.get("sort") in ORDERS) state.sort = by("sort").value = asked.get("sort");

summary();
ratio();
refresh();
