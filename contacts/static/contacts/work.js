// Work on leads: forms are sent in place, so that what somebody typed stays when it is refused; the bar for many leads.
// Works without: each form is a plain POST that comes back with a message.
(() => {
  "use strict";
  const LATER = "leadcrm.said";
  const words = () => document.getElementById("keys-help")?.dataset ?? {};

  function say(text, isError = false) {
    let box = document.getElementById("work-said");
    if (!box) {
      box = document.createElement("div");
      box.id = "work-said";
      document.body.append(box);
    }
    box.className = isError ? "is-error" : "";
    box.setAttribute("role", isError ? "alert" : "status");
    box.textContent = "";
    box.textContent = text ?? "";
    clearTimeout(say.timer);
    say.timer = setTimeout(() => (box.textContent = ""), isError ? 12000 : 5000);
    return box;
  }

  const token = () => document.querySelector("input[name=csrfmiddlewaretoken]")?.value ?? "";

  // Answers with null where nothing went wrong: the page is then loaded again and says what was done.
  async function post(url, form) {
    const headers = { Accept: "application/json", "X-CSRFToken": token() };
    const answer = await fetch(url, { method: "POST", body: form, headers }).catch(() => null);
    if (!answer) return { error: words().noAnswer };
    const isJson = answer.headers.get("Content-Type")?.startsWith("application/json");
    if (!isJson) return { error: answer.status >= 500 ? words().noAnswer : words().loggedOut };
    const told = await answer.json();
    if (!answer.ok) return { error: told.error, isStale: answer.status === 409 };
    sessionStorage.setItem(LATER, told.message);
    return null;
  }

  async function send(url, form) {
    const refused = await post(url, form);
    if (refused) withLink(say(refused.error, true), refused);
    else location.reload();
  }

  function withLink(box, refused) {
    if (!refused.isStale) return;
    const link = document.createElement("a");
    link.href = location.href;
    link.textContent = words().see ?? "";
    link.addEventListener("click", (event) => {
      event.preventDefault();
      location.reload();
    });
    box.append(" ", link);
  }

  const isDo = (form) => /\/do\/[a-z-]+\/$/.test(form.getAttribute("action") ?? "");
  const isWork = (form) => isDo(form) || form.querySelector(".bulk-do") || form.matches(".bulk-bar");

  async function submitted(event) {
    const form = event.target;
    if (event.defaultPrevented || !isDo(form)) return;
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    const typed = new FormData(form, event.submitter);
    const refused = await post(form.action, typed);
    if (!refused) return typed.get("next") ? location.assign(typed.get("next")) : location.reload();
    form.ariaBusy = "false";
    let box = form.querySelector(".work-refused");
    if (!box) {
      box = document.createElement("p");
      box.className = "work-refused";
      box.setAttribute("role", "alert");
      form.append(box);
    }
    box.textContent = refused.error;
    withLink(box, refused);
  }

  // What was typed is a time here, in the zone of this browser: so it is sent. Of a date and a button of the same name
  // the button is last, and counts.
  function sendZone(event) {
    if (!isWork(event.target)) return;
    for (const field of event.target.querySelectorAll("input[type=datetime-local]")) {
      const value = event.formData.getAll(field.name).pop();
      const at = new Date(field.value);
      if (value === field.value && !Number.isNaN(at.getTime())) event.formData.set(field.name, at.toISOString());
      else if (value !== undefined) event.formData.set(field.name, value);
    }
  }

  // The bar for many leads

  function follow(bar) {
    const page = bar.querySelector("[data-bulk-page]");
    const all = bar.querySelector("[data-bulk-all]");
    const count = bar.querySelector("[data-bulk-count]");
    const none = count.textContent;
    const boxes = () => [...document.querySelectorAll("input[name=lead]")];

    function show() {
      const chosen = boxes().filter((box) => box.checked).length;
      page.checked = chosen > 0 && chosen === boxes().length;
      page.indeterminate = chosen > 0 && !page.checked;
      bar.classList.toggle("has-chosen", chosen > 0 || all.checked);
      const said = all.checked ? count.dataset.all : chosen === 1 ? count.dataset.one : count.dataset.many.replace("%n", chosen);
      const text = chosen || all.checked ? said : none;
      if (count.textContent !== text) count.textContent = text;
    }

    page.addEventListener("change", () => {
      for (const box of boxes()) box.checked = page.checked;
      show();
    });
    document.addEventListener("change", (event) => event.target.matches("input[name=lead], [data-bulk-all]") && show());
    document.addEventListener("leads:changed", show);
    window.addEventListener("pageshow", show);
    show();
  }

  window.leadcrm = { ...window.leadcrm, say, send };
  document.addEventListener("submit", submitted);
  document.addEventListener("formdata", sendZone);
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("#bulk").forEach(follow);
    const said = sessionStorage.getItem(LATER);
    sessionStorage.removeItem(LATER);
    if (said) say(said);
  });
})();
