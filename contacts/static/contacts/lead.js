// A lead's page: days in the reader's zone, older messages in place, and typed times sent with their zone.
// Works without: the link to older messages opens a page of them, and times are those of the user's setting.
(() => {
  "use strict";
  const day = new Intl.DateTimeFormat(window.leadcrm?.locale, { weekday: "short", day: "numeric", month: "short", year: "numeric" });

  function drawDays(talk) {
    talk.querySelectorAll(".talk-day").forEach((line) => line.remove());
    let former = "";
    for (const entry of talk.querySelectorAll("[data-at]")) {
      const today = day.format(new Date(entry.dataset.at));
      if (today !== former) {
        const line = document.createElement("li");
        line.className = "talk-day";
        line.textContent = today;
        const above = entry.previousElementSibling;
        (above?.classList.contains("talk-new") ? above : entry).before(line);
      }
      former = today;
    }
  }

  // What is in view stays where it is, while older messages are put above it.
  async function loadOlder(talk, link) {
    if (link.ariaBusy === "true") return;
    link.ariaBusy = "true";
    const answer = await fetch(link.dataset.older).catch(() => null);
    if (!answer?.ok || answer.redirected) {
      window.location.assign(link.href);
      return;
    }
    const piece = document.createElement("template");
    piece.innerHTML = await answer.text();
    const held = document.activeElement === link;
    const below = talk.scrollHeight - talk.scrollTop;
    link.closest("li").replaceWith(piece.content);
    window.leadcrm.localise(talk);
    drawDays(talk);
    talk.scrollTop = talk.scrollHeight - below;
    if (held) talk.focus({ preventScroll: true });
    watch(talk);
  }

  function watch(talk) {
    const link = talk.querySelector("[data-older]");
    if (!link) return;
    link.addEventListener("click", (event) => {
      event.preventDefault();
      loadOlder(talk, link);
    });
    const seen = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      loadOlder(talk, link);
    }, { root: talk });
    seen.observe(link);
  }

  // What the server says of an entry: times are written by admin.js, in the reader's own zone.
  function said(entry) {
    return entry.className + entry.innerHTML.replace(/(<time [^>]*?)(?: title="[^"]*")?>[^<]*<\/time>/g, "$1>");
  }

  // Newest messages as they are now: those that changed are renewed, new ones come where they belong. True if any came.
  function bringUpToDate(talk, html) {
    const piece = document.createElement("template");
    piece.innerHTML = html;
    const newest = [...piece.content.querySelectorAll("[data-at]")];
    const came = newest.filter((newer) => !document.getElementById(newer.id));
    if (came.length && came.length === newest.length) {
      talk.replaceChildren(piece.content); // there may be others between what was shown and these: a link leads there
      watch(talk);
    } else {
      arrange(talk, newest);
    }
    window.leadcrm.localise(talk);
    drawDays(talk);
    return came.length > 0;
  }

  // From the last one up, so that what is newer than all that was shown goes to the end.
  function arrange(talk, newest) {
    let below = null;
    for (const newer of newest.reverse()) {
      const entry = document.getElementById(newer.id);
      if (!entry) talk.insertBefore(newer, below);
      else if (said(entry) !== said(newer)) renew(talk, entry, newer);
      below = entry ?? newer;
    }
  }

  function renew(talk, entry, newer) {
    const focused = entry.contains(document.activeElement);
    entry.className = newer.className;
    entry.replaceChildren(...newer.childNodes);
    if (focused) talk.focus({ preventScroll: true });
  }

  // Asks every few seconds while somebody looks (contacts/admin/live_talk.py), as the list does.
  function follow(talk) {
    const PAUSE = 3000;
    const news = talk.parentElement.querySelector(".to-newest");
    const status = talk.parentElement.querySelector("[role=status]");
    let failures = 0;
    let timer = 0;
    const isAtEnd = () => talk.scrollHeight - talk.scrollTop - talk.clientHeight < 60;
    const toEnd = () => (talk.scrollTop = talk.scrollHeight);

    function later() {
      clearTimeout(timer);
      if (!document.hidden) timer = setTimeout(ask, Math.min(PAUSE * 2 ** failures, 60000));
    }

    async function ask() {
      try {
        const headers = { "X-Requested-With": "XMLHttpRequest", "X-Seen": talk.dataset.seen };
        const answer = await fetch(talk.dataset.live, { headers, signal: AbortSignal.timeout(20000) });
        if (answer.redirected || [403, 404].includes(answer.status)) return; // logged out, or no longer theirs
        if (!answer.ok) throw new Error(answer.statusText);
        if (answer.status === 200) show(await answer.text(), answer.headers.get("X-Seen"));
        failures = 0;
      } catch {
        failures += 1;
      }
      later();
    }

    function show(html, seen) {
      const wasAtEnd = isAtEnd();
      const anyCame = bringUpToDate(talk, html);
      talk.dataset.seen = seen;
      if (wasAtEnd) toEnd();
      else if (anyCame) news.hidden = false;
      if (!anyCame) return;
      status.textContent = ""; // the same words again are said again
      setTimeout(() => (status.textContent = news.dataset.words), 100);
    }

    news.addEventListener("click", () => {
      toEnd();
      talk.focus({ preventScroll: true });
    });
    talk.addEventListener("scroll", () => isAtEnd() && (news.hidden = true));
    document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
    later();
  }

  function open(talk) {
    drawDays(talk);
    const wanted = window.location.hash.startsWith("#m") && document.getElementById(window.location.hash.slice(1));
    if (wanted) wanted.scrollIntoView({ block: "center" });
    else talk.scrollTop = talk.scrollHeight;
    talk.addEventListener("click", (event) => {
      const quote = event.target.closest("[data-quotes]");
      const quoted = quote && document.getElementById(quote.dataset.quotes);
      if (!quoted) return;
      event.preventDefault();
      quoted.scrollIntoView({ block: "center" });
      quoted.classList.add("shown");
      setTimeout(() => quoted.classList.remove("shown"), 2000);
    });
    watch(talk);
    if (talk.dataset.live) follow(talk);
  }

  // Two fields may have the name: the date, and the button of a named step, which is last and counts.
  function sendZone(form) {
    form.addEventListener("formdata", (event) => {
      for (const field of form.querySelectorAll("input[type=datetime-local]")) {
        const value = event.formData.getAll(field.name).pop();
        const at = new Date(value);
        const isTime = value === field.value && !Number.isNaN(at.getTime());
        event.formData.set(field.name, isTime ? at.toISOString() : value);
      }
    });
  }

  function askFirst(form) {
    form.addEventListener("submit", (event) => {
      if (!window.confirm(form.dataset.confirm)) event.preventDefault();
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".talk").forEach(open);
    document.querySelectorAll(".lead-panels form").forEach(sendZone);
    document.querySelectorAll("form[data-confirm]").forEach(askFirst);
  });
})();
