// What happened, the newest first.

import { Keyed, h, id, set, show, text } from "./dom.js";
import { moment } from "./format.js";
import { icon, toneOfEvent } from "./icons.js";
import { t } from "./i18n.js";

const SHOWN = 300;

export class Events {
  constructor(store) {
    this.store = store;
    const search = id("search");
    this.search = h("input", { id: search, type: "search", placeholder: t("events.search"), oninput: () => this.update() });
    this.trouble = h("input", { type: "checkbox", onchange: () => this.update() });
    this.list = new Keyed(h("ol", { class: "events" }), (key, event) => new Happened(event));
    this.none = h("p", { class: "none" });
    this.node = h(
      "div",
      {},
      h("div", { class: "head" }, h("h2", {}, t("nav.events")), h("label", { for: search }, h("span", { class: "unseen" }, t("events.search")), this.search), h("label", { class: "check" }, this.trouble, t("events.trouble"))),
      this.none,
      this.list.parent,
    );
  }

  update() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [];
    for (let at = this.store.events.length - 1; at >= 0 && found.length < SHOWN; at--) {
      const event = this.store.events[at];
      const where = `${event.event} ${event.process} ${event.sentence}`.toLowerCase();
      if (this.trouble.checked && !["bad", "warn"].includes(toneOfEvent(event))) continue;
      if (words.every((word) => where.includes(word))) found.push([event.seq, event]);
    }
    this.list.update(found);
    show(this.none, !found.length);
    text(this.none, t(words.length || this.trouble.checked ? "events.nomatch" : "events.none"));
  }

  tick() {}
}

class Happened {
  constructor(event) {
    const tone = toneOfEvent(event);
    this.node = h(
      "li",
      { class: `tone-${tone}` },
      icon(tone === "idle" ? "info" : tone === "busy" ? "work" : tone),
      h("time", { datetime: new Date(event.time * 1000).toISOString() }, moment(event.time)),
      h("span", { class: "words" }, event.sentence),
    );
    if (event.gap) this.node.append(h("span", { class: "flag stale" }, t("events.gap")));
    set(this.node, "title", event.event);
  }

  update() {}
}
