/** Paths of modules, for tests that look at the source. @module */

/** @returns the path of a `file:` URL */
export function fromFileUrl(url: URL): string {
  return decodeURIComponent(url.pathname);
}

/** @returns the path below a folder that ends with a slash */
export function relative(folder: string, path: string): string {
  return path.startsWith(folder) ? path.slice(folder.length) : path;
}
