// What runs, what does not, and why: the figures of everything, then every pool with its processes.

import { act, buttons, scale } from "./actions.js";
import { Keyed, h, id, set, show, text } from "./dom.js";
import { number, rate, short } from "./format.js";
import { change, icon } from "./icons.js";
import { said, t } from "./i18n.js";
import { ProcessRow, open, stateOf, toneOf } from "./process.js";

const TABLE_AT_ONCE = 12; // a larger pool is shown as a strip first

export class Overview {
  constructor(store) {
    this.store = store;
    this.figures = new Keyed(h("dl", { class: "figures" }), (key) => new Figure(key));
    this.problems = new Keyed(h("ul"), () => new Problem((name) => this.pools.parts.get(name)?.come()));
    this.problemBox = h("section", { class: "problems", "aria-label": t("problems") }, h("h2", {}, t("problems")), this.problems.parent);
    this.pools = new Keyed(h("div", { class: "pools" }), (key) => new Pool(key));
    this.node = h(
      "div",
      {},
      h("h2", { class: "unseen" }, t("nav.overview")),
      this.figures.parent,
      this.problemBox,
      this.pools.parent,
    );
  }

  update() {
    const { programs, processes } = this.store;
    this.figures.update(figures(this.store));
    const problems = problemsOf(this.store);
    this.problems.update(problems.map((one) => [one.words, one]));
    show(this.problemBox, problems.length);
    const members = new Map([...programs.keys()].map((name) => [name, []]));
    for (const entry of processes) {
      const program = entry[1].program;
      if (!members.has(program)) members.set(program, []);
      members.get(program).push(entry);
    }
    this.pools.update([...members].map(([name, rows]) => [name, { program: programs.get(name) ?? gone(name, rows), rows }]));
  }

  tick() {
    for (const pool of this.pools.parts.values()) pool.tick();
  }
}

// What is not as it should be, each thing once: {words, program}; program: undefined where it is not of one.
export function problemsOf({ daemon, programs, queues, redis }) {
  const found = new Map(daemon.problems.map((one) => [one, { words: said(one) }]));
  const known = (words) => [...found.keys()].some((one) => one.includes(words));
  for (const { name, problems, horizon } of programs.values()) {
    for (const one of [...problems, ...(horizon?.problems ?? [])]) found.set(`${name}: ${one}`, { words: `${name}: ${said(one)}`, program: name });
  }
  for (const [where, { up, why }] of redis) if (!up && !known(where)) found.set(`${where}: ${why}`, { words: `${where}: ${said(why)}` });
  for (const { connection, queue, why } of queues.values()) {
    if (why && why !== "not asked yet" && !known(why)) found.set(`${connection}:${queue}: ${why}`, { words: `${connection}:${queue}: ${said(why)}` });
  }
  return [...found.values()];
}

// A program that the file does not have any more, of which something still lives.
const gone = (name, rows) => ({ name, kind: "", numprocs: 0, wanted: 0, running: rows.length, reason: t("pool.gone"), problems: [], horizon: null });

function figures({ programs, processes, queues }) {
  let running = 0, wanted = 0, busy = 0, says = false, failed = 0, done = 0, counted = false;
  for (const program of programs.values()) {
    running += Math.min(program.running, program.wanted);
    wanted += program.wanted;
    if (program.done !== null) {
      counted = true;
      failed += program.failed;
      done += program.done;
    }
  }
  for (const process of processes.values()) {
    busy += Boolean(process.job);
    says ||= process.says;
  }
  const sum = (field) => {
    let total = null;
    for (const queue of queues.values()) if (queue[field] !== null) total = (total ?? 0) + queue[field];
    return total;
  };
  // Which job waits longest is told by new Laravels alone; how long a job will wait, by the pace of the workers.
  const longest = [...queues.values()].reduce((most, { oldest, wait }) => Math.max(most, oldest ?? 0, wait ?? 0), 0);
  const list = [
    ["running", { value: `${number(running)}`, more: t("figure.of", { n: number(wanted) }), tone: running >= wanted ? "ok" : running ? "warn" : "bad" }],
    ["busy", { value: says ? number(busy) : "–", more: t("figure.atwork") }],
  ];
  if (queues.size) {
    list.push(
      ["ready", { value: number(sum("ready")), more: sum("ready") === null ? "" : t("figure.wait", { time: short(longest) }) }],
      ["in", { value: rate(sum("rate_in")), more: t("figure.persecond") }],
      ["done", { value: rate(sum("rate_done")), more: t("figure.persecond") }],
    );
  }
  list.push(["failed", { value: counted ? number(failed) : "–", more: counted ? t("figure.ofdone", { n: number(done + failed) }) : "", tone: failed ? "warn" : "" }]);
  return list;
}

