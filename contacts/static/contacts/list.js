// The open list of leads stays as it is in the database: news is asked for every few seconds, and only rows that changed
// are touched. So whatever somebody is doing here goes on: what is ticked, focused, scrolled to, half typed.
(() => {
  "use strict";
  const PAUSE = 3000; // between two questions; the answer is mostly "no news" (contacts/admin/live_list.py)
  const AFRESH = 20; // every so many questions the rows come anyway: how long ago something was changes by itself
  const MOST_FAILURES = 5;

  function follow(list) {
    let asked = 0;
    let failures = 0;
    let timer = 0;

    function later() {
      clearTimeout(timer);
      if (!document.hidden) timer = setTimeout(ask, Math.min(PAUSE * 2 ** failures, 60000));
    }

    async function ask() {
      asked += 1;
      try {
        const headers = { "X-Requested-With": "XMLHttpRequest" };
        if (asked % AFRESH) headers["X-Seen"] = document.getElementById("lead-rows").dataset.cursor;
        const answer = await fetch(list.dataset.live + location.search, { headers, signal: AbortSignal.timeout(20000) });
        if (answer.redirected || answer.status === 403) return say(list.dataset.loggedOut);
        if (!answer.ok) throw new Error(answer.statusText);
        if (answer.status === 200) bringUpToDate(await answer.text());
        failures = 0;
        say("");
      } catch {
        failures += 1;
        if (failures >= MOST_FAILURES) say(list.dataset.noAnswer);
      }
      later();
    }

    function say(words) {
      const news = document.getElementById("lead-news");
      if (news.textContent !== words) news.textContent = words;
      news.hidden = !words;
    }

    document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
    later();
  }

  function bringUpToDate(html) {
    const news = new DOMParser().parseFromString(html, "text/html");
    for (const id of ["lead-tabs", "lead-foot"]) replace(document.getElementById(id), news.getElementById(id));
    const rows = document.getElementById("lead-rows");
    const newer = news.getElementById("lead-rows");
    const [body, newBody] = [rows.querySelector("tbody"), newer.querySelector("tbody")];
    if (body && newBody) arrange(body, newBody);
    else if (body || newBody) rows.replaceChildren(...newer.childNodes);
    rows.dataset.cursor = newer.dataset.cursor;
    rows.dispatchEvent(new CustomEvent("leads:changed", { bubbles: true }));
  }

  function replace(old, newer) {
    if (old && newer && old.innerHTML !== newer.innerHTML) old.replaceChildren(...newer.childNodes);
  }

  // Rows are known by their lead. The one that somebody is in is never taken out, only what stands in it is renewed.
  function arrange(body, newBody) {
    const focused = whereabouts(body);
    const top = firstInView(body);
    const former = new Map([...body.children].map((row) => [row.id, row]));
    const order = [...newBody.children].map((row) => (former.has(row.id) ? renewed(former.get(row.id), row) : row));
    const wanted = new Set(order);
    for (const row of former.values()) if (!wanted.has(row)) row.remove();
    order.forEach((row, index) => {
      if (body.children[index] === row) return;
      body.insertBefore(row, body.children[index] ?? null);
      row.classList.add("has-moved");
    });
    top?.stay();
    focused?.();
  }

  // The former row, or what it shows now. What is ticked stays ticked.
  function renewed(row, newer) {
    const same = said(row) === said(newer) && row.classList.contains("is-unread") === newer.classList.contains("is-unread");
    if (same) return row;
    const ticked = row.querySelector("input[name=lead]").checked;
    row.classList.toggle("is-unread", newer.classList.contains("is-unread"));
    row.replaceChildren(...newer.childNodes);
    row.querySelector("input[name=lead]").checked = ticked;
    return row;
  }

  // What the server said of a row: admin.js writes exact times in the reader's own zone.
  function said(row) {
    return row.innerHTML.replace(/(<time [^>]*?) title="[^"]*"/g, "$1");
  }

  // A row that is moved, or renewed, loses the focus: this gives it back to the same thing in it.
  function whereabouts(body) {
    const row = document.activeElement?.closest("#lead-rows tr[id]");
    if (!row || !body.contains(row)) return null;
    const things = "a, button, input";
    const index = [...row.querySelectorAll(things)].indexOf(document.activeElement);
    return () => document.getElementById(row.id)?.querySelectorAll(things)[index]?.focus({ preventScroll: true });
  }

  // Whoever has scrolled down goes on reading where they were, though a row was put above.
  function firstInView(body) {
    if (window.scrollY < 1) return null;
    const row = [...body.children].find((each) => each.getBoundingClientRect().top >= 0);
    const before = row?.getBoundingClientRect().top;
    return row && { stay: () => row.isConnected && window.scrollBy(0, row.getBoundingClientRect().top - before) };
  }

  document.addEventListener("submit", (event) => {
    const question = event.target.dataset?.ask;
    if (question && !window.confirm(question)) event.preventDefault();
  });

  // An empty filter need not stand in the address.
  document.addEventListener("formdata", (event) => {
    if (!event.target.matches("#filter-form, #changelist-search")) return;
    for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
  });

  // A menu is closed by Escape, or by a click elsewhere.
  function close(except) {
    for (const menu of document.querySelectorAll(".lead-menu[open]")) if (menu !== except) menu.open = false;
  }
  document.addEventListener("click", (event) => close(event.target.closest(".lead-menu")));
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.querySelector(".lead-menu[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });

  document.addEventListener("DOMContentLoaded", () => {
    const list = document.querySelector(".leads[data-live]");
    if (!list) return;
    document.querySelector("#lead-tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
    follow(list);
  });
})();
