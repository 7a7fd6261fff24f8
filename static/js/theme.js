// Loaded first and blocking, so that no page flashes in the wrong theme. The choice lives in this browser only.
(function () {
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  function stored() {
    try { return localStorage.getItem("theme"); } catch (error) { return null; }
  }
  function apply() {
    var choice = stored();
    var theme = choice === "light" || choice === "dark" ? choice : dark.matches ? "dark" : "light";
    document.documentElement.setAttribute("data-bs-theme", theme);
  }
  dark.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  window.applyTheme = apply;
  apply();
})();
