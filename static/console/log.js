// The log console: follows a running job, hides debug lines and times. Without script, the server-rendered lines are
// shown.
// Events for log_find.js: "log-filtered" (other lines are visible) and "log-grown" (with the new lines).
(() => {
  const root = document.getElementById("log");
  if (!root) {
    return;
  }
  const NEAR_THE_END = 40;
  const INPUT_MILLISECONDS = 1000;
  const BLOCK = 100; // lines per element; the browser skips the layout of elements that are out of view
  const body = root.querySelector(".log-body");
  const live = root.querySelector(".live");
  const counter = document.getElementById("log-count");
  const unit = document.getElementById("log-unit");
  const icons = document.documentElement.dataset.icons;
  const STATES = {
    running: ["loader-circle", "Running"],
    succeeded: ["circle-check", "Succeeded"],
    failed: ["circle-x", "Failed"],
  };

  let following = Boolean(root.dataset.follow);
  let started = Date.parse(root.dataset.started);

  // ---------------------------------------------------------------- elements and formats
  function element(name, classes = "", text = "") {
    const made = document.createElement(name);
    made.className = classes;
    made.textContent = text;
    return made;
  }

  function symbol(name, classes = "icon") {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    const use = document.createElementNS(space, "use");
    svg.setAttribute("class", classes);
    svg.setAttribute("aria-hidden", "true");
    use.setAttribute("href", `${icons}#${name}`);
    svg.append(use);
    return svg;
  }

  function showState(status, state) {
    const [name, word] = STATES[state];
    status.className = `status is-${state}`;
    status.replaceChildren(symbol(name), element("span", "visually-hidden", word));
  }

  function counted(number, what) {
    return `${number} ${what}${number === 1 ? "" : "s"}`;
  }

  // The same format as the template filter "duration".
  function duration(seconds) {
    if (seconds < 1) {
      return `${(Math.max(seconds, 0) * 1000).toFixed(0)} ms`;
    }
    if (seconds < 59.5) {
      return `${seconds.toFixed(seconds < 9.95 ? 1 : 0)} s`;
    }
    const whole = Math.round(seconds);
    const [large, small, units] =
      whole < 3600 ? [whole / 60, whole % 60, "ms"] : [whole / 3600, (whole % 3600) / 60, "hm"];
    return `${Math.floor(large)}${units[0]} ${String(Math.floor(small)).padStart(2, "0")}${units[1]}`;
  }

  function toEnd() {
    body.scrollTop = body.scrollHeight;
  }

  // ---------------------------------------------------------------- buttons
  function toggle(id, act) {
    const button = document.getElementById(id);
    button?.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", on);
      act(on);
    });
    return button;
  }

  toggle("log-debug", (on) => {
    root.classList.toggle("no-debug", !on);
    root.dispatchEvent(new Event("log-filtered"));
  });
  toggle("log-time", (on) => root.classList.toggle("no-time", !on));
  const followButton = toggle("log-follow", (on) => {
    following = on;
    if (on) {
      toEnd();
    }
  });

  function setFollowing(on) {
    following = on;
    followButton?.setAttribute("aria-pressed", on);
  }

  // Scrolling away from the end stops following, scrolling back to it starts again. Only scrolling soon after a wheel,
  // touch or key event is the user's; the rest is caused by this script. Scrolling continues shortly after the event.
  let inputAt = -INPUT_MILLISECONDS;
  let top = body.scrollTop;

  for (const way of ["wheel", "touchmove", "keydown", "pointerdown"]) {
    body.addEventListener(way, () => (inputAt = performance.now()), { passive: true });
  }

  body.addEventListener(
    "scroll",
    () => {
      const upwards = body.scrollTop < top;
      top = body.scrollTop;
      if (performance.now() - inputAt < INPUT_MILLISECONDS) {
        setFollowing(!upwards && top + body.clientHeight > body.scrollHeight - NEAR_THE_END);
      }
    },
    { passive: true },
  );

  // ---------------------------------------------------------------- reading a line
  function read(line) {
    setFollowing(false);
    line.closest("details").open = true;
    line.scrollIntoView({ block: "center" });
  }

  root.addEventListener("log-found", (event) => read(event.detail));

  // A link to a line opens its stage. A link to a line or a stage stops following.
  function goToTarget() {
    const target = /^#(L|stage-)\d+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
    if (!target || !body.contains(target)) {
      return;
    }
    if (target.matches(".line")) {
      read(target);
    } else {
      setFollowing(false);
      target.open = true;
    }
  }

  addEventListener("hashchange", goToTarget);
  document.addEventListener("click", (event) => {
    if (event.target.closest('a[href^="#"]')?.hash === location.hash) {
      goToTarget(); // the address does not change, so there is no hashchange
    }
  });
  goToTarget();

  // ---------------------------------------------------------------- following
  if (!root.dataset.follow) {
    return;
  }
  // As in the server-rendered page: a stage is a run of lines with one name, and can occur again if the job starts again.
  // Times are in milliseconds; the state is null while the server's state is current.
  const stages = [...body.querySelectorAll(".stage")].map((shown) => ({
    shown,
    name: shown.dataset.name,
    first: shown.id.replace("stage-", ""),
    openedAt: Date.parse(shown.dataset.started),
    count: Number(shown.dataset.count),
    warnings: Number(shown.dataset.warnings),
    failed: shown.querySelector(".line.error") !== null,
    time: "running",
    state: null,
  }));
  let current = stages.at(-1);
  let total = Number(counter.textContent);
  let waiting = [];
  let frame = 0;
  let ended = false;

  function describe(stage, time = "") {
    const warnings = stage.warnings ? [counted(stage.warnings, "warning")] : [];
    const parts = [...warnings, counted(stage.count, "line"), ...(time ? [time] : [])];
    stage.shown.querySelector(".meta").textContent = parts.join(", ");
  }

  // The row of stages is replaced when the job starts and ends.
  function railItem(stage) {
    return document.querySelector(`#stages a[href="#stage-${stage.first}"]`)?.closest("li");
  }

  // A stage that was expected replaces its placeholder; an unexpected one follows the last stage that started.
  function makeRailItem(stage) {
    const rail = document.querySelector("#stages ol");
    const items = [...rail.children];
    const isExpected = (item) => item.dataset.stage === stage.name && item.querySelector(".todo");
    const item = items.find(isExpected) ?? document.createElement("li");
    const last = items.findLast((each) => each.querySelector("a"));
    item.dataset.stage = stage.name;
    const link = document.createElement("a");
    link.href = `#stage-${stage.first}`;
    const label = element("span", "", stage.name || "Notes");
    label.append(document.createElement("small"));
    link.append(element("span", "status"), label);
    item.replaceChildren(link);
    if (last) {
      last.after(item);
    } else {
      rail.prepend(item);
    }
    document.getElementById("stages").hidden = false;
    return item;
  }

  function showInRail(stage) {
    const item = railItem(stage) ?? makeRailItem(stage);
    showState(item.querySelector(".status"), stage.state);
    item.querySelector("small").textContent = stage.time;
  }

  function show(stage, state) {
    stage.state = state;
    showState(stage.shown.querySelector(".status"), state);
    showInRail(stage);
  }

  function close(stage, closedAt) {
    stage.time = duration((closedAt - stage.openedAt) / 1000);
    show(stage, stage.failed ? "failed" : "succeeded");
    describe(stage, stage.time);
  }

  function stageOf(entry) {
    if (current?.name === entry.stage) {
      return current;
    }
    const openedAt = Date.parse(entry.created_at);
    if (current) {
      close(current, openedAt);
    }
    const shown = element("details", "stage");
    const summary = document.createElement("summary");
    summary.append(
      symbol("chevron-right", "icon chevron"),
      element("span", "status"),
      element("span", "name", entry.stage || "Notes"),
      element("span", "meta"),
    );
    shown.append(summary);
    shown.id = `stage-${entry.id}`;
    shown.dataset.name = entry.stage;
    shown.open = true;
    document.getElementById("log-nothing")?.remove();
    body.append(shown);
    const fresh = { count: 0, warnings: 0, failed: false, time: "running" };
    current = { ...fresh, shown, name: entry.stage, first: String(entry.id), openedAt };
    stages.push(current);
    show(current, "running");
    return current;
  }

  function lineOf(entry) {
    const adds = /^ {2,}[+#] /.test(entry.output) ? " add" : "";
    const line = element("div", `line ${entry.log_level}${adds}`);
    line.id = `L${entry.id}`;
    const number = element("a", "", entry.id);
    number.href = `#L${entry.id}`;
    const seconds = Math.max((Date.parse(entry.created_at) - started) / 1000, 0);
    line.append(number, element("time", "", `${seconds.toFixed(1)}s`), element("span", "", entry.output));
    return line;
  }

  function add(stage, line) {
    let block = stage.shown.lastElementChild;
    if (!block.matches(".lines:not(.full)")) {
      block = element("div", "lines");
      stage.shown.append(block);
    }
    block.append(line);
    block.classList.toggle("full", block.childElementCount === BLOCK);
    stage.count += 1;
    total += 1;
  }

  function flush() {
    frame = 0;
    const grown = new Set();
    const lines = [];
    for (const entry of waiting) {
      started ||= Date.parse(entry.created_at);
      const stage = stageOf(entry);
      stage.warnings += entry.log_level === "warn";
      if (entry.output) {
        lines.push(lineOf(entry));
        add(stage, lines.at(-1));
      }
      if (entry.log_level === "error") {
        stage.failed = true;
        show(stage, "failed");
      }
      grown.add(stage);
    }
    waiting = [];
    for (const stage of grown) {
      describe(stage, stage.time === "running" ? "" : stage.time);
    }
    counter.textContent = total;
    unit.textContent = total === 1 ? "line" : "lines";
    root.dispatchEvent(new CustomEvent("log-grown", { detail: lines }));
    if (following) {
      toEnd();
    }
  }

  // The server's row of stages may be older than the received lines. Once the job has ended, the server's row counts.
  function settle() {
    for (const stage of stages) {
      const item = ended ? railItem(stage) : null;
      if (item) {
        const status = item.querySelector(".status");
        const own = stage.shown.querySelector(".status");
        own.className = status.className;
        own.replaceChildren(...status.cloneNode(true).childNodes);
        describe(stage, item.querySelector("small").textContent);
      } else if (!ended && stage.state) {
        showInRail(stage);
      }
    }
  }

  document.body.addEventListener("htmx:afterSettle", settle);

  // EventSource sends the last received id when it reconnects.
  // A new EventSource would start at the last line of the page.
  const source = new EventSource(root.dataset.follow);
  source.onopen = () => {
    live.textContent = "Live";
  };
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) {
      live.textContent = "Reconnecting";
      return;
    }
    // Rejected: the browser does not retry.
    live.classList.add("off");
    live.textContent = "Not connected";
    const link = element("a", "link", "Reload the page");
    link.href = location.pathname + location.search; // without the hash, with which it would only scroll
    live.after(link);
  };
  source.onmessage = (event) => {
    if (root.dataset.state === "pending") {
      root.dataset.state = "running";
      document.body.dispatchEvent(new Event("job-started"));
    }
    waiting.push(JSON.parse(event.data));
    frame ||= requestAnimationFrame(flush);
  };
  source.addEventListener("end", () => {
    source.close();
    flush();
    ended = true;
    live.classList.add("off");
    live.textContent = "Finished";
    followButton?.remove();
    document.body.dispatchEvent(new Event("job-ended"));
  });
  addEventListener("pagehide", () => source.close());
  // A page restored from the cache has lost its stream.
  addEventListener("pageshow", (event) => {
    if (event.persisted && !ended) {
      location.reload();
    }
  });
  if (following) {
    toEnd();
  }
})();
