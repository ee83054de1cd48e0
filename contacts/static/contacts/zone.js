// Tells the server in which time zone the browser is, for whoever chose none: what is typed as a time is then meant so.
(() => {
  "use strict";
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const known = document.cookie.split("; ").includes(`browser_zone=${zone}`);
  if (zone && !known) document.cookie = `browser_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
})();
