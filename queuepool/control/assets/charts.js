// Charts of the last minutes. The only file that knows uPlot, which sets its styles by script, as the page's CSP allows.

/* global uPlot */

import { h } from "./dom.js";
import { now, time } from "./format.js";

const SPAN_SECONDS = 600;
const LEAST_SECONDS = 60;
const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Set();
const COUNTS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7, 1e8];

dark.addEventListener("change", () => drawn.forEach((chart) => chart.remake()));
addEventListener("resize", () => drawn.forEach((chart) => chart.fit()));

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Chart {
  // series: [{name, label, color: "--c", fill, format}], in the order of the data. height: of the whole, in pixels.
  constructor(series, height, describe) {
    this.series = series;
    this.height = height;
    this.describe = describe;
    this.node = h("div", { class: "chart", role: "img" });
    this.points = null;
    this.plot = null;
    this.seen = false;
    this.observer = new IntersectionObserver(([entry]) => {
      this.seen = entry.isIntersecting;
      if (this.seen) this.draw();
    });
    this.observer.observe(this.node);
    drawn.add(this);
  }

  update(points) {
    this.points = points;
    this.node.setAttribute("aria-label", this.describe());
    if (this.seen) this.draw();
  }

  end() {
    this.observer.disconnect();
    this.plot?.destroy();
    drawn.delete(this);
  }

  remake() {
    this.plot?.destroy();
    this.plot = null;
    if (this.seen) this.draw();
  }

  fit() {
    if (this.plot && this.node.clientWidth) this.plot.setSize({ width: this.node.clientWidth, height: this.height });
  }

  draw() {
    if (!this.points || !this.node.clientWidth || typeof uPlot === "undefined") return;
    const data = [this.points.times, ...this.series.map(({ name }) => this.points[name])];
    if (!this.plot) this.plot = new uPlot(this.options(), data, this.node);
    else this.plot.setData(data);
  }

  options() {
    const line = { stroke: color("--ink-2"), grid: { stroke: color("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const first = () => Math.max(this.points.times[0] ?? 0, now() - SPAN_SECONDS);
    return {
      width: this.node.clientWidth,
      height: this.height,
      legend: { show: false },
      padding: [6, 18, 0, 0],
      cursor: { drag: { x: false, y: false }, points: { size: 5 }, sync: { key: "queues" }, y: false },
      scales: {
        x: { time: true, range: () => [Math.min(first(), now() - LEAST_SECONDS), now()] },
        y: { range: (_, low, high) => [0, nice(Math.max(high ?? 0, 1))] },
      },
      axes: [
        { ...line, size: 22, space: 90, values: (_, at) => at.map((one) => time(one)), grid: { show: false } },
        { ...line, size: 40, space: 26, incrs: this.series[0].format ? undefined : COUNTS, values: (_, list) => list.map((one) => label(one, this.series[0].format)) },
      ],
      series: [
        {},
        ...this.series.map((one) => ({
          label: one.label,
          stroke: color(one.color),
          width: 1.5,
          fill: one.fill ? `${color(one.color)}22` : undefined,
          points: { show: false },
          spanGaps: false,
          dash: one.dash,
        })),
      ],
      hooks: { setCursor: [(plot) => this.point(plot)] },
    };
  }

  // What the lines are where the pointer is.
  point(plot) {
    const at = plot.cursor.idx;
    const inside = at !== null && at !== undefined && plot.cursor.left >= 0;
    this.pointed?.(inside ? { time: this.points.times[at], values: this.series.map(({ name }) => this.points[name][at]) } : null);
  }
}

const label = (value, format) => (format ? format(value) : value >= 10000 ? `${Math.round(value / 1000)}k` : String(value));

// The next round number, so that the scale does not move with every job.
function nice(high) {
  const step = 10 ** Math.floor(Math.log10(high));
  return [1, 2, 5, 10].map((one) => one * step).find((one) => one >= high * 1.02) ?? high * 1.2;
}
