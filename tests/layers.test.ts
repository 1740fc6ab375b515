import assert from "node:assert/strict";
import { fromFileUrl, relative } from "./support/paths.ts";

const ROOT = fromFileUrl(new URL("../", import.meta.url));

/** What each folder may import besides itself (design: data flows one way). */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  policy: [],
  host: [],
  engine: ["policy", "host"],
  ffi: ["engine", "host"],
  sim: ["engine", "host"],
  conformance: ["engine", "sim"],
  cmd: ["policy", "host", "engine", "ffi", "sim", "lab"],
  lab: ["policy", "host", "engine", "ffi", "sim", "conformance", "cmd"],
};

/** Of the engine, its other side may know the port and nothing more. */
const PORT = new Set(["engine/fd.ts", "engine/kernel.ts", "engine/kernel_error.ts"]);
const PORT_ONLY = new Set(["ffi", "sim", "conformance"]);
/** Of the host, the types of the port and of the snapshot, and how addresses are written. */
const HOST_TYPES = new Set(["host/address.ts", "host/files.ts", "host/snapshot.ts"]);

interface Module {
  readonly path: string;
  readonly text: string;
  /** Modules of the project that it imports, as paths from the root. */
  readonly imports: readonly string[];
}

async function modules(folder: string): Promise<Module[]> {
  const found: Module[] = [];
  for await (const entry of Deno.readDir(`${ROOT}${folder}`)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) found.push(...await modules(path));
    else if (entry.name.endsWith(".ts")) found.push(await readModule(path));
  }
  return found;
}

async function readModule(path: string): Promise<Module> {
  const text = await Deno.readTextFile(`${ROOT}${path}`);
  const code = text.replaceAll(/^\s*\*.*$/gm, "");
  const imports = [...code.matchAll(/(?:from|import|import\()\s*"(\.[^"]+)"/g)]
    .map(([, specifier]) => fromFileUrl(new URL(specifier ?? "", `file://${ROOT}${path}`)))
    .map((absolute) => relative(ROOT, absolute));
  return { path, text: code, imports };
}

const all = (await Promise.all(Object.keys(MAY_IMPORT).map(modules))).flat();

Deno.test("each layer imports only what lies below it", () => {
  assert.ok(all.length > 100, "the modules were found");
  const wrong = all.flatMap(({ path, imports }) => {
    const layer = path.split("/")[0] ?? "";
    return imports.filter((imported) => !mayImport(layer, imported))
      .map((imported) => `${path} imports ${imported}`);
  });
  assert.deepEqual(wrong, []);
});

function mayImport(layer: string, imported: string): boolean {
  const target = imported.split("/")[0] ?? "";
  if (target === layer) return true;
  if (!MAY_IMPORT[layer]?.includes(target)) return false;
  if (!PORT_ONLY.has(layer) || target === "sim") return true;
  return PORT.has(imported) || HOST_TYPES.has(imported);
}

Deno.test("conformance cases know neither side", () => {
  const sides = all.filter(({ path }) => path.startsWith("conformance/") && !path.includes("/sim_"))
    .flatMap(({ path, imports }) => imports.map((imported) => [path, imported] as const))
    .filter(([, imported]) => !/^(conformance|engine)\//.test(imported) || /\/sim_/.test(imported));
  assert.deepEqual(sides, []);
});

Deno.test("no module imports itself through others", () => {
  const graph = new Map(all.map(({ path, imports }) => [path, imports]));
  const state = new Map<string, "open" | "done">();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === "done") return;
    if (state.get(path) === "open") {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
      return;
    }
    state.set(path, "open");
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    state.set(path, "done");
  };
  for (const path of graph.keys()) visit(path, []);
  assert.deepEqual(cycles, []);
});

Deno.test("only ffi opens libraries, and pure layers use nothing of the run-time", () => {
  const opens = all.filter(({ text }) => /\bDeno\.dlopen\b/.test(text)).map(({ path }) => path);
  assert.deepEqual(opens.filter((path) => !path.startsWith("ffi/")), []);
  const pure = ["policy/", "host/", "engine/", "sim/"];
  const impure = all.filter(({ path, text }) =>
    pure.some((layer) => path.startsWith(layer)) && /\bDeno\./.test(text) &&
    !path.includes("/generate_")
  );
  assert.deepEqual(impure.map(({ path }) => path), []);
});
