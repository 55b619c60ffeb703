// What one process prints, as it prints it.

import { fill, h, id, show, text } from "./dom.js";
import { t } from "./i18n.js";

const KEPT = 2000;
const ANSI = /\u001b\[[0-9;?]*[A-Za-z]/g;
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

export class Logs {
  constructor(store, name) {
    this.store = store;
    this.source = null;
    const [choice, search, follow] = [id("process"), id("search"), id("follow")];
    this.choice = h("select", { id: choice, onchange: () => (location.hash = `#/logs/${encodeURIComponent(this.choice.value)}`) });
    this.search = h("input", { id: search, type: "search", placeholder: t("logs.search"), oninput: () => this.filter() });
    this.follow = h("input", { id: follow, type: "checkbox", checked: true, onchange: () => this.scroll() });
    this.about = h("p", { class: "notes", role: "status" });
    this.lines = h("div", { class: "log", role: "log", "aria-live": "off", tabindex: 0, "aria-label": t("nav.logs") });
    this.lines.addEventListener("scroll", () => {
      const bottom = this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight < 24;
      if (!this.moving) this.follow.checked = bottom;
      this.moving = false;
    });
    this.node = h(
      "div",
      { class: "logview" },
      h(
        "div",
        { class: "head" },
        h("h2", {}, t("nav.logs")),
        h("label", { for: choice }, h("span", { class: "unseen" }, t("logs.process")), this.choice),
        h("label", { for: search }, h("span", { class: "unseen" }, t("logs.search")), this.search),
        h("label", { class: "check", for: follow }, this.follow, t("logs.follow")),
      ),
      this.about,
      this.lines,
    );
    this.name = name;
  }

  update() {
    const groups = new Map();
    for (const process of this.store.processes.values()) {
      if (!process.log) continue;
      if (!groups.has(process.program)) groups.set(process.program, new Map());
      groups.get(process.program).set(process.name, process.display);
    }
    const known = JSON.stringify([...groups].map(([name, members]) => [name, [...members]]));
    if (known !== this.known) {
      this.known = known;
      fill(this.choice, [...groups].map(([name, members]) => h("optgroup", { label: name }, [...members].map(([value, shown]) => h("option", { value }, shown)))));
    }
    const first = [...groups.values()][0]?.keys().next().value ?? "";
    const wanted = this.name || first;
    if (this.choice.value !== wanted) this.choice.value = wanted;
    if (wanted && wanted !== this.followed) this.open(wanted);
    if (!wanted) text(this.about, t("logs.none"));
  }

  open(name) {
    this.end();
    this.followed = name;
    fill(this.lines);
    text(this.about, t("logs.opening"));
    const source = (this.source = new EventSource(`live/log?process=${encodeURIComponent(name)}`));
    source.addEventListener("log", (event) => {
      const { file, lines, shared } = JSON.parse(event.data);
      this.file = file;
      fill(this.lines);
      this.add(lines);
      if (shared && lines.length) this.lines.append(h("div", { class: "rule" }, t("logs.shared", { name })));
      text(this.about, file || t("logs.nofile"));
      this.scroll();
    });
    source.addEventListener("lines", (event) => {
      const { lines, skipped } = JSON.parse(event.data);
      if (skipped) this.lines.append(h("div", { class: "rule" }, t("logs.skipped", { n: skipped })));
      this.add(lines);
      if (!lines.length) text(this.about, this.file || t("logs.nofile"));
    });
    source.addEventListener("error", () => {
      if (source !== this.source) return;
      text(this.about, t("logs.lost"));
      if (source.readyState === EventSource.CLOSED) this.refused(name);
    });
  }

  // The daemon answers with an object when it cannot show a log.
  async refused(name) {
    this.end();
    try {
      const answer = await fetch(`live/log?process=${encodeURIComponent(name)}`, { headers: { Accept: "application/json" } });
      if (answer.ok) answer.body.cancel();
      else {
        const { error } = await answer.json();
        text(this.about, error.hint ? `${error.message} (${error.hint})` : error.message);
      }
    } catch {
      // it does not answer: the connection of the page says so
    }
    this.timer = setTimeout(() => this.followed === name && this.open(name), 5000);
  }

  add(lines) {
    if (!lines.length) return;
    const words = this.search.value.toLowerCase();
    this.lines.append(...lines.map((line) => {
      const shown = line.replace(ANSI, "").replace(CONTROL, "�");
      const node = h("div", { class: toneOf(shown) }, shown || " ");
      if (words && !shown.toLowerCase().includes(words)) node.hidden = true;
      return node;
    }));
    while (this.lines.childElementCount > KEPT) this.lines.firstElementChild.remove();
    this.scroll();
  }

  filter() {
    const words = this.search.value.toLowerCase();
    for (const node of this.lines.children) show(node, !words || node.textContent.toLowerCase().includes(words));
    this.scroll();
  }

  scroll() {
    if (!this.follow.checked) return;
    this.moving = true;
    this.lines.scrollTop = this.lines.scrollHeight;
  }

  tick() {}

  // Nobody looks: the next update opens it again.
  sleep() {
    this.end();
    this.followed = null;
  }

  end() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }
}

function toneOf(line) {
  if (/\b(FAIL(ED)?|ERROR|CRITICAL|ALERT|EMERGENCY|Fatal error|Exception)\b/.test(line)) return "tone-bad";
  if (/\b(WARN(ING)?)\b/.test(line)) return "tone-warn";
  return "";
}
