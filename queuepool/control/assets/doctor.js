// What the doctor finds, when it is asked.

import { mayAct, post, refuse } from "./actions.js";
import { fill, h, text } from "./dom.js";
import { time } from "./format.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";

const TONES = { error: "bad", warning: "warn", info: "busy", ok: "ok" };
let last = null; // kept while the page is open

export class Doctor {
  constructor() {
    this.button = h("button", { type: "button", class: "primary", onclick: () => this.ask() }, t("doctor.ask"));
    this.about = h("p", { class: "notes", role: "status" }, t("doctor.what"));
    this.list = h("div", { class: "findings" });
    this.node = h("div", {}, h("div", { class: "head" }, h("h2", {}, t("nav.doctor")), mayAct() ? this.button : null), this.about, this.list);
    if (last) this.tell(last);
  }

  async ask() {
    this.button.disabled = true;
    text(this.about, t("doctor.asking"));
    try {
      const answer = await post("doctor", {});
      last = { at: Date.now() / 1000, report: await answer.json() };
      this.tell(last);
    } catch (error) {
      text(this.about, t("doctor.what"));
      refuse(error);
    } finally {
      this.button.disabled = false;
    }
  }

  tell({ at, report }) {
    const count = (severity) => report.findings.filter((one) => one.severity === severity).length;
    const told = ["error", "warning", "info"].filter(count).map((severity) => t(`doctor.${severity}`, { n: count(severity) }));
    text(this.about, `${time(at)}: ${told.join(", ") || t("doctor.healthy")}`);
    fill(this.list, report.findings.map((finding) => {
      const tone = TONES[finding.severity] ?? "busy";
      return h(
        "article",
        { class: `finding tone-${tone}` },
        h("header", {}, h("span", { class: "mark" }, icon(tone === "busy" ? "info" : tone), h("span", {}, t(`doctor.${finding.severity}.one`))), h("h3", {}, finding.subject), h("code", {}, finding.id)),
        h("p", {}, finding.what),
        evidence(finding.evidence),
        finding.remedy ? h("p", { class: "remedy" }, h("span", { class: "more" }, `${t("doctor.try")} `), finding.remedy) : null,
      );
    }));
  }

  update() {}

  tick() {}
}

function evidence(found) {
  const lines = Array.isArray(found) ? found : found ? [found] : [];
  const shown = lines.map((one) => (typeof one === "string" ? one : JSON.stringify(one)));
  return shown.length ? h("pre", { class: "lines", tabindex: 0, "aria-label": t("doctor.evidence") }, shown.join("\n")) : null;
}
