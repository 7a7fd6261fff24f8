// The export follows the search as it stands in the form around it; a search that was typed is not in the address.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-with-filters]");
  if (link) link.search = new URLSearchParams(new FormData(link.closest("form"))).toString();
});
