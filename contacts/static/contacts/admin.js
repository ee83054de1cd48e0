// Times in the zone of whoever looks; a conversation opens at its newest message. Works without: pages show server time.
(() => {
  "use strict";
  // The zone that somebody chose in their preferences counts more than the browser's.
  const timeZone = document.cookie.match(/(?:^|; )chosen_zone="?([^;"]+)/)?.[1];
  const format = (options) => new Intl.DateTimeFormat(undefined, { ...options, timeZone });
  const full = format({ dateStyle: "medium", timeStyle: "short" });
  const clock = format({ hour: "2-digit", minute: "2-digit" });
  const day = format({ weekday: "short", day: "numeric", month: "short", year: "numeric" });

  function localise(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      time.title = full.format(at);
      if (time.dataset.local === "full") time.textContent = full.format(at);
      if (time.dataset.local === "clock") time.textContent = clock.format(at);
    }
  }

  function drawDays(talk) {
    talk.querySelectorAll(".talk-day").forEach((line) => line.remove());
    let former = "";
    for (const entry of talk.querySelectorAll("[data-at]")) {
      const today = day.format(new Date(entry.dataset.at));
      if (today !== former) {
        const line = document.createElement("li");
        line.className = "talk-day";
        line.textContent = today;
        entry.before(line);
      }
      former = today;
    }
  }

  function copyOnClick(button) {
    button.addEventListener("click", async () => {
      const field = document.getElementById(button.dataset.copies);
      field.select();
      await navigator.clipboard?.writeText(field.value);
      button.textContent = "Copied";
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    localise(document);
    document.querySelectorAll(".talk").forEach((talk) => {
      drawDays(talk);
      talk.scrollTop = talk.scrollHeight;
    });
    document.querySelectorAll("[data-copies]").forEach(copyOnClick);
  });
})();
