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

  function fail(texts) {
    progress.hidden = true;
    errors.hidden = false;
    errors.querySelector("p").textContent = texts.join(" ");
    button.disabled = false;
  }

  function answered(request) {
    let answer = null;
    try {
      answer = JSON.parse(request.responseText);
    } catch {
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
