// The log console: follow a running job, find, levels, times. Without script the server's lines are there to read.
(() => {
  const root = document.getElementById("log");
  if (!root) {
    return;
  }
  const NEAR_THE_END = 40;
  const HAND_MILLISECONDS = 1000;
  const BLOCK = 100; // lines in an element of their own, which is left alone while it is out of sight
  const body = root.querySelector(".log-body");
  const live = root.querySelector(".live");
  const counter = document.getElementById("log-count");
  const icons = document.documentElement.dataset.icons;
  const STATES = {
    running: ["loader-circle", "Running"],
    succeeded: ["circle-check", "Succeeded"],
    failed: ["circle-x", "Failed"],
  };

  let following = Boolean(root.dataset.follow);
  let started = Date.parse(root.dataset.started);

  // ---------------------------------------------------------------- small pieces
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

  toggle("log-debug", (on) => root.classList.toggle("no-debug", !on));
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

  // Who scrolls away from the end wants to read; who comes back to it, to follow. What scrolls without a hand on wheel,
  // screen or keys is our own doing. Scrolling goes on for a while after the hand has left.
  let touchedAt = -HAND_MILLISECONDS;
  let top = body.scrollTop;

  for (const way of ["wheel", "touchmove", "keydown", "pointerdown"]) {
    body.addEventListener(way, () => (touchedAt = performance.now()), { passive: true });
  }

  body.addEventListener(
    "scroll",
    () => {
      const upwards = body.scrollTop < top;
      top = body.scrollTop;
      if (performance.now() - touchedAt < HAND_MILLISECONDS) {
        setFollowing(!upwards && top + body.clientHeight > body.scrollHeight - NEAR_THE_END);
      }
    },
    { passive: true },
  );

  // ---------------------------------------------------------------- find
  const search = document.getElementById("log-search");
  const hits = document.getElementById("log-hits");
  let hitIndex = 0;

  function reveal(line) {
    line.closest("details").open = true;
    line.scrollIntoView({ block: "center" });
  }

  function find() {
    const wanted = search.value.toLowerCase();
    let count = 0;
    for (const line of body.querySelectorAll(".line")) {
      const hit = wanted !== "" && line.lastElementChild.textContent.toLowerCase().includes(wanted);
      line.classList.toggle("hit", hit);
      count += hit;
    }
    hits.textContent = wanted ? `${count} match${count === 1 ? "" : "es"}` : "";
    hitIndex = 0;
    const first = body.querySelector(".hit");
    if (first) {
      setFollowing(false);
      reveal(first);
    }
  }

  search?.addEventListener("input", find);
  search?.addEventListener("keydown", (event) => {
    const found = body.querySelectorAll(".hit");
    if (event.key === "Enter" && found.length) {
      event.preventDefault();
      hitIndex = (hitIndex + (event.shiftKey ? found.length - 1 : 1)) % found.length;
      reveal(found[hitIndex]);
    } else if (event.key === "Escape") {
      search.value = "";
      find();
    }
  });

  // A link to a line opens the stage that it is in.
  function goToLine() {
    const line = location.hash.startsWith("#L") && document.getElementById(location.hash.slice(1));
    if (line && body.contains(line)) {
      setFollowing(false);
      reveal(line);
    }
  }

  addEventListener("hashchange", goToLine);
  goToLine();

  // ---------------------------------------------------------------- following
  if (!root.dataset.follow) {
    return;
  }
  const stages = new Map([...body.querySelectorAll(".stage")].map((stage) => [stage.dataset.name, stage]));
  let current = [...stages.values()].at(-1);
  let waiting = [];
  let frame = 0;

  // The row of stages is replaced when the job starts and ends.
  function railStatus(name) {
    return document.getElementById("stages")?.querySelector(`[data-stage="${CSS.escape(name)}"] .status`);
  }

  function show(stage, state) {
    showState(stage.querySelector(".status"), state);
    const status = railStatus(stage.dataset.name);
    if (status) {
      showState(status, state);
    }
  }

  function stageOf(name) {
    if (stages.has(name)) {
      return stages.get(name);
    }
    if (current && !current.querySelector(".line.error")) {
      show(current, "succeeded");
    }
    const stage = element("details", "stage");
    const summary = document.createElement("summary");
    summary.append(
      symbol("chevron-right", "icon chevron"),
      element("span", "status"),
      element("span", "name", name || "Notes"),
      element("span", "meta"),
    );
    stage.append(summary);
    stage.dataset.name = name;
    stage.open = true;
    body.querySelector(".log-empty")?.remove();
    body.append(stage);
    stages.set(name, stage);
    current = stage;
    show(stage, "running");
    return stage;
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
    let block = stage.lastElementChild;
    if (!block.matches(".lines:not(.full)")) {
      block = element("div", "lines");
      stage.append(block);
    }
    block.append(line);
    block.classList.toggle("full", block.childElementCount === BLOCK);
  }

  function flush() {
    frame = 0;
    const grown = new Set();
    for (const entry of waiting) {
      started ||= Date.parse(entry.created_at);
      const stage = stageOf(entry.stage);
      if (entry.output) {
        add(stage, lineOf(entry));
        grown.add(stage);
      }
      if (entry.log_level === "error") {
        show(stage, "failed");
      }
      counter.textContent = entry.id;
    }
    waiting = [];
    for (const stage of grown) {
      const count = stage.getElementsByClassName("line").length;
      stage.querySelector(".meta").textContent = `${count} line${count === 1 ? "" : "s"}`;
    }
    if (following) {
      toEnd();
    }
  }

  // Once the job has ended, the row of stages that the server sends has the last word.
  function settle() {
    for (const [name, stage] of stages) {
      const status = railStatus(name);
      if (status) {
        const own = stage.querySelector(".status");
        own.className = status.className;
        own.replaceChildren(...status.cloneNode(true).childNodes);
        const count = stage.getElementsByClassName("line").length;
        const time = status.closest("li").querySelector("small").textContent;
        stage.querySelector(".meta").textContent = `${count} line${count === 1 ? "" : "s"}, ${time}`;
      }
    }
  }

  // A second request would start where the page did: a reconnection says by itself how far it came.
  const source = new EventSource(root.dataset.follow);
  source.onopen = () => {
    live.textContent = "Live";
  };
  source.onerror = () => {
    live.textContent = "Reconnecting";
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
    live.classList.add("off");
    live.textContent = "Finished";
    followButton?.remove();
    document.body.addEventListener("htmx:afterSettle", settle, { once: true });
    document.body.dispatchEvent(new Event("job-ended"));
  });
  addEventListener("pagehide", () => source.close());
  toEnd();
})();
