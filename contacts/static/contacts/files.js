// Files of leads: countries by the names that the browser knows, and one upload at a time.
(() => {
  "use strict";
  const start = () => {
    const select = document.querySelector("select[data-countries]");
    if (select && Intl.DisplayNames) {
      const names = new Intl.DisplayNames([document.documentElement.lang || "en"], { type: "region" });
      const chosen = select.value;
      const [none, ...options] = select.options;
      for (const option of options) option.text = `${names.of(option.value) || option.value} ${option.text.split(" ")[1]}`;
      options.sort((one, other) => one.text.localeCompare(other.text));
      select.replaceChildren(none, ...options);
      select.value = chosen;
    }
    for (const form of document.querySelectorAll("form[data-busy]")) {
      form.addEventListener("submit", () => {
        const button = form.querySelector("button[type=submit]");
        button.disabled = true;
        button.textContent = form.dataset.busy;
      });
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
