// What several pages share: copying texts, dialogs, the menu of phones, a key for the search, and what is said when the
// server does not answer. Pages work without it.
(() => {
  const COPIED_MILLISECONDS = 1500;

  function announce(text) {
    document.getElementById("announcement").textContent = text;
  }

  async function copy(button) {
    if (await copied(button)) {
      confirmCopy(button);
    } else if (selectShown(button)) {
      announce("The browser refused to copy. The text is selected: copy it with the keyboard.");
    } else {
      announce("The browser refused to copy.");
    }
  }

  async function copied(button) {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      return true;
    } catch {
      // Refused, or a page over plain HTTP, which has no clipboard.
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

  // A check mark in place of the icon, and "Copied" in place of the words where there are any.
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

  // A link with data-dialog leads to a page that asks; with script, a dialog on this page asks instead.
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

  // The menu of phones closes like a dialog, and when one goes elsewhere.
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

  // A key that goes to a field, unless one is writing or holds another key.
  document.addEventListener("keydown", (event) => {
    const writing = event.target.closest("input, textarea, select, [contenteditable]");
    if (writing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) {
      return;
    }
    const field = [...document.querySelectorAll("[data-focus-key]")].find((it) => it.dataset.focusKey === event.key);
    if (field && field.checkVisibility?.() !== false) {
      event.preventDefault();
      field.focus();
    }
  });

  // Parts of pages are fetched again and again: when that fails, what is shown may be old.
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
