// The reference below the guide: Swagger UI, told where the schema is, and in the page's own theme.

const place = document.getElementById("reference");

window.SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  presets: [window.SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  requestInterceptor(request) {
    // A call tried here goes to the host of this page, by whichever of its names the page was opened.
    const to = new URL(request.url, location.href);
    request.url = location.origin + to.pathname + to.search;
    return request;
  },
});

const root = document.documentElement;
const follow = () => root.classList.toggle("dark-mode", root.dataset.bsTheme === "dark");
new MutationObserver(follow).observe(root, { attributeFilter: ["data-bs-theme"] });
follow();
