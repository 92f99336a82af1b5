// Who is signed in, and the way to the page where one signs in.

const SAFE = ["GET", "HEAD"];

let known = null;

/** Who calls: `{ name, role, sites, user_id, csrf }`. Asked once; leaves for the sign-in page if nobody is signed in. */
export function session() {
  known ??= fetch("/v1/session").then((response) => (response.status === 401 ? signIn() : response.json()));
  known.catch(forget);
  return known;
}

/** Ask again next time: another tab may have signed in as somebody else. */
export function forget() {
  known = null;
}

/** Leave for the sign-in page, and come back here afterwards. */
export function signIn() {
  const here = location.pathname + location.search + location.hash;
  location.assign(`/dashboard/signin.html?${new URLSearchParams({ next: here })}`);
  return new Promise(() => {});
}

export async function signOut() {
  await authorized("/v1/session", { method: "DELETE" });
  location.assign("/dashboard/signin.html");
}

/** `fetch`, with the token of the sign-in where something is changed. Leaves for the sign-in page if that has ended. */
export async function authorized(path, options = {}, again = true) {
  const unsafe = !SAFE.includes(options.method ?? "GET");
  const headers = new Headers(options.headers);
  if (unsafe) headers.set("X-CSRF-Token", (await session()).csrf);
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401) return signIn();
  if (unsafe && again && response.status === 403 && (await response.clone().json()).code === "csrf_token") {
    forget();
    return authorized(path, options, false);
  }
  return response;
}