class Figure {
  constructor(key) {
    this.value = h("span", { class: "value" });
    this.more = h("span", { class: "more" });
    this.node = h("div", {}, h("dt", {}, t(`figure.${key}`)), h("dd", {}, this.value, " ", this.more));
  }

  update({ value, more, tone }) {
    text(this.value, value);
    text(this.more, more);
    set(this.node, "class", tone ? `tone-${tone}` : "");
  }
}

class Problem {
  constructor(go) {
    this.words = h("span");
    this.link = h("button", { type: "button", class: "link", onclick: () => go(this.program) });
    this.node = h("li", { class: "tone-warn" }, icon("warn"), this.words, this.link);
  }

  update({ words, program }) {
    this.program = program;
    text(this.words, program ? "" : words);
    text(this.link, program ? words : "");
    show(this.words, !program);
    show(this.link, program);
  }
}

class Pool {
  constructor(name) {
    this.name = name;
    const heading = id("pool");
    this.tableId = id("table");
    this.icon = icon("idle");
    this.count = h("span");
    this.status = h("span", { class: "mark" }, this.icon, this.count);
    this.kind = h("span", { class: "kind" });
    this.notes = h("p", { class: "notes" });
    this.strip = new Keyed(h("div", { class: "strip", "aria-hidden": "true" }), (key, process) => new Tile(process));
    this.summary = h("p", { class: "summary" });
    this.rows = new Keyed(h("tbody"), (key, process) => new ProcessRow(key, process));
    this.scroll = h(
      "div",
      { class: "scroll", id: this.tableId },
      h(
        "table",
        { class: "processes" },
        h("caption", { class: "unseen" }, t("pool.processes", { name })),
        h("thead", {}, h("tr", {}, ["process", "state", "job", "uptime", "memory", "cpu", "restarts"].map((word, at) => h("th", { scope: "col", class: at > 2 ? "num" : "" }, t(`col.${word}`))))),
        this.rows.parent,
      ),
    );
    this.toggle = h("button", { type: "button", class: "quiet", "aria-controls": this.tableId, onclick: () => this.open(!this.opened) });
    this.horizon = new Horizon();
    const names = [name];
    const more = h("div", { class: "more-actions", id: id("more") });
    const rest = ["start", "pause", "continue", "stop"];
    const acts = buttons(rest.map((one) => [t(`do.${one}`), () => act(one, names, name), one === "stop" ? "danger" : ""]));
    this.pausing = acts.slice(1, 3);
    more.append(...acts);
    more.hidden = true;
    const others = h("button", { type: "button", class: "quiet", "aria-expanded": "false", "aria-controls": more.id, onclick: () => {
      more.hidden = !more.hidden;
      others.setAttribute("aria-expanded", String(!more.hidden));
    } }, t("more"));
    const own = buttons([
      [t("do.scale"), () => scale(this.program)],
      [t("do.restart"), () => act("restart", names, name)],
    ]);
    this.actions = h("div", { class: "actions", role: "group", "aria-label": t("pool.actions", { name }) }, own, own.length ? others : null, more);
    this.node = h(
      "article",
      { class: "pool", "aria-labelledby": heading, tabindex: -1 },
      h("header", {}, h("h3", { id: heading }, name), this.kind, this.status, this.actions),
      this.notes,
      this.horizon.node,
      this.strip.parent,
      h("div", { class: "fold" }, this.summary, this.toggle),
      this.scroll,
    );
    this.opened = null;
  }

