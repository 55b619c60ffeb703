// The deploy that goes on, or the last one: how far it is, what it waits for, what was told of it; and those before it.

import { abortDeploy, buttons, deploy } from "./actions.js";
import { Keyed, fill, h, id, set, show, text } from "./dom.js";
import { clock, lastPart, lasted, moment, now, number, time } from "./format.js";
import { said, t } from "./i18n.js";
import { Mark } from "./process.js";

const TONES = { running: "busy", done: "ok", rolled_back: "warn", timed_out: "bad", aborted: "warn", failed: "bad" };

export class Deploys {
  constructor(store) {
    this.store = store;
    this.mark = new Mark();
    this.title = h("h3");
    this.when = h("p", { class: "notes" });
    this.step = h("p", { class: "step", role: "status" });
    this.pools = new Keyed(h("div", { class: "progresses" }), (name) => new Progress(name));
    this.failure = h("div", { class: "failure tone-bad" });
    this.counts = h("p", { class: "notes" });
    this.lines = new Keyed(h("ol", { class: "story" }), (key, line) => new Line(line));
    this.none = h("p", { class: "none" }, t("deploy.none"));
    this.begin = buttons([[t("deploy.new"), deploy, "primary"]]);
    this.abort = buttons([[t("do.abort"), abortDeploy, "danger"]]);
    this.past = new Keyed(h("ol", { class: "past" }), () => new Past());
    const heading = id("past");
    this.pastBox = h("section", { "aria-labelledby": heading }, h("h3", { id: heading }, t("deploy.past")), this.past.parent);
    this.box = h(
      "article",
      { class: "deploy" },
      h("header", {}, this.title, this.mark.node, h("div", { class: "actions" }, this.abort)),
      this.when,
      this.step,
      this.pools.parent,
      this.counts,
      this.failure,
      h("h4", {}, t("deploy.story")),
      this.lines.parent,
    );
    this.node = h("div", {}, h("div", { class: "head" }, h("h2", {}, t("nav.deploys")), h("div", { class: "actions" }, this.begin)), this.none, this.box, this.pastBox);
  }

  update() {
    const found = (this.found = this.store.deploy);
    const past = this.store.deploys.filter((one) => one.id !== found?.id);
    this.past.update(past.map((one) => [one.id, one]));
    show(this.pastBox, past.length);
    show(this.none, !found && !past.length);
    show(this.box, Boolean(found));
    const running = found?.result === "running";
    for (const button of this.begin) button.disabled = running;
    for (const button of this.abort) show(button, running);
    if (!found) return;
    text(this.title, found.id);
    this.about = this.store.deploys.find((one) => one.id === found.id);
    this.mark.update(TONES[found.result] ?? "idle", t(`deploy.${found.result}`));
    const step = [found.step, found.waiting].map(told).filter(Boolean).join(" · ");
    text(this.step, step);
    show(this.step, Boolean(step));
    this.pools.update(running || found.result === "done" ? found.pools : []); // what went back is no progress
    const counts = counted(found, (names) => names.length);
    text(this.counts, counts.join(" · "));
    show(this.counts, counts.length && !running);
    this.fail(found.failure, found.trouble);
    const same = new Map();
    this.lines.update(found.lines.map((line) => {
      const words = `${found.id}/${line.time}/${line.message}`;
      same.set(words, (same.get(words) ?? 0) + 1);
      return [`${words}/${same.get(words)}`, line];
    }));
    this.tick();
  }

  fail(...failures) {
    const known = JSON.stringify(failures);
    show(this.failure, failures.some(Boolean));
    if (this.known === known) return;
    this.known = known;
    fill(this.failure, failures.filter(Boolean).map((one) => [
      h("p", {}, h("strong", {}, said(one.message)), one.process ? ` (${one.process})` : "", one.meaning ? `: ${said(one.meaning)}` : ""),
      one.last_lines.length ? h("pre", { class: "lines", tabindex: 0, "aria-label": t("process.lines") }, one.last_lines.join("\n")) : null,
    ]));
  }

  tick() {
    const found = this.found;
    if (!found?.begun_at) return;
    const time = found.seconds === null ? clock(now() - found.begun_at) : lasted(found.seconds);
    const about = this.about ? [releases(this.about), asker(this.about)] : [];
    text(this.when, [t("deploy.when", { at: moment(found.begun_at), time }), ...about].filter(Boolean).join(" · "));
  }
}

// What is told of a deploy; "waiting: " before what it waits for is a word of the page.
function told(message) {
  const waiting = "waiting: ";
  return message.startsWith(waiting) ? t("deploy.waiting", { what: said(message.slice(waiting.length)) }) : said(message);
}

const releases = ({ release: { from, to } }) => (!to ? "" : from && from !== to ? `${lastPart(from)} → ${lastPart(to)}` : lastPart(to));
const asker = ({ who }) => (who ? t("deploy.by", { who }) : "");
const counted = (found, count) =>
  ["started", "restarted", "stopped", "kept"].filter((word) => count(found[word])).map((word) => t(`deploy.count.${word}`, { n: number(count(found[word])) }));

// One that has ended.
class Past {
  constructor() {
    this.mark = new Mark();
    this.title = h("h4");
    this.facts = h("p", { class: "notes" });
    this.why = h("p", { class: "tone-bad" });
    this.node = h("li", {}, h("header", {}, this.title, this.mark.node), this.facts, this.why);
  }

  update(found) {
    text(this.title, moment(found.begun_at));
    set(this.title, "title", found.id);
    this.mark.update(TONES[found.result] ?? "idle", t(`deploy.${found.result}`));
    const facts = [releases(found), asker(found), t("deploy.took", { time: lasted(found.seconds) }), ...counted(found, (n) => n)];
    text(this.facts, facts.filter(Boolean).join(" · "));
    text(this.why, said(found.failure));
    show(this.why, found.failure);
  }
}

class Progress {
  constructor(name) {
    this.fill = h("div", { class: "fill" });
    this.bar = h("div", { class: "progress", role: "progressbar", "aria-label": name, "aria-valuemin": 0 }, this.fill);
    this.words = h("span", { class: "more" });
    this.node = h("div", { class: "row" }, h("strong", {}, name), this.bar, this.words);
  }

  update({ done, total, draining, back }) {
    set(this.bar, "aria-valuemax", total);
    set(this.bar, "aria-valuenow", done);
    this.fill.style.setProperty("width", `${total ? (100 * done) / total : 100}%`);
    set(this.bar, "class", `progress tone-${back ? "warn" : done >= total && !draining ? "ok" : "busy"}`);
    text(this.words, t(back ? "deploy.progress.back" : "deploy.progress", { n: done, m: total }) + (draining ? ` · ${t("deploy.draining", { n: draining })}` : ""));
  }
}

class Line {
  constructor({ time: at, event, message }) {
    this.node = h("li", { class: event === "failed" ? "tone-bad" : event === "output" ? "output" : "" }, h("time", {}, time(at)), h("span", {}, event === "output" ? message : told(message)));
  }

  update() {}
}
