// Shared by all pages: copy buttons, dialogs, the menu on phones, the keyboard shortcut of the search, the focus in
// replaced parts, and a note when the server does not respond. Pages work without it.
(() => {
  const COPIED_MILLISECONDS = 1500;

  function announce(text) {
    document.getElementById("announcement").textContent = text;
  }

  async function copy(button) {
    if (await copied(button)) {
      confirmCopy(button);
    } else if (selectShown(button)) {
      announce("The browser did not allow copying. The text is selected: copy it with the keyboard.");
    } else {
      announce("The browser did not allow copying.");
    }
  }

  async function copied(button) {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      return true;
    } catch {
      // Not allowed, or a page over plain HTTP, which has no clipboard.
      return copiedAsSelection(button);
    }
  }

  function copiedAsSelection(button) {
    const text = document.createElement("textarea");
    text.className = "visually-hidden";
    text.readOnly = true;
    text.value = button.dataset.copy;
    button.after(text);
    text.select();
    const done = document.execCommand("copy");
    text.remove();
    button.focus();
    return done;
  }

  function selectShown(button) {
    const shown = button.parentElement.querySelector("code, .mono");
    if (shown) {
      getSelection().selectAllChildren(shown);
    }
    return Boolean(shown);
  }

  // Show a check mark instead of the icon, and "Copied" instead of the label if there is one.
  function confirmCopy(button) {
    if (button.classList.contains("copied")) {
      return;
    }
    const symbol = button.querySelector("use");
    const label = [...button.childNodes].find((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    const before = [symbol.getAttribute("href"), label?.textContent];
    const show = (href, words) => {
      button.classList.toggle("copied");
      symbol.setAttribute("href", href);
      if (label) {
        label.textContent = words;
      }
    };
    show(before[0].replace(/#.*/, "#check"), "Copied");
    announce("Copied");
    setTimeout(() => {
      show(...before);
      announce("");
    }, COPIED_MILLISECONDS);
  }

  // A link with data-dialog leads to a page with a question; with script, a dialog of this page asks instead.
  function openDialog(event, link) {
    const dialog = document.getElementById(link.dataset.dialog);
    if (dialog?.showModal) {
      event.preventDefault();
      dialog.showModal();
    }
  }

  function closeDialog(event, button) {
    const dialog = button.closest("dialog");
    if (dialog) {
      event.preventDefault();
      dialog.close();
    }
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-copy], [data-dialog], [data-close]");
    if (!target) {
      return;
    }
    if ("copy" in target.dataset) {
      copy(target);
    } else if ("dialog" in target.dataset) {
      openDialog(event, target);
    } else {
      closeDialog(event, target);
    }
  });

  // The menu on phones closes with Escape and with a click outside.
  const openMenu = () => document.querySelector("details.menu[open]");

  document.addEventListener("keydown", (event) => {
    const menu = openMenu();
    if (event.key === "Escape" && menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  document.addEventListener("click", (event) => {
    const menu = openMenu();
    if (menu && !menu.contains(event.target)) {
      menu.open = false;
    }
  });

  // A key that focuses a field, except while typing or with a modifier key.
  document.addEventListener("keydown", (event) => {
    const writing = event.target.closest("input, textarea, select, [contenteditable]");
    if (writing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) {
      return;
    }
    const field = [...document.querySelectorAll("[data-focus-key]")].find((each) => each.dataset.focusKey === event.key);
    if (field && field.checkVisibility?.() !== false) {
      event.preventDefault();
      field.focus();
    }
  });

  // A part that is replaced takes the focus with it, and the keyboard would continue at the top of the page. The heading
  // of the new part gets the focus. htmx itself keeps it on elements with an ID.
  let focused = null;
  let surrounding = [];

  function parts(element) {
    const part = element.parentElement?.closest("[id]");
    return part ? [part.id, ...parts(part)] : [];
  }

  document.addEventListener("htmx:beforeSwap", () => {
    focused = document.activeElement === document.body ? null : document.activeElement;
    surrounding = focused ? parts(focused) : [];
  });
  document.addEventListener("htmx:afterSettle", () => {
    if (!focused || focused.isConnected || document.activeElement !== document.body) {
      return;
    }
    const headings = [...surrounding, "main"].map((id) => document.getElementById(id)?.querySelector("h1, h2"));
    const heading = headings.find((each) => each?.checkVisibility?.());
    if (heading) {
      heading.tabIndex = -1;
      heading.focus();
    }
  });

  // Parts of pages are polled. If a request fails, the page may be out of date.
  function setStale(stale) {
    const note = document.getElementById("stale-note");
    if (note) {
      note.hidden = !stale;
    }
  }

  for (const failure of ["htmx:responseError", "htmx:sendError"]) {
    document.addEventListener(failure, () => setStale(true));
  }
  document.addEventListener("htmx:afterOnLoad", (event) => {
    if (event.detail.successful) {
      setStale(false);
    }
  });
})();
