// One process: its mark and words in a table, and everything known of it in a dialog.

import { act, mayAct } from "./actions.js";
import { fill, h, id, set, show, text } from "./dom.js";
import { baseName, clock, moment, now, number, percent, size } from "./format.js";
import { TONES, change, icon } from "./icons.js";
import { said, t } from "./i18n.js";

export const toneOf = (process) => {
  if (!process.wanted && !process.retiring && process.state !== "RUNNING") return "idle";
  if (process.paused) return "pause";
  return TONES[process.state] ?? "idle";
};

export const stateOf = (process) => (process.paused && process.state === "RUNNING" ? t("state.PAUSED") : t(`state.${process.state}`));

export class Mark {
  constructor() {
    this.icon = icon("idle");
    this.word = h("span");
    this.node = h("span", { class: "mark" }, this.icon, this.word);
  }

  update(tone, word) {
    set(this.node, "class", `mark tone-${tone}`);
    change(this.icon, tone);
    text(this.word, word);
  }
}

// What a process does, in a few words.
export function doing(process) {
  if (process.job) {
    const name = baseName(process.job.class) || t("job.unknown");
    return { words: name, since: process.job.since, job: true };
  }
  if (process.state === "RUNNING") {
    if (process.paused) return { words: t("job.paused") };
    return process.says ? { words: t("job.idle"), since: process.idle_since, idle: true } : { words: "" };
  }
  return { words: said(process.reason) };
}

export class ProcessRow {
  constructor(key, process) {
    this.mark = new Mark();
    this.name = h("button", { type: "button", class: "link", onclick: () => open(this.process) });
    this.flags = h("span", { class: "flags" });
    this.words = h("span", { class: "words" });
    this.since = h("span", { class: "since" });
    this.uptime = h("td", { class: "num" });
    this.memory = h("td", { class: "num" });
    this.cpu = h("td", { class: "num" });
    this.restarts = h("td", { class: "num" });
    this.labels = [this.uptime, this.memory, this.cpu, this.restarts];
    this.node = h(
      "tr",
      {},
      h("th", { scope: "row" }, this.name, this.flags),
      h("td", { class: "state" }, this.mark.node),
      h("td", { class: "job" }, this.words, " ", this.since),
      ...this.labels,
    );
    ["col.uptime", "col.memory", "col.cpu", "col.restarts"].forEach((word, at) => (this.labels[at].dataset.label = t(word)));
    this.process = process;
  }

  update(process) {
    this.process = process;
    text(this.name, process.display);
    this.mark.update(toneOf(process), stateOf(process));
    const flags = ["stale", "retiring", "adopted"].filter((flag) => process[flag]);
    if (this.flags.dataset.flags !== flags.join()) {
      this.flags.dataset.flags = flags.join();
      fill(this.flags, flags.map((flag) => h("span", { class: `flag ${flag}`, title: t(`flag.${flag}.what`) }, t(`flag.${flag}`))));
    }
    const { words } = (this.doing = doing(process));
    text(this.words, words);
    set(this.words, "title", process.job?.class ?? (words.length > 40 ? words : null));
    set(this.node, "class", process.job ? "at-work" : process.state === "RUNNING" ? "" : "not-running");
    text(this.memory, process.pid ? size(process.memory) : "");
    text(this.cpu, process.pid ? percent(process.cpu) : "");
    text(this.restarts, process.restarts ? number(process.restarts) : "");
    this.tick();
  }

  tick() {
    const { since, job } = this.doing;
    const seconds = since ? now() - since : 0;
    text(this.since, job ? clock(seconds) : "");
    text(this.uptime, this.process.pid && this.process.started_at ? clock(now() - this.process.started_at) : "");
  }
}

let opened = null; // the dialog that shows a process, kept up to date

export function open(process) {
  const heading = id("process");
  const facts = h("dl", { class: "facts" });
  const lines = h("pre", { class: "lines", tabindex: 0 });
  const linesTitle = h("h3", {}, t("process.lines"));
  const mark = new Mark();
  const link = h("a", { class: "button", href: `#/logs/${encodeURIComponent(process.name)}`, onclick: () => dialog.close() }, t("process.log"));
  const run = (operation) => async () => {
    dialog.close();
    await act(operation, [process.name], process.display);
  };
  const acts = {};
  for (const one of mayAct() ? ["start", "restart", "pause", "continue", "stop"] : []) {
    acts[one] = h("button", { type: "button", class: one === "stop" ? "danger" : "", onclick: run(one) }, t(`do.${one}`));
  }
  const dialog = h(
    "dialog",
    { class: "wide", "aria-labelledby": heading },
    h("div", { class: "head" }, h("h2", { id: heading }, process.display), mark.node),
    facts,
    linesTitle,
    lines,
    h("div", { class: "buttons" }, Object.values(acts), link, h("button", { type: "button", onclick: () => dialog.close(), autofocus: true }, t("close"))),
  );
  const key = process.retiring ? `${process.name}/${process.pid ?? 0}` : process.name;
  opened = {
    key,
    update(found) {
      mark.update(toneOf(found), stateOf(found));
      const rows = [
        ["process.name", found.name],
        ["process.reason", said(found.reason)],
        ["process.pid", found.pid],
        ["process.uptime", found.pid && found.started_at ? clock(now() - found.started_at) : null],
        ["process.since", found.pid && found.started_at ? moment(found.started_at) : found.changed_at ? moment(found.changed_at) : null],
        ["process.job", found.job ? `${found.job.class ?? t("job.unknown")}, ${clock(now() - found.job.since)}` : null],
        ["process.queue", found.job?.queue],
        ["process.attempts", found.job?.attempts],
        ["col.memory", found.memory !== null && found.pid ? size(found.memory) : null],
        ["col.cpu", found.cpu !== null && found.pid ? percent(found.cpu) : null],
        ["col.restarts", number(found.restarts)],
        ["process.exit", found.exit_code],
        ["process.release", found.release],
        ["process.marks", ["stale", "retiring", "adopted", "paused"].filter((flag) => found[flag]).map((flag) => t(`flag.${flag}.what`)).join("; ")],
        ["process.pausedqueues", found.paused_queues.join(", ")],
      ].filter(([, value]) => value !== null && value !== undefined && value !== "");
      fill(facts, rows.map(([word, value]) => h("div", {}, h("dt", {}, t(word)), h("dd", {}, String(value)))));
      show(linesTitle, found.last_lines.length);
      show(lines, found.last_lines.length);
      text(lines, found.last_lines.join("\n"));
      show(link, found.log);
      const running = found.state === "RUNNING";
      const sensible = { start: !found.pid, restart: found.wanted, pause: running && !found.paused && found.kind !== "command", continue: found.paused, stop: found.wanted || found.pid };
      for (const [one, button] of Object.entries(acts)) show(button, sensible[one]);
    },
  };
  dialog.addEventListener("close", () => {
    opened = null;
    dialog.remove();
  });
  document.body.append(dialog);
  opened.update(process);
  dialog.showModal();
}

export function refresh(processes) {
  const found = opened && processes.get(opened.key);
  if (found) opened.update(found);
}

