// Uploading with a progress bar. Without script the form is sent as it is.
(() => {
  const form = document.getElementById("upload");
  if (!form) {
    return;
  }
  const input = form.querySelector("input[type=file]");
  const zone = form.querySelector(".drop-zone");
  const progress = document.getElementById("upload-progress");
  const errors = document.getElementById("upload-errors");
  const button = form.querySelector("button.primary");

  zone?.addEventListener("dragover", () => zone.classList.add("over"));
  for (const end of ["dragleave", "drop"]) {
    zone?.addEventListener(end, () => zone.classList.remove("over"));
  }

  function say(text) {
    progress.querySelector("p").textContent = text;
  }

  function reset() {
    progress.hidden = true;
    button.disabled = false;
  }

  // What came of it: texts, and links.
  function fail(parts) {
    reset();
    errors.hidden = false;
    errors.querySelector("p").replaceChildren(...parts.flatMap((part) => [part, " "]));
  }

  // Whoever is not signed in is sent to sign in, and the request follows there by itself.
  function signInLink(request) {
    const link = document.createElement("a");
    const url = new URL(request.responseURL);
    url.searchParams.set("next", location.pathname + location.search);
    link.href = url.href;
    link.className = "link";
    link.textContent = "Sign in again";
    return link;
  }

  function wasSentElsewhere(request) {
    return request.responseURL && new URL(request.responseURL).pathname !== location.pathname;
  }

  function answered(request) {
    let answer = null;
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      if (request.status === 200 && wasSentElsewhere(request)) {
        fail(["You are signed out, so nothing was uploaded.", signInLink(request)]);
        return;
      }
      fail([`The server refused the upload (error ${request.status}).`]);
      return;
    }
    if (answer.url) {
      say("Uploaded. The import is queued.");
      location.assign(answer.url);
    } else {
      fail(answer.errors);
    }
  }

  // One may come back to the page as it was left: while an upload was going on.
  window.addEventListener("pageshow", reset);

  form.addEventListener("submit", (event) => {
    if (!input?.files.length) {
      return;
    }
    event.preventDefault();
    errors.hidden = true;
    progress.hidden = false;
    button.disabled = true;
    const bar = progress.querySelector("progress");
    const request = new XMLHttpRequest();
    request.upload.addEventListener("progress", (sent) => {
      bar.value = (100 * sent.loaded) / sent.total;
      say(sent.loaded < sent.total ? `${Math.round(bar.value)} % uploaded` : "Checking the archive …");
    });
    request.addEventListener("load", () => answered(request));
    request.addEventListener("error", () => fail(["The connection broke. Try again."]));
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.send(new FormData(form));
  });
})();
