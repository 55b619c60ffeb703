// The marks of states and events: a shape for each, so that no meaning hangs on a colour alone.

const SHAPES = {
  ok: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm3.3 4.7-4 5a.8.8 0 0 1-1.2.1L4 8.700l1-1.100 1.600 1.600L10 4.700Z",
  busy: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm0 2v5l3.500 2-.8 1.300L6.500 9V3Z",
  work: "M3 2.500v11l10.500-5.500Z",
  warn: "M8 1.200.8 14.400h14.400Zm-.8 4.600h1.600v4.200H7.200Zm0 5.400h1.600v1.600H7.200Z",
  bad: "M5 1h6l4 4v6l-4 4H5l-4-4V5Zm.2 3.200-1 1L7 8l-2.800 2.800 1 1L8 9l2.800 2.800 1-1L9 8l2.800-2.800-1-1L8 7Z",
  idle: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm0 1.600a5.400 5.400 0 1 1 0 10.800A5.400 5.400 0 0 1 8 2.600Z",
  pause: "M3.500 2h3v12h-3Zm6 0h3v12h-3Z",
  info: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm-.8 3h1.600v1.600H7.200Zm0 2.800h1.600v5H7.200Z",
};

const NAMESPACE = "http://www.w3.org/2000/svg";

export function icon(name) {
  const svg = document.createElementNS(NAMESPACE, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(NAMESPACE, "path");
  path.setAttribute("fill-rule", "evenodd");
  path.setAttribute("d", SHAPES[name] ?? SHAPES.info);
  svg.append(path);
  return svg;
}

export function change(svg, name) {
  const shape = SHAPES[name] ?? SHAPES.info;
  if (svg.firstChild.getAttribute("d") !== shape) svg.firstChild.setAttribute("d", shape);
}

export const TONES = {
  RUNNING: "ok",
  STARTING: "busy",
  STOPPING: "busy",
  BACKOFF: "warn",
  FATAL: "bad",
  UNKNOWN: "bad",
  STOPPED: "idle",
  EXITED: "idle",
};

// Events by how they are to be taken; those that are not here are plain news.
const EVENT_TONES = {
  fatal: "bad",
  spawn_failed: "bad",
  config_refused: "bad",
  defect: "bad",
  supervisord_trouble: "bad",
  killed: "bad",
  backoff: "warn",
  log_trouble: "warn",
  state_trouble: "warn",
  waiting: "warn",
  limit: "warn",
  job_left: "warn",
  redis_trouble: "warn",
  running: "ok",
  resumed: "ok",
  log_well: "ok",
  state_well: "ok",
  supervisord_well: "ok",
  requeued: "ok",
  redis_well: "ok",
  operation: "busy",
  scaled: "busy",
  deploy: "busy",
  deploy_started: "busy",
  deploy_ended: "ok",
  refused: "warn",
  notify_trouble: "warn",
  notify_well: "ok",
  events_dropped: "warn",
};

export const toneOfEvent = ({ event, result }) => (event === "deploy_ended" && result !== "done" ? "bad" : EVENT_TONES[event] ?? "idle");
