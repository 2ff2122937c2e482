// The agents of a workspace's page: one stream tells their states, without a request for each change. A hidden tab closes
// its stream, because browsers open few connections to one server.
(() => {
  const watched = document.querySelector("[data-watch]");
  if (!watched) {
    return;
  }
  const AGE_MILLISECONDS = 15000;
  const AGES = [
    [31536000, "y"],
    [2592000, "mo"],
    [86400, "d"],
    [3600, "h"],
    [60, "m"],
    [0, "s"],
  ];
  let source = null;
  let latest = null;

  // ---------------------------------------------------------------- times
  // The same format as the template filter "ago".
  function age(moment) {
    const seconds = Math.max((Date.now() - Date.parse(moment)) / 1000, 0);
    const [length, unit] = AGES.find(([limit]) => seconds >= limit);
    return `${Math.floor(seconds / (length || 1))}${unit} ago`;
  }

  function showTime(place, moment) {
    if (!place || !moment || place.querySelector("time")?.dateTime === moment) {
      return;
    }
    const time = document.createElement("time");
    time.dateTime = moment;
    time.title = `${moment.slice(0, 19).replace("T", " ")} UTC`;
    time.textContent = age(moment);
    place.replaceChildren(time);
  }

  function showAges() {
    for (const time of document.querySelectorAll("#agents .agent-head time")) {
      time.textContent = age(time.dateTime);
    }
  }

  // ---------------------------------------------------------------- states
  function lookOf(state) {
    return document.querySelector(`#agent-states [data-state="${CSS.escape(state)}"]`);
  }

  // Returns whether the state has changed.
  function showState(place, state) {
    const look = lookOf(state);
    if (!place || !look || place.innerHTML === look.innerHTML) {
      return false;
    }
    place.replaceChildren(look.content.cloneNode(true));
    return true;
  }

  function showAgent(agent, changes) {
    const shown = document.getElementById(`agent-${agent.id}`);
    if (!shown) {
      return;
    }
    const part = (name) => shown.querySelector(`[data-shows="${name}"]`);
    const name = shown.querySelector("h3").textContent;
    const before = shown.dataset.status;
    if (showState(part("status"), agent.status)) {
      changes.push(`Agent ${name}: ${part("status").textContent}`);
    }
    if (showState(part("lifecycle"), agent.lifecycle_state)) {
      changes.push(`Startup of ${name}: ${part("lifecycle").textContent}`);
    }
    shown.dataset.status = agent.status;
    shown.dataset.lifecycle = agent.lifecycle_state;
    showTime(shown.querySelector('[data-time="first_connected_at"]'), agent.first_connected_at);
    if (agent.status === "disconnected" && before !== "disconnected") {
      showTime(shown.querySelector('[data-time="disconnected_at"]'), agent.disconnected_at);
    }
    for (const app of agent.apps) {
      const place = document.getElementById(`app-${app.id}`);
      if (showState(place?.querySelector('[data-shows="health"]'), app.health)) {
        changes.push(`App ${app.display_name || app.slug}: ${place.querySelector('[data-shows="health"]').textContent}`);
      }
    }
    // How to connect depends on the program.
    const version = part("version");
    if (agent.version && version.textContent !== agent.version) {
      version.textContent = agent.version;
      document.body.dispatchEvent(new Event("agents-changed"));
    }
  }

  function show(workspace) {
    const pulse = document.getElementById("workspace-pulse");
    if (pulse && pulse.dataset.build !== workspace.latest_build.id) {
      location.reload();
      return;
    }
    const changes = [];
    for (const resource of workspace.latest_build.resources) {
      for (const agent of resource.agents ?? []) {
        showAgent(agent, changes);
      }
    }
    if (changes.length) {
      document.getElementById("announcement").textContent = changes.join(". ");
    }
  }

  // ---------------------------------------------------------------- the stream
  function open() {
    if (source || document.hidden) {
      return;
    }
    source = new EventSource(watched.dataset.watch);
    source.addEventListener("data", (event) => {
      latest = JSON.parse(event.data);
      show(latest);
    });
  }

  function close() {
    source?.close();
    source = latest = null;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  // An event that arrives while a part is requested can be newer than the part, earlier ones are older.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.id === "workspace-pulse" && source?.readyState === EventSource.OPEN) {
      event.preventDefault(); // the stream says as well whether another build was started
    } else {
      latest = null;
    }
  });
  document.addEventListener("htmx:afterSettle", () => latest && show(latest));
  setInterval(showAges, AGE_MILLISECONDS);
  open();
})();
