// What can be asked for: a confirmation, the request, and what became of it. Only operators are shown the buttons; the
// daemon decides by itself who may.

import { h, id } from "./dom.js";
import { icon } from "./icons.js";
import { said, t } from "./i18n.js";

const PATIENCE_SECONDS = 20; // then the page stops listening; the operation goes on
const SHOWN_SECONDS = 6;

export const visitor = { name: "", role: "viewer", by: "", csrf: "" };
export const mayAct = () => visitor.role === "operator";

export class Refused extends Error {
  constructor({ message, hint, problems }) {
    super(message);
    this.hint = hint;
    this.problems = problems ?? [];
  }
}

// One operation of the JSON interface; its reply. told(progress) is called on the way. Throws Refused.
export async function ask(operation, message, told = () => {}, signal = undefined) {
  const answer = await post(`api/v1/${operation}`, message, signal);
  let rest = "";
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let last = null;
  const take = (line) => {
    if (!line.trim()) return;
    const said = JSON.parse(line);
    if (said.progress) told(said.progress);
    else last = said;
  };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    lines.forEach(take);
  }
  take(rest);
  if (last?.error) throw new Refused(last.error);
  if (!last) throw new Refused({ message: t("answer.none"), hint: "" });
  return "reply" in last ? last.reply : last;
}

export async function post(path, message, signal = undefined) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Accept: "application/x-ndjson",
        ...(visitor.csrf ? { "X-CSRF-Token": visitor.csrf } : {}),
      },
      body: JSON.stringify(message),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused({ message: t("answer.unreachable"), hint: t("answer.unreachable.hint") });
  }
  if (answer.ok) return answer;
  let said = null;
  try {
    said = (await answer.json()).error;
  } catch {
    // not from the daemon
  }
  if (answer.status === 401) throw new Refused({ message: t("out"), hint: t("out.hint") });
  throw new Refused(said ?? { message: t("answer.status", { n: answer.status }), hint: "" });
}

// --- messages --------------------------------------------------------------------------------------------------------

export function toast(message, { tone = "ok", hint = "", problems = [] } = {}) {
  const stays = tone === "bad" || tone === "warn";
  const text = h("p", {}, message);
  const node = h(
    "div",
    { class: `toast tone-${tone}` },
    icon(tone),
    h("div", {}, text, problems.length ? h("ul", {}, problems.map((one) => h("li", {}, one))) : null, hint ? h("p", { class: "hint" }, hint) : null),
    h("button", { class: "quiet", type: "button", "aria-label": t("close"), onclick: () => node.remove() }, "×"),
  );
  document.getElementById(stays ? "failed" : "said").append(node);
  let timer = null;
  const leave = () => {
    clearTimeout(timer);
    if (!stays) timer = setTimeout(() => node.remove(), SHOWN_SECONDS * 1000);
  };
  node.addEventListener("mouseenter", () => clearTimeout(timer));
  node.addEventListener("mouseleave", leave);
  leave();
  return { say: (words) => ((text.textContent = words), leave()), end: () => node.remove() };
}

export function refuse(error) {
  if (error instanceof Refused) toast(error.message, { tone: "bad", hint: error.hint, problems: error.problems });
  else toast(String(error?.message ?? error), { tone: "bad" });
}

// --- asking first ----------------------------------------------------------------------------------------------------

// A dialog; what `answer` gives when it is confirmed, null when not. danger: the button says so.
export function confirm({ title, body = [], yes, danger = false, answer = () => true, ready = () => {} }) {
  return new Promise((resolve) => {
    const heading = id("dialog");
    const accept = h("button", { class: danger ? "danger" : "primary", value: "yes" }, yes);
    const dialog = h(
      "dialog",
      { "aria-labelledby": heading },
      h(
        "form",
        { method: "dialog" },
        h("h2", { id: heading }, title),
        h("div", { class: "body" }, body),
        h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => dialog.close() }, t("cancel")), accept),
      ),
    );
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "yes" ? answer() : null;
      dialog.remove();
      resolve(given);
    });
    document.body.append(dialog);
    dialog.showModal();
    ready(dialog, accept);
  });
}

const OPERATIONS = { start: "primary", stop: "danger", restart: "primary", pause: "primary", continue: "primary" };

// start, stop, restart, pause or continue processes. names: selectors. shown: what people call them.
export async function act(operation, names, shown) {
  const sure = await confirm({
    title: t(`ask.${operation}`, { name: shown }),
    body: [h("p", {}, t(`ask.${operation}.what`))],
    yes: t(`do.${operation}`),
    danger: OPERATIONS[operation] === "danger",
  });
  if (!sure) return;
  const message = operation === "stop" || operation === "start" || operation === "restart" ? { names, wait: true } : { names };
  await follow(operation, message, t(`doing.${operation}`, { name: shown }), (reply) => results(reply, shown));
}

