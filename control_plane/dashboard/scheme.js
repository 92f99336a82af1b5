// The colour scheme that was chosen here, before anything is drawn. Without a choice the system's counts.

(() => {
  try {
    const scheme = localStorage.getItem("scheme");
    if (scheme) document.documentElement.dataset.scheme = scheme;
  } catch {
    // A browser that keeps nothing for us follows the system.
  }
})();
