// Starts the page: who is here, which language, the connection, and which view is shown.

import { mayAct, visitor } from "./actions.js";
import { Deploys } from "./deploys.js";
import { Doctor } from "./doctor.js";
import { fill, h, set, show, text } from "./dom.js";
import { Events } from "./events.js";
import { clock, now, setClock } from "./format.js";
import { keep, language, speak, t } from "./i18n.js";
import { Live, whoAmI } from "./live.js";
import { Logs } from "./logs.js";
import { Overview, problemsOf } from "./overview.js";
import { refresh } from "./process.js";
import { Queues } from "./queues.js";
import { Store } from "./store.js";

const VIEWS = { overview: Overview, queues: Queues, deploys: Deploys, events: Events, logs: Logs, doctor: Doctor };

const store = new Store();
const element = (name) => document.getElementById(name);
const meta = (name) => document.querySelector(`meta[name=${name}]`);
const [main, banner, status] = ["main", "banner", "live"].map(element);
let view = null;
let place = null;
let state = "";

// --- which view ------------------------------------------------------------------------------------------------------

function route(event) {
  if (location.hash && !location.hash.startsWith("#/")) return;
  const [name, argument = ""] = location.hash.replace(/^#\//, "").split("/").map(decodeURIComponent);
  const found = name in VIEWS ? name : "overview";
  if (place === `${found}/${argument}` && event) return;
  const sameView = view && place?.split("/")[0] === found && found !== "logs";
  place = `${found}/${argument}`;
  for (const link of document.querySelectorAll("nav a")) set(link, "aria-current", link.dataset.view === found ? "page" : null);
  document.querySelector(`nav a[data-view=${found}]`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (sameView && event) return;
  view?.end?.();
  view = new VIEWS[found](store, argument);
  fill(main, store.known ? view.node : h("p", { class: "none" }, t("connecting")));
  entitle();
  if (store.known) view.update();
  if (event) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

// What a tab in the background says: which view, and whether something is not as it should be.
function entitle() {
  const bad = store.known && problemsOf(store).length;
  document.title = `${bad ? "⚠ " : ""}${t(`nav.${place.split("/")[0]}`)} · queuepool`;
}

function update() {
  entitle();
  if (!view.node.isConnected) fill(main, view.node);
  view.update();
  refresh(store.processes);
  tick();
}

function tick() {
  if (!store.known || state === "out") return;
  view.tick();
  const { version, config, pid, started_at: began, state: doing } = store.daemon;
  text(element("daemon"), t(doing === "RUNNING" ? "daemon" : "daemon.ending", { version, config, pid, time: clock(now() - began) }));
}

// --- the connection --------------------------------------------------------------------------------------------------

const told = {
  history: (data) => store.remember(data),
  whole: (data) => {
    const another = store.birth && store.birth !== data.birth;
    setClock(data.now);
    store.whole(data);
    store.sample(data.now);
    update();
    if (another) again();
  },
  events: (data) => {
    store.add(data.events);
    update();
  },
  changes: (data) => {
    setClock(data.now);
    store.changes(data);
    update();
  },
};

function connection(now) {
  if (now === state) return;
  state = now;
  set(status, "class", `pulse ${now}`);
  text(status, t(`live.${now}`));
  document.body.classList.toggle("stale", now === "lost" || now === "out");
  show(banner, now === "lost" || now === "out");
  if (now === "hidden" || now === "out") view.sleep?.();
  if (now === "lost") text(banner, t("lost"));
  if (now === "out") fill(banner, `${t("out")}. `, h("a", { href: loginPath() }, t("login")));
}

const loginPath = () => `login?next=${encodeURIComponent(location.pathname + location.hash)}`;

// Another daemon answers: it may know us by another name, or be of another version, which has other files.
async function again() {
  const who = await whoAmI();
  if (!who) return;
  if (who.version !== meta("version").content && !document.querySelector("dialog")) location.reload();
  const before = mayAct();
  Object.assign(visitor, who);
  if (before !== mayAct()) begin();
}

// --- begin -----------------------------------------------------------------------------------------------------------

function begin() {
  text(element("visitor"), visitor.name ? (mayAct() ? visitor.name : `${visitor.name} (${t("viewer")})`) : t("guest"));
  show(element("logout"), visitor.by === "session");
  document.querySelector("#logout input").value = visitor.csrf;
  show(element("login"), !visitor.name || (visitor.by !== "session" && !mayAct()));
  set(element("login"), "href", loginPath());
  show(document.querySelector("nav a[data-view=doctor]"), mayAct());
  place = null;
  route();
}

const who = meta("visitor");
Object.assign(visitor, { name: who.content, role: who.dataset.role, by: who.dataset.by, csrf: meta("csrf").content });
await speak(language());
const choice = element("language");
choice.value = document.documentElement.lang;
choice.addEventListener("change", async () => {
  keep(choice.value);
  await speak(choice.value);
  const now = state;
  state = "";
  connection(now);
  begin();
  tick();
});
begin();
connection("connecting");
addEventListener("hashchange", route);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part of the address behind # says which view is shown
  main.focus();
});
addEventListener("focusin", () => set(element("login"), "href", loginPath()));
setInterval(tick, 1000);
new Live(told, connection).open();