  update({ program, rows }) {
    this.program = program;
    const { wanted, running, numprocs } = program;
    const starting = rows.filter(([, process]) => process.state === "STARTING").length;
    const tone = !wanted ? "idle" : running >= wanted ? "ok" : starting ? "busy" : running ? "warn" : "bad";
    set(this.status, "class", `mark tone-${tone}`);
    change(this.icon, tone);
    text(this.count, wanted ? t("pool.running", { n: running, m: wanted }) : running ? t("pool.still", { n: running }) : t("state.STOPPED"));
    text(this.kind, program.kind === "worker" ? "" : program.kind);
    for (const button of this.pausing) show(button, program.kind !== "command"); // only Laravel's know how
    show(this.kind, program.kind && program.kind !== "worker");
    const notes = [];
    if (wanted !== numprocs) notes.push(t("pool.file", { n: numprocs }));
    if (program.reason && program.reason !== "numprocs") notes.push(said(program.reason));
    if (program.done !== null && program.done !== undefined) {
      notes.push(t("pool.done", { n: number(program.done), rate: rate(program.rate) }));
      if (program.failed) notes.push(t("pool.failed", { n: number(program.failed) }));
      if (program.p95 !== null) notes.push(t("pool.time", { mean: short(program.mean), p95: short(program.p95) }));
    }
    text(this.notes, notes.join(" · "));
    show(this.notes, notes.length);
    this.horizon.update(program.horizon);
    const large = rows.length > TABLE_AT_ONCE;
    if (this.opened === null || (!large && !this.chosen)) this.open(!large, false);
    show(this.strip.parent, large);
    this.strip.update(large ? rows : []);
    show(this.toggle.parentNode, large);
    text(this.summary, large ? tally(rows) : "");
    this.rows.update(this.opened ? rows : []);
    this.shown = rows;
  }

  // Be seen, with all its processes.
  come() {
    if (!this.opened) this.open(true);
    this.node.scrollIntoView({ block: "start" });
    this.node.focus({ preventScroll: true });
  }

  open(opened, chosen = true) {
    this.opened = opened;
    this.chosen ||= chosen;
    show(this.scroll, opened);
    this.toggle.setAttribute("aria-expanded", String(opened));
    text(this.toggle, t(opened ? "pool.fold" : "pool.unfold"));
    if (this.shown) this.rows.update(opened ? this.shown : []);
  }

  tick() {
    for (const row of this.rows.parts.values()) row.tick();
  }
}

function tally(rows) {
  const counts = new Map();
  let busy = 0;
  for (const [, process] of rows) {
    counts.set(process.state, (counts.get(process.state) ?? 0) + 1);
    busy += Boolean(process.job);
  }
  const told = [...counts].map(([state, n]) => `${number(n)} ${t(`state.${state}`)}`);
  if (busy) told.push(t("pool.atwork", { n: number(busy) }));
  return told.join(" · ");
}

// A process as a small square: what a glance at hundreds of them needs.
class Tile {
  constructor(process) {
    this.node = h("span", { class: "tile", onclick: () => open(this.process) });
    this.process = process;
  }

  update(process) {
    this.process = process;
    set(this.node, "class", `tile tone-${toneOf(process)}${process.job ? " at-work" : ""}${process.stale ? " stale" : ""}`);
    set(this.node, "title", `${process.display}: ${stateOf(process)}${process.job ? `, ${process.job.class ?? ""}` : ""}`);
  }
}

// What Laravel Horizon says of itself.
class Horizon {
  constructor() {
    this.line = h("p", { class: "notes" });
    this.rows = new Keyed(h("tbody"), () => new HorizonRow());
    this.table = h(
      "div",
      { class: "scroll" },
      h(
        "table",
        {},
        h("caption", { class: "unseen" }, t("horizon.supervisors")),
        h("thead", {}, h("tr", {}, ["supervisor", "queues", "workers", "balance"].map((word) => h("th", { scope: "col" }, t(`horizon.${word}`))))),
        this.rows.parent,
      ),
    );
    this.node = h("div", { class: "horizon", hidden: true }, this.line, this.table);
  }

  update(horizon) {
    show(this.node, Boolean(horizon));
    if (!horizon) return;
    text(this.line, t("horizon.status", { status: horizon.status, n: horizon.processes }));
    show(this.table, horizon.supervisors.length);
    this.rows.update(horizon.supervisors.map((one) => [one.name, one]));
  }
}

class HorizonRow {
  constructor() {
    this.cells = [h("th", { scope: "row" }), h("td"), h("td"), h("td")];
    this.node = h("tr", {}, this.cells);
  }

  update(one) {
    const [name, queues, workers, balance] = this.cells;
    text(name, one.alive ? one.short : `${one.short} (${t("horizon.silent")})`);
    text(queues, one.queues.join(", "));
    text(workers, Object.entries(one.processes).map(([queue, count]) => `${queue}: ${count}`).join(", "));
    text(balance, one.max_processes === null ? one.balance : `${one.balance} ${one.min_processes ?? 1}–${one.max_processes}`);
  }
}

