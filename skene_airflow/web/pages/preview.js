"use strict";
// Reloads when a file changes, fits each frame to its mail, and opens a mail's links beside the page.
const dot = document.getElementById("live");
const changes = new EventSource("/changes?seen=" + document.body.dataset.state);
changes.onopen = () => { dot.classList.add("on"); dot.title = "reloads when a file is saved"; };
changes.onerror = () => { dot.classList.remove("on"); dot.title = "the preview has ended"; };
changes.addEventListener("changed", () => location.reload());

for (const frame of document.querySelectorAll("iframe")) {
  const fit = () => {
    const mail = frame.contentDocument;
    if (!mail || !mail.documentElement) return;
    frame.style.height = "0";
    frame.style.height = Math.max(320, mail.documentElement.scrollHeight) + "px";
    mail.addEventListener("click", (event) => {
      const link = event.target.closest("a[href]");
      if (!link || link.getAttribute("href").startsWith("#")) return;
      event.preventDefault();
      if (link.protocol === "https:") window.open(link.href, "_blank", "noopener");
    });
  };
  frame.addEventListener("load", fit);
  if (frame.contentDocument && frame.contentDocument.readyState === "complete") fit();
}

const form = document.querySelector(".bar form");
if (form) form.addEventListener("change", () => form.requestSubmit());
