/**
 * Other people's tools, installed at pinned versions into a folder of their own: no part of the
 * project depends on them.
 *
 * @module
 */

const PACKAGES = [
  "casbin@5.51.1",
  "@cedar-policy/cedar-wasm@4.13.0",
  "ajv-cli@5.0.0",
  "@jirutka/ajv-cli@6.0.0",
  "@sourcemeta/jsonschema@16.11.0",
];

/**
 * Installs the peers, once.
 *
 * @returns the folder
 * @throws {Error} when npm cannot
 */
export async function installPeers(): Promise<string> {
  const cache = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`;
  const folder = `${cache}/bargate/bench-peers`;
  const stamp = `${folder}/installed`;
  const wanted = PACKAGES.join("\n");
  if (await readIfThere(stamp) === wanted) return folder;
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/package.json`, '{ "private": true }\n');
  const { success } = await new Deno.Command("npm", {
    args: ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", ...PACKAGES],
    cwd: folder,
    stdout: "null",
  }).output();
  if (!success) throw new Error("Cannot install the peers: npm failed");
  await Deno.writeTextFile(stamp, wanted);
  return folder;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
