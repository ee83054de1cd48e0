// The keyboard on the list and on a lead's page (contacts/keys_help.html shows and explains it). The list that somebody
// came from is remembered for the tab, so that a lead's page knows what is next. Never while somebody types.
(() => {
  "use strict";
  const KEPT = "leadcrm.list";
  const LAST = "leadcrm.last";
  const help = () => document.getElementById("keys-help");
  const rows = () => [...document.querySelectorAll("#result_list tr:has(input[name=lead])")];
  const idOf = (row) => row?.querySelector("input[name=lead]")?.value;
  const currentRow = () => document.activeElement?.closest("#result_list tr");

  function remember() {
    if (!document.getElementById("result_list")) return;
    const list = { url: location.pathname + location.search, leads: rows().map(idOf) };
    sessionStorage.setItem(KEPT, JSON.stringify(list));
  }

  function remembered() {
    try {
      return JSON.parse(sessionStorage.getItem(KEPT)) ?? { url: "", leads: [] };
    } catch {
      return { url: "", leads: [] };
    }
  }

  // The lead that has the focus is the current one, so Enter opens it as it opens any link.
  function focusRow(row) {
    const link = row?.querySelector("a[href]");
    if (!link) return;
    link.focus();
    row.scrollIntoView({ block: "nearest" });
  }

  function moveInList(step) {
    const all = rows();
    const at = all.indexOf(currentRow());
    const opened = all.findIndex((row) => idOf(row) === sessionStorage.getItem(LAST));
    const first = opened >= 0 ? opened : step > 0 ? 0 : all.length - 1;
    const next = all[at >= 0 ? at + step : first];
    if (next) focusRow(next);
    else tell(step > 0 ? "last" : "first");
  }

  function moveOnPage(step) {
    const { leads } = remembered();
    const here = leads.indexOf(currentLead());
    if (here < 0) return tell("noList");
    const next = leads[here + step];
    if (!next) return tell(step > 0 ? "last" : "first");
    location.assign(location.pathname.replace(/\/\d+\/change\/$/, `/${next}/change/`) + location.search.replace(/[?&]before=[^&]*/, ""));
  }

  const isPage = () => /\/contact\/\d+\/change\/$/.test(location.pathname);
  const pageLead = () => location.pathname.match(/\/contact\/(\d+)\/change\/$/)?.[1];
  const currentLead = () => pageLead() ?? idOf(currentRow());
  const move = (step) => (isPage() ? moveOnPage(step) : moveInList(step));

  function tell(word) {
    window.leadcrm.say(help().dataset[word]);
  }

  // What the page showed goes along, so that nobody is overwritten who was faster.
  function assignToMe() {
    const lead = currentLead();
    if (!lead) return;
    const shown = isPage()
      ? document.querySelector('form[action$="/do/assign/"] [name=seen]')?.value
      : currentRow().querySelector("[data-owner]")?.dataset.owner ?? currentRow().dataset.owner;
    const form = new FormData();
    form.set("owner", "me");
    if (shown !== undefined) form.set("seen", shown);
    const base = location.pathname.replace(/(\d+\/change\/)?$/, "");
    window.leadcrm.send(`${base}${lead}/do/assign/`, form);
  }

  function writeNote() {
    const note = document.querySelector('form[action$="/do/note/"] textarea');
    if (!note) return;
    note.focus();
    note.scrollIntoView({ block: "center" });
  }

  function toList() {
    const { url } = remembered();
    if (isPage()) location.assign(url || location.pathname.replace(/\d+\/change\/$/, ""));
  }

  function choose() {
    currentRow()?.querySelector("input[name=lead]")?.click();
  }

  function search() {
    const field = document.getElementById("searchbar");
    if (field) {
      field.focus();
      field.select();
    }
  }

  const KEYS = {
    j: () => move(1),
    k: () => move(-1),
    "/": search,
    a: assignToMe,
    n: writeNote,
    u: toList,
    x: choose,
    "?": () => help().showModal(),
  };
  const ARROWS = { ArrowDown: 1, ArrowUp: -1, ArrowRight: 1, ArrowLeft: -1 };

  // In a list arrows go on from a lead that has the focus, else they scroll; beside a conversation, which they scroll,
  // they are those to the sides.
  function arrow(key) {
    const sideways = key === "ArrowRight" || key === "ArrowLeft";
    if (isPage()) return sideways && document.activeElement === document.body ? () => move(ARROWS[key]) : null;
    return !sideways && currentRow() ? () => move(ARROWS[key]) : null;
  }

  const isTyping = (element) =>
    element.isContentEditable ||
    (element.matches("input, textarea, select") && !element.matches("input[type=checkbox], input[type=radio], [type=submit]"));

  function pressed(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (!help() || document.querySelector("dialog[open]") || isTyping(event.target)) return;
    const act = event.key in ARROWS ? arrow(event.key) : Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
    if (!act) return;
    event.preventDefault();
    act();
  }

  document.addEventListener("keydown", pressed);
  document.addEventListener("leads:changed", remember);
  document.addEventListener("DOMContentLoaded", () => {
    if (!help()) return;
    document.querySelectorAll("[data-keys-open]").forEach((button) => button.addEventListener("click", KEYS["?"]));
    if (isPage()) sessionStorage.setItem(LAST, pageLead());
    else remember();
  });
})();
