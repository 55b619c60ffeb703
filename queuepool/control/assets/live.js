// The connection to the daemon: one stream of events, opened again whenever it is lost. While nobody looks at the page
// it is closed, so that forgotten tabs cost the daemon nothing.

const SILENT_SECONDS = 20; // the daemon says something each five
const HIDDEN_SECONDS = 20; // a browser keeps six connections to a host, for all its tabs

export class Live {
  // told: {whole, changes, events, history} called with each; state: called with live, lost, out (log in again), hidden
  constructor(told, state) {
    this.told = told;
    this.state = state;
    this.tries = 0;
    this.last = "";
    this.source = null;
    this.heard = 0;
    this.timer = null;
    this.hiding = null;
    setInterval(() => this.watch(), 5000);
    document.addEventListener("visibilitychange", () => this.seen());
    addEventListener("online", () => this.open());
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", (event) => event.persisted && this.open());
  }

  open() {
    this.close();
    const source = (this.source = new EventSource(`live?last=${encodeURIComponent(this.last)}`));
    this.heard = Date.now();
    for (const name of Object.keys(this.told)) {
      source.addEventListener(name, (event) => {
        if (event.lastEventId) this.last = event.lastEventId;
        this.heard = Date.now();
        this.tries = 0;
        this.told[name](JSON.parse(event.data));
        this.state("live");
      });
    }
    source.addEventListener("error", () => {
      if (source !== this.source) return;
      this.state("lost");
      if (source.readyState === EventSource.CLOSED) this.again();
      else this.heard = Date.now(); // the browser tries by itself
    });
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  // After an answer that is no stream: a proxy without its daemon, or a daemon that does not know us any more.
  again() {
    this.close();
    const seconds = Math.min(5, 0.5 + this.tries++ * 0.7) * (0.8 + Math.random() * 0.4);
    this.timer = setTimeout(async () => {
      const who = await whoAmI();
      if (who === null) this.again();
      else if (who === false) this.state("out");
      else this.open();
    }, seconds * 1000);
  }

  watch() {
    if (this.source && Date.now() - this.heard > SILENT_SECONDS * 1000) {
      this.state("lost");
      this.open();
    }
  }

  seen() {
    clearTimeout(this.hiding);
    if (document.hidden) {
      this.hiding = setTimeout(() => {
        this.close();
        this.state("hidden");
      }, HIDDEN_SECONDS * 1000);
    } else if (!this.source) {
      this.open();
    }
  }
}

// Who we are to the daemon; false: nobody; null: it does not answer.
export async function whoAmI() {
  try {
    const answer = await fetch("session", { headers: { Accept: "application/json" } });
    if (answer.status === 401 || answer.status === 403) return false;
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}
