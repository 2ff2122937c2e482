// What several pages share: copying texts, dialogs, the menu of phones, and a key for the search. Pages work without it.
(() => {
  const COPIED_MILLISECONDS = 1500;

  function copy(button) {
    navigator.clipboard?.writeText(button.dataset.copy).then(() => {
      button.classList.add("copied");
      setTimeout(() => button.classList.remove("copied"), COPIED_MILLISECONDS);
    });
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
  const menu = document.querySelector("details.menu");

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu?.open) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  document.addEventListener("click", (event) => {
    if (menu?.open && !menu.contains(event.target)) {
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
})();
