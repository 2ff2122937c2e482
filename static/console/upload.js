// Uploading with a progress bar. Without script the form is submitted as usual.
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

  function showProgress(text) {
    progress.querySelector("p").textContent = text;
  }

  function reset() {
    progress.hidden = true;
    button.disabled = false;
  }

  // Show the errors: texts and links.
  function fail(parts) {
    reset();
    errors.hidden = false;
    errors.querySelector("p").replaceChildren(...parts.flatMap((part) => [part, " "]));
  }

  // Without a session, the server redirects the request to the sign-in page.
  function signInLink(request) {
    const link = document.createElement("a");
    const url = new URL(request.responseURL);
    url.searchParams.set("next", location.pathname + location.search);
    link.href = url.href;
    link.className = "link";
    link.textContent = "Sign in again";
    return link;
  }

  function wasRedirected(request) {
    return request.responseURL && new URL(request.responseURL).pathname !== location.pathname;
  }

  function answered(request) {
    let answer = null;
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      if (request.status === 200 && wasRedirected(request)) {
        fail(["You are signed out, so nothing was uploaded.", signInLink(request)]);
        return;
      }
      fail([`The server rejected the upload (error ${request.status}).`]);
      return;
    }
    if (answer.url) {
      showProgress("Uploaded. The import is queued.");
      location.assign(answer.url);
    } else {
      fail(answer.errors);
    }
  }

  // The page can be restored from the cache in the middle of an upload.
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
      showProgress(sent.loaded < sent.total ? `${Math.round(bar.value)} % uploaded` : "Checking the archive …");
    });
    request.addEventListener("load", () => answered(request));
    request.addEventListener("error", () => fail(["The connection was lost. Try again."]));
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.send(new FormData(form));
  });
})();
