// Before anything is drawn: the colours that were chosen, or those of the system.
(() => {
  const stored = localStorage.getItem("interleaf-theme");
  const dark = stored ? stored === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
