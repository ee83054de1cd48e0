// The bell of a page that stays open: asked again when somebody comes back to it, at most every half minute. And the
// first steps.
(() => {
  "use strict";
  const PAUSE = 30_000;
  let asked = Date.now();

  async function ringAgain() {
    const bell = document.querySelector("[data-bell]");
    if (!bell || document.hidden || Date.now() - asked < PAUSE) return;
    asked = Date.now();
    const answer = await fetch(bell.dataset.bell, { headers: { "X-Requested-With": "XMLHttpRequest" } });
    if (!answer.ok || answer.redirected) return; // logged out meanwhile: the next click says so
    const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-bell]");
    if (next) bell.replaceWith(next);
  }

  // The zone of whoever creates a workspace is most often the workspace's.
  document.addEventListener("DOMContentLoaded", () => {
    const field = document.querySelector("input[data-own-zone]");
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (field && zone) field.value = zone;
  });

  const ring = () => ringAgain().catch(() => {}); // the network is away: the next time
  document.addEventListener("visibilitychange", ring);
  window.addEventListener("focus", ring);
})();