export async function scale(program) {
  const input = h("input", {
    type: "number",
    min: 0,
    max: program.kind === "horizon" ? 1 : 10000,
    value: program.wanted || program.numprocs,
    required: true,
    autofocus: true,
    inputmode: "numeric",
  });
  let reset = false;
  const back = h("button", { type: "button", class: "quiet" }, t("scale.reset", { n: program.numprocs }));
  const wanted = await confirm({
    title: t("ask.scale", { name: program.name }),
    body: [h("label", {}, t("scale.count"), input), h("p", { class: "hint" }, t("scale.what")), back],
    yes: t("do.scale"),
    answer: () => (reset ? { reset: true } : { count: input.valueAsNumber }),
    ready: (dialog) => {
      input.select();
      back.addEventListener("click", () => {
        reset = true;
        dialog.close("yes");
      });
    },
  });
  if (!wanted) return;
  const count = wanted.reset ? program.numprocs : wanted.count;
  await follow("scale", { name: program.name, ...wanted, wait: true }, t("doing.scale", { name: program.name, n: count }), (reply) => {
    if (reply.failed?.length) return toast(`${reply.message}: ${reply.failed[0].message}`, { tone: "bad" });
    return toast(reply.message);
  });
}

// Ask, show how it goes, and give up listening after a while: what was asked goes on.
async function follow(operation, message, title, done) {
  const shown = toast(title, { tone: "busy" });
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), PATIENCE_SECONDS * 1000);
  let count = 0;
  try {
    const reply = await ask(
      operation,
      message,
      (progress) => shown.say(`${title} ${t("done.count", { n: ++count })} (${progress.display}: ${progress.state})`),
      patience.signal,
    );
    shown.end();
    done(reply);
  } catch (error) {
    shown.end();
    if (error.name === "AbortError") toast(`${title} ${t("goes.on")}`, { tone: "busy" });
    else refuse(error);
  } finally {
    clearTimeout(timer);
  }
}

function results({ results }, shown) {
  const failed = results.filter((one) => one.result === "failed");
  const counts = new Map();
  for (const { result } of results) counts.set(result, (counts.get(result) ?? 0) + 1);
  const told = [...counts].map(([word, n]) => `${n} ${t(`result.${word}`)}`).join(", ") || t("result.nothing");
  toast(`${shown}: ${told}`, {
    tone: failed.length ? "bad" : "ok",
    problems: failed.slice(0, 5).map((one) => `${one.display}: ${one.message}`),
  });
}

// --- deploys ---------------------------------------------------------------------------------------------------------

export async function deploy() {
  let plan;
  try {
    plan = await ask("plandeploy", {});
  } catch (error) {
    refuse(error);
    return;
  }
  const problems = plan.problems.map((one) => h("li", { class: "tone-warn" }, one));
  if (!plan.changes) {
    await confirm({
      title: t("deploy.nothing"),
      body: [h("p", {}, t("deploy.nothing.what")), problems.length ? h("ul", {}, problems) : null],
      yes: t("close"),
    });
    return;
  }
  const idle = (program) => !(program.added || program.removed || program.started.length || program.restarted.length || program.stopped.length);
  const kept = plan.programs.filter(idle).map((program) => program.name);
  const moved = plan.programs.filter((program) => !idle(program));
  const sure = await confirm({
    title: t("ask.deploy"),
    body: [
      h("p", {}, t("ask.deploy.what")),
      h(
        "ul",
        { class: "plan" },
        moved.map((program) => h("li", {}, h("strong", {}, program.name), planned(program))),
        kept.length ? h("li", { class: "hint" }, t("plan.untouched", { names: kept.join(", ") })) : null,
        problems,
      ),
    ],
    yes: t("do.deploy"),
  });
  if (!sure) return;
  try {
    const report = await ask("deploy", { wait: false });
    location.hash = "#/deploys";
    toast(report.id ? t("deploy.begun", { id: report.id }) : t("deploy.nothing"), { tone: "busy" });
  } catch (error) {
    refuse(error);
  }
}

function planned(program) {
  const parts = [];
  if (program.added) parts.push(t("plan.added"));
  if (program.removed) parts.push(t("plan.removed"));
  for (const [key, word] of [["started", "plan.start"], ["restarted", "plan.restart"], ["stopped", "plan.stop"], ["kept", "plan.keep"]]) {
    if (program[key]?.length) parts.push(t(word, { n: program[key].length }));
  }
  const why = [...(program.changed ?? [])];
  if (program.restarted?.length) why.push(program.restarted[0].why);
  return [": ", parts.join(", "), why.length ? h("div", { class: "hint" }, [...new Set(why)].map(said).join("; ")) : null];
}

export async function abortDeploy() {
  const sure = await confirm({ title: t("ask.abort"), body: [h("p", {}, t("ask.abort.what"))], yes: t("do.abort"), danger: true });
  if (!sure) return;
  try {
    await ask("abortdeploy", { wait: false });
    toast(t("deploy.aborting"), { tone: "busy" });
  } catch (error) {
    refuse(error);
  }
}

// A row of buttons; empty for those who may not act.
export function buttons(list) {
  if (!mayAct()) return [];
  return list.map(([label, run, kind = ""]) => h("button", { type: "button", class: kind, onclick: run }, label));
}

