// The pages there are, in the order of the navigation.
//
// To add a page: a line here (`name` is its address and its file, `icon` a symbol of icons.svg, `needs` what one must be
// allowed to in order to see it; none: nothing), `pages/NAME.js`, and its style in `pages/NAME.css`, named in style.css.
// The module exports
//
//   export default function (root, page) { ...; return () => { what is to be undone when it is left }; }
//
// It may be async, and what it raises is shown in its place with a button to try again. It puts its elements into
// `root`, beginning with `pageHead(title)` of parts.js, and gets as `page`:
//
//   rest, query   what its address says behind its name (router.js)
//   signal        an AbortSignal of its time: for `ask`, and `addEventListener(..., { signal })` beyond `root`
//   stream        the one WebSocket (stream.js): events, cameras, frames, messages of other types
//   alarms        the open alarms (alarms.js)
//   session       who is signed in: `{ name, role, sites, ... }` (session.js)
//   may           whether the one who is signed in may: `page.may("people:write")`
//
// For the rest: dom.js (elements), api.js (calls), parts.js (what pages are made of), forms.js, lists.js, dialogs.js,
// toasts.js, moments.js (times in words).

export const PAGES = [
  { name: "live", label: "Live", icon: "live" },
  { name: "events", label: "Events", icon: "events" },
  { name: "people", label: "People", icon: "people" },
  { name: "unknowns", label: "Unknowns", icon: "unknowns", needs: "events:read" },
  { name: "imports", label: "Imports", icon: "imports", needs: "imports:read" },
  { name: "sites", label: "Sites", icon: "sites", needs: "sites:read" },
  { name: "attendance", label: "Attendance", icon: "attendance", needs: "events:read" },
  { name: "webhooks", label: "Webhooks", icon: "webhooks", needs: "webhooks:read" },
  { name: "audit", label: "Audit", icon: "audit", needs: "audit:read" },
  { name: "settings", label: "Settings", icon: "settings" },
  { name: "api", label: "API", icon: "api" },
];
