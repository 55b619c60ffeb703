// The queues: how deep, how fast, who works on them, and how that went in the last minutes.

import { Chart } from "./charts.js";
import { Keyed, fill, h, id, set, show, text } from "./dom.js";
import { number, rate, short, time } from "./format.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";

const DRAWN = 24; // more charts than that nobody looks at, and each costs the browser

const SECOND = {
  rate: { series: () => [
    { name: "rate_in", label: t("queue.in"), color: "--c-in", show: rate },
    { name: "rate_done", label: t("queue.done"), color: "--c-done", show: rate, dash: [5, 3] },
  ] },
  oldest: { series: () => [{ name: "oldest", label: t("queue.oldest"), color: "--c-wait", fill: true, format: short, show: short }] },
  workers: { series: () => [
    { name: "workers", label: t("queue.workers"), color: "--c-ready", show: number },
    { name: "busy", label: t("queue.busy"), color: "--c-done", fill: true, show: number },
  ] },
};

export class Queues {
  constructor(store) {
    this.store = store;
    this.second = "rate";
    const name = id("second");
    this.cards = new Keyed(h("div", { class: "cards" }), (key) => new Card(key, this.second, this.cards.parts.size < DRAWN));
    this.none = h("p", { class: "none" }, t("queues.none"));
    this.redis = new Keyed(h("ul", { class: "redis" }), () => new Redis());
    this.node = h(
      "div",
      {},
      h(
        "div",
        { class: "head" },
        h("h2", {}, t("nav.queues")),
        h(
          "fieldset",
          { class: "choice" },
          h("legend", { class: "unseen" }, t("queues.second")),
          Object.keys(SECOND).map((kind) =>
            h("label", {}, h("input", { type: "radio", name, value: kind, checked: kind === this.second, onchange: () => this.choose(kind) }), h("span", {}, t(`queues.second.${kind}`))),
          ),
        ),
      ),
      this.none,
      this.cards.parent,
      this.redis.parent,
    );
  }

  choose(kind) {
    this.second = kind;
    for (const card of this.cards.parts.values()) card.choose(kind);
  }

  update() {
    const { queues, history, redis, programs } = this.store;
    show(this.none, !queues.size);
    this.cards.update([...queues].map(([key, queue]) => [key, { queue, points: history.get(key), programs }]));
    this.redis.update([...redis].map(([where, seen]) => [where, { where, ...seen }]));
  }

  tick() {}

  end() {
    for (const card of this.cards.parts.values()) card.end();
  }
}

class Card {
  constructor(key, second, drawn) {
    const heading = id("queue");
    this.name = h("h3", { id: heading });
    this.marks = h("span", { class: "flags" });
    this.ready = h("span", { class: "value" });
    this.facts = new Map();
    const list = h("dl", { class: "small" });
    for (const word of ["delayed", "reserved", "oldest", "wait", "workers", "failed"]) {
      const value = h("dd");
      this.facts.set(word, value);
      list.append(h("div", {}, h("dt", {}, t(`queue.${word}`)), value));
    }
    this.why = h("p", { class: "tone-warn mark" }, icon("warn"), h("span"));
    this.programs = h("p", { class: "notes" });
    this.drawn = drawn;
    this.first = drawn ? new Drawn([
      { name: "ready", label: t("queue.ready"), color: "--c-ready", fill: true, show: number },
      { name: "delayed", label: t("queue.delayed"), color: "--c-wait", show: number, dash: [5, 3] },
      { name: "reserved", label: t("queue.reserved"), color: "--c-done", show: number },
    ], 130, () => `${this.name.textContent}: ${t("queue.ready")} ${this.ready.textContent}`) : null;
    this.place = h("div");
    this.node = h(
      "article",
      { class: "queue", "aria-labelledby": heading },
      h("header", {}, this.name, this.marks, h("p", { class: "big" }, this.ready, " ", h("span", { class: "more" }, t("queue.readyword")))),
      this.why,
      list,
      this.first?.node ?? null,
      this.place,
      this.programs,
    );
    this.choose(second);
  }

