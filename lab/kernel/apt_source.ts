/**
 * Fetches the kernel's source package from the distribution. Everything of apt's is in folders of
 * the laboratory: the system's own sources, lists and caches stay as they are. The archive's
 * signature vouches for the lists, and they for the package.
 *
 * @module
 */
import { exec } from "../exec.ts";
import { LabError } from "../lab_error.ts";
import { join } from "../path.ts";
import type { LabOutput } from "../output.ts";
import { download } from "./download.ts";

/** Where Debian publishes newer kernels for its stable release. */
const SUITE = "trixie-backports";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const PACKAGE = /^linux-source-(\d+)\.(\d+)$/;

const UPDATE_LIMIT_MS = 5 * 60_000;

/** A downloaded source package. */
export interface SourcePackage {
  /** `linux-source-7.3`. */
  readonly name: string;
  /** The package's version. */
  readonly version: string;
  /** Path of the `.deb`. */
  readonly path: string;
  readonly sha256: string;
}

/**
 * Finds and downloads the newest kernel source. A download that was interrupted goes on; one that
 * is there already is verified again and kept.
 *
 * @param folder where apt's state and the package live
 * @param output where to say what happens
 * @returns the package
 * @throws LabError when there is no mirror, no package, or no network
 */
export async function fetchSource(folder: string, output: LabOutput): Promise<SourcePackage> {
  const apt = await privateApt(folder);
  output.line(`Looking for the newest kernel source in ${SUITE}`);
  await exec("update the package lists", ["apt-get", ...apt, "-q", "update"], {
    limitMs: UPDATE_LIMIT_MS,
  });
  const name = newestPackage(
    await exec("search for kernel sources", ["apt-cache", ...apt, "pkgnames", "linux-source-"], {
      limitMs: UPDATE_LIMIT_MS,
    }),
  );
  if (name === undefined) throw new LabError(`Cannot find a package linux-source-N.M in ${SUITE}`);
  const facts = packageFacts(
    await exec(`look up ${name}`, ["apt-cache", ...apt, "show", "--no-all-versions", name], {
      limitMs: UPDATE_LIMIT_MS,
    }),
  );
  const uris = await exec(
    `look up where ${name} is`,
    ["apt-get", ...apt, "-q", "download", "--print-uris", `${name}=${facts.version}`],
    { limitMs: UPDATE_LIMIT_MS },
  );
  const path = join(folder, `${name}_${facts.version.replaceAll(/[^\w.+~-]/g, "_")}_all.deb`);
  await download({ name, path, uri: packageUri(uris), ...facts }, apt, output);
  return { name, version: facts.version, path, sha256: facts.sha256 };
}

/**
 * @param names package names, one a line
 * @returns the one with the highest version
 */
export function newestPackage(names: string): string | undefined {
  const numbers = (name: string): readonly number[] =>
    (PACKAGE.exec(name) ?? []).slice(1).map(Number);
  const order = (a: string, b: string): number => {
    const [[majorA = 0, minorA = 0], [majorB = 0, minorB = 0]] = [numbers(a), numbers(b)];
    return majorA - majorB || minorA - minorB;
  };
  return names.split("\n").map((line) => line.trim()).filter((name) => PACKAGE.test(name))
    .sort(order).at(-1);
}

/**
 * @param printed what `apt-get download --print-uris` prints
 * @returns the address of the package
 * @throws LabError when there is none
 */
export function packageUri(printed: string): string {
  const uri = /^'(\S+)' \S+\.deb \d+/m.exec(printed)?.[1];
  if (uri === undefined) throw new LabError("Cannot read the package's address from apt-get");
  return uri;
}

/**
 * @param shown what `apt-cache show` prints
 * @returns version, hash and size
 * @throws LabError when one is not there
 */
export function packageFacts(
  shown: string,
): { readonly version: string; readonly sha256: string; readonly bytes: number } {
  const field = (name: string): string => {
    const value = new RegExp(`^${name}: (.+)$`, "m").exec(shown)?.[1];
    if (value === undefined) throw new LabError(`Cannot read the package's ${name} from apt-cache`);
    return value;
  };
  return { version: field("Version"), sha256: field("SHA256"), bytes: Number(field("Size")) };
}

/** Options that keep apt to the laboratory's own folders and one source. */
async function privateApt(folder: string): Promise<readonly string[]> {
  const parts = join(folder, "sources.list.d");
  const places = ["lists/partial", "archives/partial", "sources.list.d", "preferences.d"];
  for (const place of places) await Deno.mkdir(join(folder, place), { recursive: true });
  const site = await debianSite(folder);
  await Deno.writeTextFile(join(parts, "laboratory.sources"), sourceEntry(site));
  await Deno.writeTextFile(join(folder, "status"), "");
  return ownState(folder, [
    ["Dir::Etc::sourcelist", "/dev/null"],
    ["Dir::Etc::sourceparts", parts],
    ["Dir::State::status", join(folder, "status")],
  ]);
}

function ownState(
  folder: string,
  more: readonly (readonly [string, string])[] = [],
): readonly string[] {
  const options: readonly (readonly [string, string])[] = [
    ["Dir::State::lists", join(folder, "lists")],
    ["Dir::Cache", folder],
    ["Dir::Cache::archives", join(folder, "archives")],
    ["Dir::Etc::preferencesparts", join(folder, "preferences.d")],
    ["Dir::Etc::preferences", "/dev/null"],
    // without it, lists that could not be fetched are a warning
    ["APT::Update::Error-Mode", "any"],
    // the folders belong to whoever runs the laboratory, not to apt's own account
    ...(Deno.uid() === 0 ? [["APT::Sandbox::User", "root"] as const] : []),
    ...more,
  ];
  return options.flatMap(([name, value]) => ["-o", `${name}=${value}`]);
}

/** An entry in deb822 form. */
function sourceEntry(site: string): string {
  return `Types: deb\nURIs: ${site}\nSuites: ${SUITE}\nComponents: main\nSigned-By: ${KEYRING}\n`;
}

/**
 * The mirror that this machine is set up with. Where its lists were never fetched, apt cannot name
 * it: then they are fetched into the laboratory's folder.
 */
async function debianSite(folder: string): Promise<string> {
  const known = debianMirror(await indexTargets([]));
  if (known !== undefined) return known;
  const apt = ownState(folder);
  await exec("update the package lists", ["apt-get", ...apt, "-q", "update"], {
    limitMs: UPDATE_LIMIT_MS,
  });
  const found = debianMirror(await indexTargets(apt));
  if (found !== undefined) return found;
  throw new LabError("Cannot find a Debian mirror in this machine's apt sources", {
    fix: "give a ready kernel with --kernel (Linux 7.1 or later, with lab/kernel/config.fragment)",
  });
}

function indexTargets(apt: readonly string[]): Promise<string> {
  const format = "$(SITE) $(CODENAME) $(ORIGIN) $(COMPONENT)";
  return exec(
    "ask apt for its mirrors",
    ["apt-get", ...apt, "indextargets", "--format", format, "Created-By: Packages"],
    { limitMs: UPDATE_LIMIT_MS },
  );
}

/**
 * @param targets lines of site, codename, origin and component
 * @returns the site of a Debian release itself, not of its security updates
 */
export function debianMirror(targets: string): string | undefined {
  const rows = targets.split("\n").map((line) => line.split(" "));
  return rows.find(([, codename, origin, component]) =>
    origin === "Debian" && component === "main" && codename !== undefined &&
    !codename.includes("-")
  )?.[0];
}
