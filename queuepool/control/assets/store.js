// What is known, kept up to date by what the daemon says changed; control/feed.py makes the changes.

const TABLES = ["programs", "processes", "queues", "redis"];
const SERIES_KEPT = 300;
const SERIES_SECONDS = 2;
const EVENTS_KEPT = 1000;

export class Store {
  constructor() {
    this.birth = "";
    this.daemon = null;
    this.deploy = null;
    this.deploys = [];
    this.known = false;
    this.events = [];
    this.missed = false;
    this.history = new Map();
    this.listeners = new Set();
    for (const name of TABLES) this[name] = new Map();
  }

  whole({ birth, state }) {
    if (this.birth && this.birth !== birth) this.events = [];
    this.birth = birth;
    for (const name of TABLES) this[name] = new Map(state[name]);
    this.daemon = state.daemon;
    this.deploy = state.deploy;
    this.deploys = state.deploys;
    this.known = true;
  }

  changes({ now, changes, events }) {
    for (const name of TABLES) if (changes[name]) this[name] = changed(this[name], changes[name]);
    if ("daemon" in changes) this.daemon = changes.daemon;
    if ("deploy" in changes) this.deploy = changes.deploy;
    if ("deploys" in changes) this.deploys = changes.deploys;
    this.add(events);
    this.sample(now);
  }

  add(events) {
    const newest = this.events.length ? this.events[this.events.length - 1].seq : 0;
    const fresh = events.filter((event) => event.seq > newest);
    if (!fresh.length) return;
    if (newest && fresh[0].seq > newest + 1) fresh[0].gap = true;
    this.events.push(...fresh);
    if (this.events.length > EVENTS_KEPT) this.events.splice(0, this.events.length - EVENTS_KEPT);
  }

  // The past of the queues, for the charts: {times, columns of each series} per queue. What a former daemon told stays.
  remember({ times, series, queues }) {
    for (const [key, columns] of queues) {
      const points = { times: times.slice(times.length - columns[0].length) };
      series.forEach((name, at) => (points[name] = columns[at]));
      const known = this.history.get(key);
      if (known) {
        const older = known.times.filter((at) => at < points.times[0] - SERIES_SECONDS / 2).length;
        const room = Math.max(0, SERIES_KEPT - points.times.length);
        for (const name of ["times", ...SERIES]) points[name] = [...known[name].slice(Math.max(0, older - room), older), ...points[name]];
      }
      this.history.set(key, points);
    }
  }

  sample(now) {
    for (const [key, row] of this.queues) {
      let points = this.history.get(key);
      if (!points) {
        points = { times: [] };
        for (const name of SERIES) points[name] = [];
        this.history.set(key, points);
      }
      const last = points.times[points.times.length - 1];
      if (last !== undefined && now - last < SERIES_SECONDS * 0.9) continue;
      points.times.push(now);
      for (const name of SERIES) points[name].push(row[name]);
      if (points.times.length > SERIES_KEPT) for (const name of ["times", ...SERIES]) points[name].shift();
    }
    for (const key of this.history.keys()) if (!this.queues.has(key)) this.history.delete(key);
  }
}

export const SERIES = ["ready", "delayed", "reserved", "oldest", "rate_in", "rate_done", "workers", "busy"];

export function changed(table, change) {
  for (const key of change.gone ?? []) table.delete(key);
  for (const [key, fields] of change.set ?? []) table.set(key, { ...table.get(key), ...fields });
  return change.order ? new Map(change.order.map((key) => [key, table.get(key)])) : table;
}