  choose(kind) {
    this.second?.end();
    if (!this.drawn) return;
    const series = SECOND[kind].series();
    this.second = new Drawn(series, 96, () => `${this.name.textContent}: ${series.map((one) => `${one.label} ${one.show(this.queue?.[one.name])}`).join(", ")}`);
    fill(this.place, this.second.node);
    if (this.points) this.second.update(this.points);
  }

  update({ queue, points, programs }) {
    this.queue = queue;
    this.points = points;
    text(this.name, `${queue.connection}:${queue.queue}`);
    const flags = [queue.paused && "paused", queue.estimated && "estimated", queue.expired && "expired"].filter(Boolean);
    if (this.marks.dataset.flags !== flags.join()) {
      this.marks.dataset.flags = flags.join();
      fill(this.marks, flags.map((flag) => h("span", { class: "flag stale", title: t(`queue.${flag}.what`) }, t(`queue.${flag}`))));
    }
    text(this.ready, number(queue.ready));
    show(this.why, Boolean(queue.why));
    text(this.why.lastChild, queue.why === "not asked yet" ? t("queue.notasked") : queue.why);
    text(this.facts.get("delayed"), queue.due ? t("queue.due", { n: number(queue.delayed), due: number(queue.due) }) : number(queue.delayed));
    text(this.facts.get("reserved"), number(queue.reserved));
    text(this.facts.get("oldest"), short(queue.oldest));
    text(this.facts.get("wait"), short(queue.wait));
    text(this.facts.get("workers"), queue.workers === null ? "–" : `${number(queue.busy)} / ${number(queue.workers)}`);
    text(this.facts.get("failed"), number(queue.failed));
    set(this.facts.get("failed"), "class", queue.failed ? "tone-warn" : null);
    const served = queue.programs.map((name) => {
      const program = programs.get(name);
      return program ? t("queue.program", { name, n: program.running, m: program.wanted }) : name;
    });
    text(this.programs, served.length ? t("queue.servedby", { names: served.join(", ") }) : t("queue.servedbynone"));
    set(this.programs, "class", served.length ? "notes" : "notes tone-warn");
    if (points) {
      this.first?.update(points);
      this.second?.update(points);
    }
  }

  end() {
    this.first?.end();
    this.second?.end();
  }
}

// A chart with its legend, which tells the value now, or where the pointer is.
class Drawn {
  constructor(series, height, describe) {
    this.series = series;
    this.values = series.map(() => h("span", { class: "value" }));
    this.at = h("span", { class: "at" });
    this.chart = new Chart(series, height, describe);
    this.chart.pointed = (pointed) => {
      this.pointed = pointed;
      this.tell();
    };
    this.node = h(
      "div",
      { class: "drawn" },
      h("p", { class: "legend", "aria-hidden": "true" }, series.map((one, at) => h("span", { class: "key" }, h("i", { class: one.color.slice(2) + (one.dash ? " dashed" : "") }), `${one.label} `, this.values[at])), this.at),
      this.chart.node,
    );
  }

  update(points) {
    this.points = points;
    this.chart.update(points);
    this.tell();
  }

  tell() {
    const last = this.points.times.length - 1;
    this.series.forEach((one, at) => text(this.values[at], one.show(this.pointed ? this.pointed.values[at] : this.points[one.name][last])));
    text(this.at, this.pointed ? time(this.pointed.time) : "");
  }

  end() {
    this.chart.end();
    this.node.remove();
  }
}

class Redis {
  constructor() {
    this.words = h("span");
    this.node = h("li", { class: "mark" });
  }

  update({ where, up, why }) {
    const tone = up ? "ok" : "bad";
    if (this.tone !== tone) fill(this.node, icon(tone), this.words);
    this.tone = tone;
    set(this.node, "class", `mark tone-${tone}`);
    text(this.words, up ? t("redis.up", { where }) : `${where}: ${why}`);
  }
}
