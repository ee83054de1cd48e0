// Times in the zone of whoever looks. Works without: pages show server time.
(() => {
  "use strict";
  // The zone that somebody chose in their preferences counts more than the browser's.
  const timeZone = document.cookie.match(/(?:^|; )chosen_zone="?([^;"]+)/)?.[1];
  // In the language of the page; of its countries the one that the browser prefers.
  const language = document.documentElement.lang;
  const preferred = navigator.languages.find((each) => each.split("-")[0] === language.split("-")[0]);
  const locale = preferred || language || undefined;
  window.leadcrm = { ...window.leadcrm, locale };
  const format = (options) => new Intl.DateTimeFormat(locale, { ...options, timeZone });
  const full = format({ dateStyle: "medium", timeStyle: "short" });
  const clock = format({ hour: "2-digit", minute: "2-digit" });

  function localise(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      time.title = full.format(at);
      if (time.dataset.local === "full") time.textContent = full.format(at);
      if (time.dataset.local === "clock") time.textContent = clock.format(at);
    }
  }

  function copyOnClick(button) {
    button.addEventListener("click", async () => {
      const field = document.getElementById(button.dataset.copies);
      field.select();
      await navigator.clipboard?.writeText(field.value);
      button.textContent = button.dataset.copied;
    });
  }

  // Rows that came later (list.js).
  document.addEventListener("leads:changed", (event) => localise(event.target));
  // For pieces of a page that come later.
  window.leadcrm = { ...window.leadcrm, localise };

  document.addEventListener("DOMContentLoaded", () => {
    localise(document);
    document.querySelectorAll("[data-copies]").forEach(copyOnClick);
  });
})();
