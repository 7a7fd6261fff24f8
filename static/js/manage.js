// The export follows the search as it stands.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-with-filters]");
  if (link) link.search = location.search;
});
