// Searching in the log console of log.js, which scrolls to the found line (event "log-found").
(() => {
  const root = document.getElementById("log");
  const search = document.getElementById("log-search");
  if (!search) {
    return;
  }
  const body = root.querySelector(".log-body");
  const hits = document.getElementById("log-hits");
  let wanted = "";
  let count = 0;
  let chosen = null; // the current hit

  function mark(line) {
    const hidden = root.classList.contains("no-debug") && line.classList.contains("debug");
    const hit = wanted !== "" && !hidden && line.lastElementChild.textContent.toLowerCase().includes(wanted);
    line.classList.toggle("hit", hit);
    count += hit;
  }

  function showCount() {
    const text = wanted && `${count} match${count === 1 ? "" : "es"}`;
    if (hits.textContent !== text) {
      hits.textContent = text;
    }
  }

  function markAll() {
    count = 0;
    body.querySelectorAll(".line").forEach(mark);
    showCount();
  }

  function choose(line) {
    chosen?.classList.remove("current");
    chosen = line;
    if (chosen) {
      chosen.classList.add("current");
      root.dispatchEvent(new CustomEvent("log-found", { detail: chosen }));
    }
  }

  function find() {
    wanted = search.value.toLowerCase();
    markAll();
    choose(body.querySelector(".hit"));
  }

  search.addEventListener("input", find);
  search.addEventListener("keydown", (event) => {
    const found = [...body.querySelectorAll(".hit")];
    if (event.key === "Enter" && found.length) {
      event.preventDefault();
      const at = found.indexOf(chosen);
      choose(found.at(event.shiftKey ? Math.max(at, 0) - 1 : (at + 1) % found.length));
    } else if (event.key === "Escape") {
      search.value = "";
      find();
    }
  });

  // When other lines are visible, the current hit stays if it is still visible.
  root.addEventListener("log-filtered", () => {
    markAll();
    if (!chosen?.classList.contains("hit")) {
      choose(body.querySelector(".hit"));
    }
  });

  root.addEventListener("log-grown", (event) => {
    event.detail.forEach(mark);
    showCount();
  });
})();
